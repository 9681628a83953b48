"""What a split must be: a pair of dense tensors with as many targets as inputs; and where values in one are not finite."""

import torch
from torch import Tensor

from optsuite.errors import InputError

PARTS = ("inputs", "targets")


def require_pair(split: str, value: object) -> None:
    """Raise InputError unless the value is a pair (inputs, targets) of tensors (n, ...) for one n above 0."""
    where = f"{split} split"
    pair = isinstance(value, tuple) and len(value) == 2
    if not pair:
        size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise InputError(
            f"{where}: got a {type(value).__name__}{size}, allowed: a tuple (inputs, targets) of two tensors"
        )
    assert isinstance(value, tuple)
    for name, part in zip(PARTS, value, strict=True):
        _require_tensor(f"{where}: its {name}", part)
    n_inputs, n_targets = (len(part) for part in value)
    received = f"{n_inputs} inputs and {n_targets} targets"
    if not n_inputs == n_targets > 0:
        raise InputError(
            f"{where}: got {received}, allowed: as many inputs as targets, at least one"
        )


def _require_tensor(where: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise InputError(f"{where}: got {_kind(value)}, allowed: a torch.Tensor; {_remedy(value)}")
    if value.is_nested or value.layout is not torch.strided:
        raise InputError(
            f"{where}: got a tensor of layout {value.layout}, allowed: a dense one; use .to_dense()"
        )
    if value.is_meta:
        raise InputError(f"{where}: got a tensor on the device meta, allowed: one with values")
    if value.requires_grad:
        raise InputError(
            f"{where}: got a tensor that requires gradients, allowed: plain values; use .detach()"
        )
    if value.ndim == 0:
        raise InputError(
            f"{where}: got a tensor without dimensions, allowed: one whose first dimension counts the examples"
        )


def _kind(value: object) -> str:
    kind = type(value)
    dtype = f" of dtype {value.dtype}" if hasattr(value, "dtype") else ""
    return (
        f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}".removeprefix("builtins.") + dtype
    )


def _remedy(value: object) -> str:
    """What turns it into a tensor."""
    kind = str(getattr(value, "dtype", ""))
    if kind.startswith(("object", "str", "<U", "|S")) or _holds_text(value):
        return "encode what are not numbers first"
    match type(value).__module__.partition(".")[0]:
        case "numpy":
            return "use torch.from_numpy(...)"
        case "pandas" | "polars":
            return "use torch.as_tensor(....to_numpy())"
    return "use torch.as_tensor(...)"


def _holds_text(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and any(isinstance(one, str) for one in value)
    )


def not_finite(values: Tensor) -> str:
    """How many values are NaN or infinite, and where the first is, in a line; empty where all are finite."""
    if not (values.is_floating_point() or values.is_complex()) or bool(
        torch.isfinite(values).all()
    ):
        return ""
    bad = ~torch.isfinite(values)
    first = [int(index) for index in bad.nonzero()[0]]
    n_nan = int(values.isnan().sum())
    n_infinite = int(bad.sum()) - n_nan
    counts = [f"{n_nan} NaN" if n_nan else "", f"{n_infinite} infinite" if n_infinite else ""]
    found = " and ".join(filter(None, counts))
    column = f", column {_position(first[1:])}" if len(first) > 1 else ""
    return f"{found} of {values.numel()} values, the first in row {first[0]}{column}"


def _position(index: list[int]) -> str:
    return str(index[0]) if len(index) == 1 else str(tuple(index))
