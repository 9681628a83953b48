"""The dtypes of a benchmark, decided in one place so that driver and worker agree: models as written, data as given.

A model trains in the dtypes that its function gave it. Data are cast only where the model cannot be trained on them as
they are given, and only to a dtype that holds them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.errors import InputError
from optsuite.training.device import kind_of, trains
from optsuite.training.plain import CHUNK, initial_model
from optsuite.training.validation.contexts import error_context

SPLITS = ("train", "validation", "test")
WAYS = (("inputs",), ("targets",), ("inputs", "targets"))  # what is cast, the least first
ROUNDING = 1e-5  # float32 rounds to 6e-8 of a value: its column may lie a hundred times its spread away from zero
N_SPREAD = 1_000  # examples that tell the spread of all


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
    """Make the data fit for the model. Raises InputError where its dtype cannot hold them, or the device has no such numbers."""
    with error_context(f"benchmark {benchmark.name}: its model"):
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

    return Splits(
        train=cast(splits.train), validation=cast(splits.validation), test=cast(splits.test)
    )


def _trains(benchmark: Benchmark, splits: Splits) -> bool:
    """Whether a fresh model has a loss and gradients on the first batch."""
    x, y = (part[: benchmark.batch_size] for part in splits.train)
    try:
        benchmark.loss(initial_model(benchmark, 0)(x), y).backward()  # type: ignore[no-untyped-call]
    except Exception:
        return False
    return True


def _require_held(
    benchmark: Benchmark, splits: Splits, real: torch.dtype, way: tuple[str, ...]
) -> None:
    for split, part, tensor in _parts(splits, way):
        goal = _goal(tensor, real)
        if not holds(goal, tensor):
            raise InputError(
                f"benchmark {benchmark.name}: its {split} {part} are {_name(tensor.dtype)}, its model is {_name(real)}, which "
                f"cannot hold them to 1e-5 of their spread; make the model {_name(tensor.dtype)}, subtract the mean "
                "and divide by the spread, or cast them in dataset"
            )


def holds(dtype: torch.dtype, tensor: Tensor) -> bool:
    """Whether rounding to the dtype moves no value (n, ...) by more than ROUNDING of what it tells.

    That is its distance from the median of its column, or the spread of the column where that is larger.
    """
    if tensor.is_complex():
        tensor, dtype = torch.view_as_real(tensor), dtype.to_real()
    columns = tensor.reshape(len(tensor), -1)
    median, spread = _median_and_spread(columns[:: max(1, len(columns) // N_SPREAD)].double())
    for rows in columns.split(CHUNK):  # type: ignore[no-untyped-call]
        finite = rows.isfinite()
        exact = torch.where(finite, rows.double(), median)
        moved = torch.where(
            finite, (rows.to(dtype).double() - exact).abs(), 0.0
        )  # infinity stays what it is
        if not (moved <= ROUNDING * torch.maximum(spread, (exact - median).abs())).all():
            return False
    return True


def _median_and_spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """The median and the spread of each column (n, columns) of numbers.

    The spread is the length of the shortest interval that holds half of the distinct values: a range or a standard
    deviation would be ruled by single values far away, such as zeros for missing dates. A constant column has its value.
    """
    known = values.nan_to_num(math.inf, math.inf, math.inf).sort(dim=0).values
    repeated = torch.zeros_like(known, dtype=torch.bool)
    repeated[1:] = known[1:] == known[:-1]
    n_known = known.isfinite().sum(dim=0)
    median = known.gather(0, (n_known // 2).clamp(max=len(known) - 1)[None])[0].nan_to_num(
        0.0, 0.0, 0.0
    )
    distinct = known.masked_fill(repeated, math.inf).sort(dim=0).values
    n_distinct = distinct.isfinite().sum(dim=0)
    ends = torch.arange(len(distinct))[:, None] + (n_distinct // 2).clamp(min=1)
    lengths = distinct.gather(0, ends.clamp(max=len(distinct) - 1)) - distinct
    lengths = lengths.masked_fill(ends >= n_distinct, math.inf)
    return median, torch.where(n_distinct > 1, lengths.amin(dim=0), median.abs())


def _check_device(benchmark: Benchmark, model: nn.Module, splits: Splits, device: str) -> None:
    """Raise InputError where the device cannot train such numbers."""
    tensors = {
        "model": [*model.parameters(), *model.buffers()],
        "data": [tensor for _, _, tensor in _parts(splits)],
    }
    for what, own in tensors.items():
        for dtype in sorted({_name(t.dtype) for t in own if not trains(device, t.dtype)}):
            raise InputError(
                f"benchmark {benchmark.name}: its {what} are {dtype}, which {kind_of(device)} cannot train; use --device cpu"
            )
