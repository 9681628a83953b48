"""Inspecting the data of a benchmark: finite values, labels in range, batches with a loss."""

from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Split, Splits
from optsuite.definitions.pairs import PARTS, not_finite
from optsuite.definitions.suite import FIRST_TUNING_SEED
from optsuite.errors import InputError, one_line
from optsuite.training.explain import batch_without_loss, call_loss, call_model
from optsuite.training.plain import CHUNK, batch_indices
from optsuite.training.train_step import evaluating

NAMES = ("train", "validation", "test")
SEEDS = (0, FIRST_TUNING_SEED)  # of the first evaluation and the first trial
N_BATCHES = 100  # inspected of each seed
N_NUMBERS = 2 * 10**7  # in outputs, inspected at most: a second on one core


def check_finite(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """Raise InputError for values that are not finite; names split, part, row and column.

    NaN may stay where the loss ignores missing targets: with the initial weights, the loss and its
    gradients must be finite on a batch that holds the first such row.
    """
    for name in NAMES:
        split = getattr(splits, name)
        for part, values in zip(PARTS, split, strict=True):
            flawed = not_finite(values)
            if flawed and not _copes(benchmark, model, split, _first_flawed(values)):
                raise InputError(
                    f"{_of(benchmark, name)} {part} hold {flawed}; "
                    "remove or replace such rows in its dataset"
                )


def check_ranges(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """Raise InputError for labels and tokens out of range, anywhere in the splits."""
    with evaluating(model):
        for name in NAMES:
            _check_extremes(benchmark, model, name, getattr(splits, name))


def check_batches(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """Raise InputError if the loss of the validation split or of an early batch is not finite.

    Uses the initial weights.
    """
    with evaluating(model):
        _check_validation(benchmark, model, splits.validation)
        _check_batches(benchmark, model, splits)


def _of(benchmark: Benchmark, split: str) -> str:
    word = "training" if split == "train" else split
    return f"benchmark {benchmark.name}: its {word}"


def _check_batches(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """Raise InputError if the loss of a batch of targets is not finite although outputs are."""
    x, _ = splits.train
    with torch.no_grad():
        outputs = model(x[: benchmark.batch_size])
    n_numbers = outputs.numel() if isinstance(outputs, Tensor) else CHUNK * benchmark.batch_size
    n_batches = min(N_BATCHES, benchmark.max_steps, 1 + N_NUMBERS // (n_numbers * len(SEEDS)))
    for seed in SEEDS:
        batches = islice(batch_indices(len(x), benchmark, seed), n_batches)
        reason = batch_without_loss(benchmark, model, splits, enumerate(batches, start=1), seed)
        if reason:
            raise InputError(f"benchmark {benchmark.name}: {reason}")


def _check_validation(benchmark: Benchmark, model: nn.Module, split: Split) -> None:
    """Raise InputError if the loss is not finite on the first batch nor on the first chunk."""
    x, y = split
    with torch.no_grad():
        for n in (benchmark.batch_size, CHUNK):
            value = benchmark.loss(model(x[:n]), y[:n])
            if not isinstance(value, Tensor) or value.ndim or value.isfinite():
                return
    raise InputError(
        f"benchmark {benchmark.name}: its loss on the validation split is {value.item()} before "
        "training, where it must be finite; are all its labels ignored?"
    )


def _check_extremes(benchmark: Benchmark, model: nn.Module, name: str, split: Split) -> None:
    """Raise InputError if the smallest or largest labels or tokens of a split cannot be used."""
    inputs, targets = split
    rows = sorted({*_extreme_rows(inputs), *_extreme_rows(targets)})
    n = min(benchmark.batch_size, len(inputs))
    for start in range(0, len(rows), n):
        chosen = rows[start : start + n]
        x, y = _batch(split, chosen, n)
        numbers = ", ".join(map(str, chosen))
        where = f"{_of(benchmark, name)} split, rows {numbers},"
        try:
            with torch.no_grad():
                call_loss(benchmark.loss, call_model(model, x), y)
        except InputError as error:
            raise InputError(f"{where} {error}") from error
        except Exception as error:
            raise InputError(f"{where} raised {one_line(error)}") from error


def _extreme_rows(values: Tensor) -> list[int]:
    """The rows of the smallest and the largest whole number.

    A negative number may mark ignored labels; then the row of the next larger one is added.
    """
    has_fractions = values.is_floating_point() or values.is_complex()
    if has_fractions or values.dtype is torch.bool or values.numel() == 0:
        return []
    # In numpy, because torch takes seconds to find the smallest of many bytes.
    flat = values.cpu().numpy().reshape(-1)
    found = [flat.argmin(), flat.argmax()]
    smallest, largest = flat[found[0]], flat[found[1]]
    if smallest < 0:
        found.append(np.where(flat > smallest, flat, largest).argmin())
    return [int(position) * len(values) // len(flat) for position in found]


def _copes(benchmark: Benchmark, model: nn.Module, split: Split, row: int) -> bool:
    """Whether the loss on a batch with the row, and its gradients, are finite."""
    x, y = _batch(split, [row], min(benchmark.batch_size, len(split[0])))
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        with evaluating(model):
            value = benchmark.loss(model(x), y)
        gradients = torch.autograd.grad(value, trainable, allow_unused=True)
    except Exception:
        return False
    if not value.isfinite():
        return False
    given = [gradient for gradient in gradients if gradient is not None]
    return all(_dense(gradient).isfinite().all() for gradient in given)


def _batch(split: Split, rows: list[int], n: int) -> Split:
    """A batch of `n` examples, these rows first."""
    chosen = set(rows)
    others = (row for row in range(len(split[0])) if row not in chosen)
    index = torch.tensor([*rows, *islice(others, n - len(rows))], device=split[0].device)
    return split[0][index], split[1][index]


def _first_flawed(values: Tensor) -> int:
    return int((~torch.isfinite(values)).nonzero()[0, 0])


def _dense(gradient: Tensor) -> Tensor:
    return gradient.to_dense() if gradient.layout is not torch.strided else gradient
