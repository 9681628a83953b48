"""The dtypes of a benchmark, decided in one place so that driver and worker agree: models as written, data as given.

A model trains in the dtypes that its function gave it. Data are cast only where the model cannot be trained on them as
they are given, and only to a dtype that holds them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optsuite.definition import Benchmark, Splits
from optsuite.errors import BadInput
from optsuite.training.check import blamed
from optsuite.training.plain import initial_model

SPLITS = ("train", "validation", "test")
WAYS = (("inputs",), ("targets",), ("inputs", "targets"))  # what is cast, the least first
ROUNDING = 1e-6  # of a column's spread: float32 rounds what is of the order of its spread to 3e-8 of it


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The splits of a benchmark on the CPU, fit for its model.

    `dtype` names those of the model's parameters; `cast` what was cast, from what to what, and is empty where the data
    are as they were given.
    """

    splits: Splits
    dtype: str
    cast: str = ""


def fit(benchmark: Benchmark, splits: Splits, *, device: str) -> Fitted:
    """Make the data fit for the model. Raises BadInput where its dtype cannot hold them, or the device has no such numbers."""
    with blamed(f"benchmark {benchmark.name}: its model"):
        model = initial_model(benchmark, 0)
    splits = splits.to("cpu")
    if not isinstance(model, nn.Module):
        return Fitted(splits=splits, dtype="")  # the check of the benchmark names it
    dtypes = [p.dtype for p in model.parameters() if _has_fractions(p)]
    fitted = _fitted(benchmark, splits, dtypes)
    _check_device(benchmark, model, fitted.splits, device)
    return fitted


def _fitted(benchmark: Benchmark, splits: Splits, dtypes: list[torch.dtype]) -> Fitted:
    names = ", ".join(sorted({_name(dtype) for dtype in dtypes}))
    as_given = Fitted(splits=splits, dtype=names)
    if not dtypes:
        return as_given
    real = dtypes[0].to_real()
    if not _others(splits, real) or _trains(benchmark, splits):
        return as_given
    for way in WAYS:
        given = _others(splits, real, way)
        if given and _trains(benchmark, _cast(splits, real, way)):
            _require_held(benchmark, splits, real, way)
            return Fitted(splits=_cast(splits, real, way), dtype=names, cast=", ".join(given))
    return as_given  # what is wrong is something else


def _has_fractions(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _parts(splits: Splits, way: tuple[str, ...] = WAYS[-1]) -> Iterator[tuple[str, str, Tensor]]:
    for split in SPLITS:
        for part, tensor in zip(WAYS[-1], getattr(splits, split), strict=True):
            if part in way and _has_fractions(tensor):
                yield split, part, tensor


def _goal(tensor: Tensor, real: torch.dtype) -> torch.dtype:
    return real.to_complex() if tensor.is_complex() else real


def _others(splits: Splits, real: torch.dtype, way: tuple[str, ...] = WAYS[-1]) -> list[str]:
    """What would be cast, each as `inputs float64 to float32`."""
    casts = (
        f"{part} {_name(tensor.dtype)} to {_name(_goal(tensor, real))}"
        for _, part, tensor in _parts(splits, way)
        if tensor.dtype != _goal(tensor, real)
    )
    return list(dict.fromkeys(casts))


def _cast(splits: Splits, real: torch.dtype, way: tuple[str, ...]) -> Splits:
    def cast(split: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = (
            tensor.to(_goal(tensor, real)) if part in way and _has_fractions(tensor) else tensor
            for part, tensor in zip(WAYS[-1], split, strict=True)
        )
        return x, y

    return Splits(train=cast(splits.train), validation=cast(splits.validation), test=cast(splits.test))


def _trains(benchmark: Benchmark, splits: Splits) -> bool:
    """Whether a fresh model has a loss and gradients on the first batch."""
    x, y = (part[: benchmark.batch_size] for part in splits.train)
    try:
        benchmark.loss(initial_model(benchmark, 0)(x), y).backward()  # type: ignore[no-untyped-call]
    except Exception:
        return False
    return True


def _require_held(benchmark: Benchmark, splits: Splits, real: torch.dtype, way: tuple[str, ...]) -> None:
    for split, part, tensor in _parts(splits, way):
        goal = _goal(tensor, real)
        if not holds(goal, tensor):
            raise BadInput(
                f"benchmark {benchmark.name}: its {split} {part} are {_name(tensor.dtype)}, its model is {_name(real)}, which "
                f"cannot hold them to a millionth of their spread; make the model {_name(tensor.dtype)}, subtract the mean "
                "and divide by the spread, or cast them in dataset"
            )


def holds(dtype: torch.dtype, tensor: Tensor) -> bool:
    """Whether rounding to the dtype moves no column of the values (n, ...) by more than a millionth of its spread.

    Moves and spread are mean absolute deviations, the latter from the median: a single value far away, such as a zero for
    a missing time of day, would hide in a range that all others are rounded to one number. A constant column has no
    spread: it must stay constant, and near itself.
    """
    if tensor.is_complex():
        tensor, dtype = torch.view_as_real(tensor), dtype.to_real()
    values = tensor.reshape(len(tensor), -1).double()
    finite = values.isfinite()
    moved = (values.to(tensor.dtype).to(dtype).double() - values).abs()
    moved = torch.where(finite, moved, 0.0)  # what is nan or infinite already stays so
    known = torch.where(finite, values, values.nan_to_num(0.0, 0.0, 0.0))
    deviation = (known - known.median(dim=0).values).abs().mean(dim=0)
    constant = deviation == 0
    spread = torch.where(constant, known.abs().amax(dim=0), deviation)
    return bool((moved.mean(dim=0) <= ROUNDING * spread).all())


def _check_device(benchmark: Benchmark, model: nn.Module, splits: Splits, device: str) -> None:
    """Raise BadInput where the device is Apple's, which has neither float64 nor complex numbers that can be trained."""
    if torch.device(device).type != "mps":
        return
    tensors = {"model": [*model.parameters(), *model.buffers()], "data": [tensor for _, _, tensor in _parts(splits)]}
    for what, own in tensors.items():
        for dtype in sorted({_name(t.dtype) for t in own if t.dtype == torch.float64 or t.is_complex()}):
            raise BadInput(f"benchmark {benchmark.name}: its {what} are {dtype}, which mps cannot train; use --device cpu")
