"""Comparing what two trainings hold at the same step, with an allowance for chaos."""

import math
from collections.abc import Mapping, Sequence, Set

import torch
from torch import Tensor, nn

from optsuite.training.equivalence.twin import Observed, Twin
from optsuite.training.results import Measurement, RunResult

CHAOS = 10.0  # times what a twin has parted, engines may
CALM = 1e-5  # at small rates no more: what is chaotic there is decided by rounding, as SOAP's eigenvectors are
OF_LOSS = 1e3  # times the tolerance of weights is that of losses, which they determine
ALONE = "its stacked runs do not equal plain ones: some diverge by one of both alone"

Row = Mapping[int, Measurement]
Snapshot = Mapping[str, Tensor]
Triple = tuple[Snapshot, Snapshot, Snapshot]  # plain, stacked, and the twin in the stack


class Comparison:
    """Compares the first `n` runs of a stack with plain ones; the next `n` are their twins, with perturbed weights.

    The first half of the runs has a small rate, the second a large one.
    """

    def __init__(self, twin: Twin, n: int) -> None:
        self._twin = twin
        self._n = n
        self._live = set(range(n))
        self._alone: set[int] = (
            set()
        )  # those of which one engine's had diverged when the other's had not
        self._large: dict[
            int, set[str]
        ] = {}  # tensors that are infinite before training, as masks are
        self._parted: dict[
            tuple[int, str], float
        ] = {}  # the most that a twin has parted up to now, relatively
        self._buffers: dict[int, Mapping[str, int]] = {}

    def parted(
        self, plains: Sequence[Observed], expected: Sequence[Row], stack: Observed, received: Row
    ) -> str:
        """Where they differ by more than rounding explains, as one clause; empty where they do not."""
        for index in sorted(self._live):
            if clause := self._lost_buffer(index, stack.models[index]):
                return clause
            pair = stack.models[
                index : 2 * self._n : self._n
            ]  # those behind were made to explain losses
            plain, view, twin = (_tensors(model) for model in (plains[index].models[0], *pair))
            if index not in self._large:
                self._large[index] = {
                    name for name in plain if _has_overflowed(plain, {name}, self._twin.dtype)
                }
            measured = (expected[index].get(0), received.get(index), received.get(index + self._n))
            ended = (
                plains[index].ended.get(0),
                stack.ended.get(index),
                stack.ended.get(index + self._n),
            )
            over = [
                self._is_over(index, *of)
                for of in zip((plain, view, twin), measured, ended, strict=True)
            ]
            if self._is_alone(index, *over):
                if index in self._alone:
                    return ALONE
                self._alone.add(index)
                continue
            self._alone.discard(index)
            if any(over[:2]) or (over[2] and not self._is_small(index)) or measured[0] is None:
                self._live.discard(index)
                continue
            clause = self._tensors_parted(index, (plain, view, twin))
            if clause := clause or self._losses_parted(index, measured[0], received):
                return clause
        return ""

    def left(self) -> str:
        """What is still open after the last comparison, as a clause; empty where nothing is."""
        return ALONE if self._alone else ""

    def _is_small(self, index: int) -> bool:
        return index < self._n // 2

    def _is_alone(self, index: int, plain: bool, view: bool, twin: bool) -> bool:
        """Whether one of both has diverged, and no chaos that the twin has shown explains it."""
        if plain == view or twin != view:
            return False
        most = max((parted for (of, _), parted in self._parted.items() if of == index), default=0.0)
        return self._is_small(index) or CHAOS * most < 1

    def _is_over(
        self, index: int, held: Snapshot, measured: Measurement | None, ended: RunResult | None
    ) -> bool:
        """Whether a run has diverged, or soon will have."""
        if ended is not None:
            return ended.outcome == "diverged"
        if measured is not None:
            names = {"validation/loss"} | ({"train/loss"} if measured.step else set())
            if not measured.values.keys() >= names:
                return True
        return _has_overflowed(held, held.keys() - self._large[index], self._twin.dtype)

    def _lost_buffer(self, index: int, view: nn.Module) -> str:
        now = {name: buffer.data_ptr() for name, buffer in view.named_buffers()}
        before = self._buffers.setdefault(index, now)
        for name in before.keys() | now.keys():
            if before.get(name) != now.get(name):
                return f"its forward assigns the buffer {name} anew"
        return ""

    def _tensors_parted(self, index: int, tensors: Triple) -> str:
        plain, view, twin = tensors
        sizes = {name: _size(tensor) for name, tensor in plain.items()}
        fractions = {
            name
            for name, tensor in plain.items()
            if tensor.is_floating_point() or tensor.is_complex()
        }
        largest = max((sizes[name] for name in fractions), default=0.0)
        of_weights = max(
            (sizes[name] for name in fractions - self._buffers[index].keys()), default=0.0
        )
        for name, expected in plain.items():
            if name not in view or name not in fractions:
                if name not in view or not torch.equal(expected, view[name]):
                    return f"its stacked runs do not equal plain ones: {name} differs"
                continue
            # a buffer may hold the largest number that there is, as masks do: it tells nothing of weights
            scale = max(sizes[name], largest if name in self._buffers[index] else of_weights)
            difference, chaos = _distance(view[name], expected), _distance(twin[name], view[name])
            if scale:
                difference, chaos = difference / scale, chaos / scale
            if not self._is_allowed(index, name, difference, chaos, self._twin.floor):
                return f"its stacked runs do not equal plain ones: {name} differs by a relative {difference:.1g}"
        return ""

    def _losses_parted(self, index: int, plain: Measurement, received: Row) -> str:
        found = [received[i].values if i in received else {} for i in (index, index + self._n)]
        for name in sorted(plain.values.keys() | found[0].keys()):
            if not name.endswith("/loss"):
                continue
            expected, view, twin = (values.get(name, math.inf) for values in (plain.values, *found))
            scale = abs(expected) or 1.0
            if not math.isfinite(scale):
                scale = abs(view) if math.isfinite(view) else 1.0
            difference = 0.0 if view == expected else abs(view - expected) / scale
            chaos = 0.0 if twin == view else abs(twin - view) / scale
            if not self._is_allowed(
                index, name, difference, chaos, min(0.5, OF_LOSS * self._twin.floor)
            ):
                return (
                    f"its stacked runs do not equal plain ones: {name} at step {plain.step} differs"
                )
        return ""

    def _is_allowed(
        self, index: int, name: str, difference: float, chaos: float, floor: float
    ) -> bool:
        before = self._parted.get((index, name), 0.0)
        if not math.isfinite(chaos) and not self._is_small(index):
            self._live.discard(index)  # nothing that comes later tells anything
            return True
        most = max(before, chaos if math.isfinite(chaos) else math.inf)
        self._parted[index, name] = most
        by_chaos = min(CHAOS * most, max(CALM, floor)) if self._is_small(index) else CHAOS * most
        return difference <= max(floor, by_chaos)


def _tensors(model: nn.Module) -> Mapping[str, Tensor]:
    return {
        name: tensor.detach()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }


def _size(tensor: Tensor) -> float:
    """The largest of its finite numbers."""
    sizes = tensor.abs()
    sizes = sizes[sizes.isfinite()]
    return sizes.max().item() if sizes.numel() else 0.0


def _distance(one: Tensor, other: Tensor) -> float:
    """The largest difference; where both are infinite in the same place, or no number, there is none."""
    apart = (one != other) & ~(one.isnan() & other.isnan())
    if not apart.any():
        return 0.0
    return (one - other)[apart].abs().nan_to_num(nan=math.inf, posinf=math.inf).max().item()


def _has_overflowed(tensors: Snapshot, names: Set[str], dtype: torch.dtype) -> bool:
    """Whether values are not finite, or soon will not be."""
    limit = math.sqrt(torch.finfo(dtype).max)
    numbers = (tensors[name] for name in names if name in tensors)
    fractions = (tensor for tensor in numbers if tensor.is_floating_point() or tensor.is_complex())
    return not all(bool((tensor.abs() < limit).all()) for tensor in fractions)
