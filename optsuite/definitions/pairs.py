"""Checks of a split: a pair of dense tensors with as many targets as inputs; finite values."""

import torch
from torch import Tensor

from optsuite.errors import InputError

PARTS = ("inputs", "targets")


def require_pair(split: str, value: object) -> None:
    """Raise InputError unless the value is a pair (inputs, targets) of tensors (n, ...), n > 0."""
    where = f"{split} split"
    if not isinstance(value, tuple) or len(value) != 2:
        size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        received = f"a {type(value).__name__}{size}"
        allowed = "a tuple (inputs, targets) of two tensors"
        raise InputError(f"{where}: got {received}, allowed: {allowed}")
    for name, part in zip(PARTS, value, strict=True):
        _require_tensor(f"{where}: its {name}", part)
    inputs, targets = value
    if not len(inputs) == len(targets) > 0:
        received = f"{len(inputs)} inputs and {len(targets)} targets"
        allowed = "as many inputs as targets, at least one"
        raise InputError(f"{where}: got {received}, allowed: {allowed}")


def _require_tensor(where: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise InputError(f"{where}: got {_kind(value)}, allowed: a torch.Tensor; {_remedy(value)}")
    if value.is_nested or value.layout is not torch.strided:
        received = f"a tensor of layout {value.layout}"
        raise InputError(f"{where}: got {received}, allowed: a dense one; use .to_dense()")
    if value.is_meta:
        raise InputError(f"{where}: got a tensor on the device meta, allowed: one with values")
    if value.requires_grad:
        received = "a tensor that requires gradients"
        raise InputError(f"{where}: got {received}, allowed: plain values; use .detach()")
    if value.ndim == 0:
        allowed = "one whose first dimension counts the examples"
        raise InputError(f"{where}: got a tensor without dimensions, allowed: {allowed}")


def _kind(value: object) -> str:
    """The package and class of a value, such as numpy.ndarray, and its dtype if any."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    name = kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
    return f"{name} of dtype {value.dtype}" if hasattr(value, "dtype") else name


def _remedy(value: object) -> str:
    """How to turn the value into a tensor."""
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
    if isinstance(value, list | tuple):
        return any(isinstance(one, str) for one in value)
    return isinstance(value, str)


def not_finite(values: Tensor) -> str:
    """How many values are NaN or infinite, and where the first is; empty if all are finite."""
    if not (values.is_floating_point() or values.is_complex()):
        return ""
    bad = ~torch.isfinite(values)
    if not bool(bad.any()):
        return ""
    n_nan = int(values.isnan().sum())
    n_infinite = int(bad.sum()) - n_nan
    counts = []
    if n_nan:
        counts.append(f"{n_nan} NaN")
    if n_infinite:
        counts.append(f"{n_infinite} infinite")
    row, *rest = map(int, bad.nonzero()[0])
    place = f"row {row}"
    if rest:
        place += f", column {rest[0] if len(rest) == 1 else tuple(rest)}"
    return f"{' and '.join(counts)} of {values.numel()} values, the first in {place}"
