"""Decides the dtypes of a benchmark in one place, so that driver and worker agree.

A model trains in the dtypes that its function gave it. Data are cast only if the model cannot train
on them as they are, and only to a dtype that holds them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Split, Splits
from optsuite.errors import InputError
from optsuite.training.device import kind_of, trains
from optsuite.training.plain import CHUNK, initial_model
from optsuite.training.validation.contexts import error_context

SPLITS = ("train", "validation", "test")
PARTS = ("inputs", "targets")
WAYS = (("inputs",), ("targets",), PARTS)  # which parts to cast, in the order of the trials
# float32 rounds to 6e-8 of a value, so a column may lie a hundred times its spread away from zero.
ROUNDING = 1e-5
N_SPREAD = 1_000  # examples from which the spread of all is estimated


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The splits of a benchmark on the CPU, fit for its model.

    `dtype` names the dtypes of the model's parameters. `cast` lists the casts, such as
    `inputs float64 to float32`; it is empty if the data are as they were given.
    """

    splits: Splits
    dtype: str
    cast: str = ""


def fit(benchmark: Benchmark, splits: Splits, *, device: str) -> Fitted:
    """Make the data fit for the model.

    Raises InputError if the model's dtype cannot hold the data, or if the device cannot train it.
    """
    with error_context(f"benchmark {benchmark.name}: its model"):
        model = initial_model(benchmark, 0)
    splits = splits.to("cpu")
    if not isinstance(model, nn.Module):
        return Fitted(splits=splits, dtype="")  # the check of the benchmark reports it
    dtypes = [p.dtype for p in model.parameters() if has_fractions(p)]
    fitted = _fitted(benchmark, splits, dtypes)
    _check_device(benchmark, model, fitted.splits, device)
    return fitted


def _fitted(benchmark: Benchmark, splits: Splits, dtypes: list[torch.dtype]) -> Fitted:
    names = ", ".join(sorted(set(map(_name, dtypes))))
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
    return as_given  # the dtypes are not the problem


def has_fractions(tensor: Tensor) -> bool:
    """Whether its dtype is one of real or complex floating-point numbers."""
    return tensor.is_floating_point() or tensor.is_complex()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _parts(splits: Splits, way: tuple[str, ...] = PARTS) -> Iterator[tuple[str, str, Tensor]]:
    """The tensors that a way casts, with the names of their split and part."""
    for split in SPLITS:
        for part, tensor in zip(PARTS, getattr(splits, split), strict=True):
            if part in way and has_fractions(tensor):
                yield split, part, tensor


def _goal(tensor: Tensor, real: torch.dtype) -> torch.dtype:
    return real.to_complex() if tensor.is_complex() else real


def _others(splits: Splits, real: torch.dtype, way: tuple[str, ...] = PARTS) -> list[str]:
    """The casts that a way makes, such as `inputs float64 to float32`, each once."""
    casts: list[str] = []
    for _, part, tensor in _parts(splits, way):
        goal = _goal(tensor, real)
        cast = f"{part} {_name(tensor.dtype)} to {_name(goal)}"
        if tensor.dtype != goal and cast not in casts:
            casts.append(cast)
    return casts


def _cast(splits: Splits, real: torch.dtype, way: tuple[str, ...]) -> Splits:
    def cast(part: str, tensor: Tensor) -> Tensor:
        if part in way and has_fractions(tensor):
            return tensor.to(_goal(tensor, real))
        return tensor

    def cast_split(split: Split) -> Split:
        x, y = split
        return cast("inputs", x), cast("targets", y)

    return Splits(
        train=cast_split(splits.train),
        validation=cast_split(splits.validation),
        test=cast_split(splits.test),
    )


def _trains(benchmark: Benchmark, splits: Splits) -> bool:
    """Whether a fresh model has a loss and gradients on the first batch."""
    x, y = splits.train
    first = slice(benchmark.batch_size)
    try:
        outputs = initial_model(benchmark, 0)(x[first])
        benchmark.loss(outputs, y[first]).backward()  # type: ignore[no-untyped-call]
    except Exception:
        return False
    return True


def _require_held(
    benchmark: Benchmark, splits: Splits, real: torch.dtype, way: tuple[str, ...]
) -> None:
    """Raise InputError if the dtype of the model cannot hold the tensors that a way casts."""
    for split, part, tensor in _parts(splits, way):
        if not holds(_goal(tensor, real), tensor):
            given = _name(tensor.dtype)
            raise InputError(
                f"benchmark {benchmark.name}: its {split} {part} are {given}, its model is "
                f"{_name(real)}, which cannot hold them to 1e-5 of their spread; make the model "
                f"{given}, subtract the mean and divide by the spread, or cast them in dataset"
            )


def holds(dtype: torch.dtype, tensor: Tensor) -> bool:
    """Whether rounding values (n, ...) to the dtype moves none by more than ROUNDING of its scale.

    The scale of a value is its distance from the median of its column, or the spread of the column
    if that is larger.
    """
    if tensor.is_complex():
        tensor, dtype = torch.view_as_real(tensor), dtype.to_real()
    columns = tensor.reshape(len(tensor), -1)
    median, spread = _median_and_spread(columns[:: max(1, len(columns) // N_SPREAD)].double())
    for rows in columns.split(CHUNK):  # type: ignore[no-untyped-call]
        finite = rows.isfinite()
        exact = torch.where(finite, rows.double(), median)
        rounded = rows.to(dtype).double()
        moved = torch.where(finite, (rounded - exact).abs(), 0.0)  # infinity is not rounded
        scale = torch.maximum(spread, (exact - median).abs())
        if not (moved <= ROUNDING * scale).all():
            return False
    return True


def _median_and_spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """The median and the spread of each column (n, columns) of numbers.

    The spread is the length of the shortest interval that holds half of the distinct values.
    Single outliers, such as zeros for missing dates, would dominate a range or a standard
    deviation. The spread of a constant column is its absolute value.
    """
    known = values.nan_to_num(math.inf, math.inf, math.inf).sort(dim=0).values
    n_known = known.isfinite().sum(dim=0)
    middle = (n_known // 2).clamp(max=len(known) - 1)
    median = known.gather(0, middle[None])[0].nan_to_num(0.0, 0.0, 0.0)

    repeated = torch.zeros_like(known, dtype=torch.bool)
    repeated[1:] = known[1:] == known[:-1]
    distinct = known.masked_fill(repeated, math.inf).sort(dim=0).values
    n_distinct = distinct.isfinite().sum(dim=0)
    ends = torch.arange(len(distinct))[:, None] + (n_distinct // 2).clamp(min=1)
    lengths = distinct.gather(0, ends.clamp(max=len(distinct) - 1)) - distinct
    lengths = lengths.masked_fill(ends >= n_distinct, math.inf)
    return median, torch.where(n_distinct > 1, lengths.amin(dim=0), median.abs())


def _check_device(benchmark: Benchmark, model: nn.Module, splits: Splits, device: str) -> None:
    """Raise InputError if the device cannot train the dtypes of the model or the data."""
    tensors = {
        "model": [*model.parameters(), *model.buffers()],
        "data": [tensor for _, _, tensor in _parts(splits)],
    }
    for what, own in tensors.items():
        refused = sorted({_name(t.dtype) for t in own if not trains(device, t.dtype)})
        if refused:
            raise InputError(
                f"benchmark {benchmark.name}: its {what} are {refused[0]}, "
                f"which {kind_of(device)} cannot train; use --device cpu"
            )
