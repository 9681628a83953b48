"""Whether losses and metrics are means over the examples they are given, tried on the outputs of an untrained model.

The value on all examples must then be the mean of the values on uneven parts, weighted by their sizes.
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

N_TRIED = 211  # examples: a prime, so that few other dimensions of an output are as long
CUTS = (6, 2)  # parts of a sixth, a third and a half: uneven, so that a mean of their means shows
NOISE = (
    1e-4  # relative: float32 sums differ in the seventh digit, what is no mean in the first three
)
HALF_NOISE = 4  # times the resolution of a coarser dtype
Kind = Literal["mean", "sum", "broadcast", "other"]
Parts = Sequence[tuple[int, Any, Tensor]]  # the number of examples, their outputs, their targets


@torch.no_grad()
def check_means(benchmark: Benchmark, model: nn.Module, splits: Splits) -> Iterator[str]:
    """Yield a note where a loss or metric is no mean, but measured exactly. Raises InputError that names it where it is not."""
    largest = max(splits.validation, splits.test, key=lambda split: len(split[0]))
    with evaluating(model):
        kinds = _kinds(benchmark, model, _spread(largest))
    where = f"benchmark {benchmark.name}"
    for name, kind in kinds.items():
        if kind == "broadcast":
            raise InputError(
                f"{where}: its {name} broadcasts outputs and targets of different shapes against each other; "
                "give both the same shape, as outputs.squeeze(-1) or targets[:, None] do"
            )
        if kind == "sum" and not benchmark.whole_split:
            raise InputError(
                f"{where}: its {name} is the sum over the examples, allowed: their mean; "
                "say reduction='mean' or divide by the number of examples"
            )
    others = [name for name, kind in kinds.items() if kind == "other"]
    if not others or benchmark.whole_split:
        return
    named = f"{' and '.join(others)} {'are' if len(others) > 1 else 'is'} no mean over examples"
    if len(largest[0]) > CHUNK:
        raise InputError(
            f"{where}: its {named}, and splits of more than {CHUNK} examples are measured in chunks; "
            "say whole_split=True, which computes it on the outputs of the whole split"
        )
    yield f"{where}: its {named}; measured on each whole split (whole_split=True says so)"


def _spread(split: Split) -> Split:
    """Some examples from all over the split, which may be sorted."""
    stride = max(1, len(split[0]) // N_TRIED)
    return split[0][::stride][:N_TRIED], split[1][::stride][:N_TRIED]


def _kinds(benchmark: Benchmark, model: nn.Module, split: Split) -> dict[str, Kind]:
    x, y = split
    seed_generators(0, "cpu")
    outputs = model(x)
    variants = list(_variants(outputs, len(y)))
    forwarded = (
        [] if variants else [(len(y[rows]), model(x[rows]), y[rows]) for rows in _rows(len(y))]
    )
    kinds = {}
    for name, function in {"loss": benchmark.loss, **benchmark.metrics}.items():
        tried = [_kind_of_rows(function, own, y) for own in variants] or [
            _kind(function, outputs, y, forwarded)
        ]
        kind: Kind = next((kind for kind in tried if kind != "mean"), "mean")
        if kind == "other" and _broadcasts(function, outputs, y):
            kind = "broadcast"
        kinds[name] = kind
    return kinds


def _rows(n: int) -> list[slice]:
    cuts = sorted({0, *(max(1, n // cut) for cut in CUTS), n})
    return [slice(low, high) for low, high in pairwise(cuts)]


def _kind_of_rows(function: Loss, outputs: Any, y: Tensor) -> Kind:
    """The kind by parts of the outputs, made as unlike as can be: examples of a low value first."""
    n = len(y)
    values = [_value(function, sliced(outputs, n, slice(i, i + 1)), y[i : i + 1]) for i in range(n)]
    order = torch.tensor(values).nan_to_num(math.inf).argsort(stable=True)
    parts = [
        (len(order[rows]), sliced(outputs, n, order[rows]), y[order[rows]]) for rows in _rows(n)
    ]
    return _kind(function, outputs, y, parts)


def _variants(outputs: Any, n: int) -> Iterator[Any]:
    """The outputs, and others: an untrained model may call all examples alike, which hides that F1 is no mean.

    None where outputs cannot be divided by examples.
    """
    try:
        sliced(outputs, n, slice(0, n))
    except ValueError:
        return
    yield outputs
    changes: list[Callable[[Tensor], Tensor]] = [lambda t: -t, lambda t: t - t.mean(dim=0)]
    for change in changes:
        own = [change(leaf) if _is_of_examples(leaf) else leaf for leaf in leaves(outputs)]
        yield with_leaves(outputs, iter(own))


def _is_of_examples(leaf: Any) -> bool:
    return (
        isinstance(leaf, Tensor)
        and leaf.ndim > 0
        and (leaf.is_floating_point() or leaf.is_complex())
    )


def _kind(function: Loss, outputs: Any, y: Tensor, parts: Parts) -> Kind:
    """What the value on all is of those on the parts; `mean` too where nothing can be told."""
    whole = _value(function, outputs, y)
    if len(parts) < 2 or not math.isfinite(whole) or whole != _value(function, outputs, y, seed=1):
        return "mean"  # of a function that draws random numbers among them
    values = [_value(function, own, targets) for _, own, targets in parts]
    if not all(map(math.isfinite, values)):
        return "other"
    tolerance = _noise(outputs) * max(map(abs, [whole, *values]))
    if (
        abs(whole - sum(n * value for (n, _, _), value in zip(parts, values, strict=True)) / len(y))
        <= tolerance
    ):
        return "mean"
    return "sum" if abs(whole - sum(values)) <= tolerance else "other"


def _value(function: Loss, outputs: Any, y: Tensor, *, seed: int = 0) -> float:
    seed_generators(seed, "cpu")
    try:
        return function(outputs, y).item()
    except Exception:
        return math.nan


def _noise(outputs: Any) -> float:
    resolutions = [torch.finfo(leaf.dtype).eps for leaf in leaves(outputs) if _is_of_examples(leaf)]
    return max([NOISE, *(HALF_NOISE * eps for eps in resolutions)])


def _broadcasts(function: Loss, outputs: Any, y: Tensor) -> bool:
    """Whether a function that is no mean is one where outputs and targets have the same shape."""
    if not isinstance(outputs, Tensor):
        return False
    n = len(y)
    reshaped = []
    if outputs.shape != y.shape and outputs.numel() == y.numel():
        reshaped.append((outputs.reshape(y.shape), y))
    if y.ndim > 1 and y.numel() == n:
        reshaped.append((outputs, y.reshape(n)))  # as classes (n,) beside targets (n, 1)
    for own, targets in reshaped:
        value = _value(function, own, targets)
        if math.isfinite(value) and _kind_of_rows(function, own, targets) == "mean":
            return True
    return False
