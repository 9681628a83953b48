"""Whether losses and metrics are means over examples, tried on the outputs of an untrained model.

The value on all examples must be the mean of the values on uneven parts, weighted by their sizes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Loss, Split, Splits
from optsuite.errors import InputError
from optsuite.training.outputs import leaves, sliced, with_leaves
from optsuite.training.plain import CHUNK
from optsuite.training.train_step import evaluating, seed_generators

N_TRIED = 211  # examples: a prime, so few other dimensions of an output have this length
CUTS = (6, 2)  # parts of a sixth, a third and a half: uneven, to reveal a mean of their means
# Relative: float32 sums differ in the seventh digit, values that are not means in the first three.
NOISE = 1e-4
HALF_NOISE = 4  # times the resolution of a coarser dtype
Kind = Literal["mean", "sum", "broadcast", "other"]
Parts = Sequence[tuple[Any, Tensor]]  # outputs and targets of some examples


@torch.no_grad()
def check_means(benchmark: Benchmark, model: nn.Module, splits: Splits) -> Iterator[str]:
    """Yield a note if a loss or metric is not a mean but can be measured exactly.

    Raises InputError that names the loss or metric if it cannot.
    """
    largest = max(splits.validation, splits.test, key=lambda split: len(split[0]))
    with evaluating(model):
        kinds = _kinds(benchmark, model, _spread(largest))
    where = f"benchmark {benchmark.name}"
    for name, kind in kinds.items():
        if kind == "broadcast":
            raise InputError(
                f"{where}: its {name} broadcasts outputs and targets of different shapes against "
                "each other; give both the same shape, with outputs.squeeze(-1) or targets[:, None]"
            )
        if kind == "sum" and not benchmark.whole_split:
            raise InputError(
                f"{where}: its {name} is the sum over the examples instead of their mean; "
                "use reduction='mean' or divide by the number of examples"
            )
    others = [name for name, kind in kinds.items() if kind == "other"]
    if not others or benchmark.whole_split:
        return
    are_no_means = "are not means" if len(others) > 1 else "is not a mean"
    what = f"{where}: its {' and '.join(others)} {are_no_means} over the examples"
    if len(largest[0]) > CHUNK:
        raise InputError(
            f"{what}, but splits of more than {CHUNK} examples are measured in chunks; "
            "set whole_split=True to compute it on the outputs of the whole split"
        )
    yield f"{what}; measured on each whole split (set whole_split=True to declare that)"


def _spread(split: Split) -> Split:
    """Some examples from all over the split, which may be sorted."""
    stride = max(1, len(split[0]) // N_TRIED)
    return split[0][::stride][:N_TRIED], split[1][::stride][:N_TRIED]


def _kinds(benchmark: Benchmark, model: nn.Module, split: Split) -> dict[str, Kind]:
    x, y = split
    seed_generators(0, "cpu")
    outputs = model(x)
    variants = list(_variants(outputs, len(y)))
    forwarded: Parts = []
    if not variants:
        forwarded = [(model(x[rows]), y[rows]) for rows in _rows(len(y))]
    kinds: dict[str, Kind] = {}
    for name, function in {"loss": benchmark.loss, **benchmark.metrics}.items():
        if variants:
            tried = [_kind_of_rows(function, own, y) for own in variants]
        else:
            tried = [_kind(function, outputs, y, forwarded)]
        kinds[name] = _first_not_mean(tried)
        if kinds[name] == "other" and _broadcasts(function, outputs, y):
            kinds[name] = "broadcast"
    return kinds


def _first_not_mean(kinds: Sequence[Kind]) -> Kind:
    for kind in kinds:
        if kind != "mean":
            return kind
    return "mean"


def _rows(n: int) -> list[slice]:
    cuts = sorted({0, *(max(1, n // cut) for cut in CUTS), n})
    return [slice(low, high) for low, high in pairwise(cuts)]


def _kind_of_rows(function: Loss, outputs: Any, y: Tensor) -> Kind:
    """The kind, tried on parts as different as possible: examples of a low value come first."""
    n = len(y)
    values = []
    for i in range(n):
        row = slice(i, i + 1)
        values.append(_value(function, sliced(outputs, n, row), y[row]))
    order = torch.tensor(values).nan_to_num(math.inf).argsort(stable=True)
    parts = []
    for rows in _rows(n):
        chosen = order[rows]
        parts.append((sliced(outputs, n, chosen), y[chosen]))
    return _kind(function, outputs, y, parts)


def _variants(outputs: Any, n: int) -> Iterator[Any]:
    """The outputs, and changed ones; none if outputs cannot be divided by examples.

    An untrained model may put all examples into one class, which hides that F1 is not a mean.
    """
    try:
        sliced(outputs, n, slice(0, n))
    except ValueError:
        return
    yield outputs
    yield _changed(outputs, lambda leaf: -leaf)
    yield _changed(outputs, lambda leaf: leaf - leaf.mean(dim=0))


def _changed(outputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    own = []
    for leaf in leaves(outputs):
        own.append(change(leaf) if _is_of_examples(leaf) else leaf)
    return with_leaves(outputs, iter(own))


def _is_of_examples(leaf: Any) -> bool:
    if not isinstance(leaf, Tensor) or leaf.ndim == 0:
        return False
    return leaf.is_floating_point() or leaf.is_complex()


def _kind(function: Loss, outputs: Any, y: Tensor, parts: Parts) -> Kind:
    """How the value on all examples follows from those on the parts; `mean` if unknown."""
    whole = _value(function, outputs, y)
    if len(parts) < 2 or not math.isfinite(whole):
        return "mean"
    if whole != _value(function, outputs, y, seed=1):  # it draws random numbers
        return "mean"
    values = [_value(function, own, targets) for own, targets in parts]
    if not all(map(math.isfinite, values)):
        return "other"
    tolerance = _noise(outputs) * max(map(abs, [whole, *values]))
    weighted = [len(part[1]) * value for part, value in zip(parts, values, strict=True)]
    if abs(whole - sum(weighted) / len(y)) <= tolerance:
        return "mean"
    if abs(whole - sum(values)) <= tolerance:
        return "sum"
    return "other"


def _value(function: Loss, outputs: Any, y: Tensor, *, seed: int = 0) -> float:
    seed_generators(seed, "cpu")
    try:
        return function(outputs, y).item()
    except Exception:
        return math.nan


def _noise(outputs: Any) -> float:
    noise = NOISE
    for leaf in leaves(outputs):
        if _is_of_examples(leaf):
            noise = max(noise, HALF_NOISE * torch.finfo(leaf.dtype).eps)
    return noise


def _broadcasts(function: Loss, outputs: Any, y: Tensor) -> bool:
    """Whether a function is a mean only if outputs and targets have the same shape."""
    if not isinstance(outputs, Tensor):
        return False
    n = len(y)
    reshaped = []
    if outputs.shape != y.shape and outputs.numel() == y.numel():
        reshaped.append((outputs.reshape(y.shape), y))
    if y.ndim > 1 and y.numel() == n:
        reshaped.append((outputs, y.reshape(n)))  # such as classes (n,) beside targets (n, 1)
    for own, targets in reshaped:
        value = _value(function, own, targets)
        if math.isfinite(value) and _kind_of_rows(function, own, targets) == "mean":
            return True
    return False
