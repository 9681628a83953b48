"""Comparing what two trainings hold at the same step, with an allowance for chaos."""

import math
from collections.abc import Mapping, Sequence, Set

import torch
from torch import Tensor, nn

from optsuite.training.equivalence.twin import Observed, Twin
from optsuite.training.numerics import has_fractions
from optsuite.training.results import Measurement, RunResult

CHAOS = 10.0  # engines may differ by so many times the distance of a perturbed run
# At small rates they may differ by no more. What is chaotic there, such as SOAP's eigenvectors, is
# decided by rounding.
CALM = 1e-5
OF_LOSS = 1e3  # the tolerance of losses, in tolerances of the weights that determine them
UNEQUAL = "its stacked runs do not equal plain ones"
ALONE = f"{UNEQUAL}: some diverge in only one of the engines"

Row = Mapping[int, Measurement]
Snapshot = Mapping[str, Tensor]
Triple = tuple[Snapshot, Snapshot, Snapshot]  # plain, stacked, and the perturbed run in the stack


class Comparison:
    """Compares the first `n` runs of a stack with plain ones.

    The next `n` runs of the stack are the same with perturbed weights. The first half of the
    `n` runs has a small rate, the second half a large one.
    """

    def __init__(self, twin: Twin, n: int) -> None:
        self._twin = twin
        self._n = n
        self._live = set(range(n))
        # Runs that had diverged in one engine but not in the other at the last comparison.
        self._alone: set[int] = set()
        # By run: tensors that are infinite before training, such as masks.
        self._large: dict[int, set[str]] = {}
        # By run and name: the largest relative distance of the perturbed run so far.
        self._differences: dict[int, dict[str, float]] = {index: {} for index in range(n)}
        self._buffers: dict[int, Mapping[str, int]] = {}

    def disagreement(
        self, plains: Sequence[Observed], expected: Sequence[Row], stack: Observed, received: Row
    ) -> str:
        """Where they differ by more than rounding explains, as a clause; empty if they agree."""
        for index in sorted(self._live):
            clause = self._lost_buffer(index, stack.models[index]) or self._of_run(
                index, plains[index], expected[index].get(0), stack, received
            )
            if clause:
                return clause
        return ""

    def left(self) -> str:
        """What is still unexplained after the last comparison, as a clause; empty if nothing is."""
        return ALONE if self._alone else ""

    def _of_run(
        self,
        index: int,
        training: Observed,
        measured: Measurement | None,
        stack: Observed,
        received: Row,
    ) -> str:
        """Where one run differs between its plain `training` and the stack, as a clause."""
        perturbed_index = index + self._n
        plain = _tensors(training.models[0])
        view = _tensors(stack.models[index])
        perturbed = _tensors(stack.models[perturbed_index])
        if index not in self._large:
            dtype = self._twin.dtype
            self._large[index] = {name for name in plain if _has_overflowed(plain, {name}, dtype)}
        plain_over = self._is_over(index, plain, measured, training.ended.get(0))
        view_over = self._is_over(index, view, received.get(index), stack.ended.get(index))
        perturbed_over = self._is_over(
            index, perturbed, received.get(perturbed_index), stack.ended.get(perturbed_index)
        )
        if self._is_alone(index, plain_over, view_over, perturbed_over):
            if index in self._alone:
                return ALONE
            self._alone.add(index)
            return ""
        self._alone.discard(index)
        chaos_is_unknown = perturbed_over and not self._is_small(index)
        if plain_over or view_over or chaos_is_unknown or measured is None:
            self._live.discard(index)
            return ""
        clause = self._of_tensors(index, (plain, view, perturbed))
        return clause or self._of_losses(index, measured, received)

    def _is_small(self, index: int) -> bool:
        return index < self._n // 2

    def _is_alone(self, index: int, plain: bool, view: bool, perturbed: bool) -> bool:
        """Whether only one engine has diverged, and the perturbed run does not explain it."""
        if plain == view or perturbed != view:
            return False
        most = max(self._differences[index].values(), default=0.0)
        return self._is_small(index) or CHAOS * most < 1

    def _is_over(
        self, index: int, tensors: Snapshot, measured: Measurement | None, ended: RunResult | None
    ) -> bool:
        """Whether a run has diverged, or is about to."""
        if ended is not None:
            return ended.outcome == "diverged"
        if measured is not None:
            finite = {"validation/loss"}
            if measured.step:
                finite.add("train/loss")
            if not measured.values.keys() >= finite:
                return True
        return _has_overflowed(tensors, tensors.keys() - self._large[index], self._twin.dtype)

    def _lost_buffer(self, index: int, view: nn.Module) -> str:
        now = {name: buffer.data_ptr() for name, buffer in view.named_buffers()}
        before = self._buffers.setdefault(index, now)
        for name in before.keys() | now.keys():
            if before.get(name) != now.get(name):
                return f"its forward reassigns the buffer {name}"
        return ""

    def _of_tensors(self, index: int, tensors: Triple) -> str:
        plain, view, perturbed = tensors
        buffers = self._buffers[index]
        sizes = {name: _size(tensor) for name, tensor in plain.items() if has_fractions(tensor)}
        largest = 0.0
        largest_weight = 0.0
        for name, size in sizes.items():
            largest = max(largest, size)
            if name not in buffers:
                largest_weight = max(largest_weight, size)
        for name, expected in plain.items():
            if name not in view:
                return f"{UNEQUAL}: {name} differs"
            if not has_fractions(expected):
                if not torch.equal(expected, view[name]):
                    return f"{UNEQUAL}: {name} differs"
                continue
            # A buffer such as a mask may hold the largest number of its dtype, which says nothing
            # about the scale of weights.
            scale = max(sizes[name], largest if name in buffers else largest_weight)
            difference = _distance(view[name], expected)
            chaos = _distance(perturbed[name], view[name])
            if scale:
                difference, chaos = difference / scale, chaos / scale
            if not self._is_allowed(index, name, difference, chaos, self._twin.floor):
                return f"{UNEQUAL}: {name} differs by a relative {difference:.1g}"
        return ""

    def _of_losses(self, index: int, plain: Measurement, received: Row) -> str:
        view_values = _values(received, index)
        perturbed_values = _values(received, index + self._n)
        floor = min(0.5, OF_LOSS * self._twin.floor)
        for name in sorted(plain.values.keys() | view_values.keys()):
            if not name.endswith("/loss"):
                continue
            expected = plain.values.get(name, math.inf)
            view = view_values.get(name, math.inf)
            perturbed = perturbed_values.get(name, math.inf)
            scale = abs(expected) or 1.0
            if not math.isfinite(scale):
                scale = abs(view) if math.isfinite(view) else 1.0
            difference = _relative(view, expected, scale)
            chaos = _relative(perturbed, view, scale)
            if not self._is_allowed(index, name, difference, chaos, floor):
                return f"{UNEQUAL}: {name} at step {plain.step} differs"
        return ""

    def _is_allowed(
        self, index: int, name: str, difference: float, chaos: float, floor: float
    ) -> bool:
        is_small = self._is_small(index)
        if not math.isfinite(chaos):
            if not is_small:
                self._live.discard(index)  # later differences prove nothing
                return True
            chaos = math.inf
        most = max(self._differences[index].get(name, 0.0), chaos)
        self._differences[index][name] = most
        by_chaos = CHAOS * most
        if is_small:
            by_chaos = min(by_chaos, max(CALM, floor))
        return difference <= max(floor, by_chaos)


def _tensors(model: nn.Module) -> Snapshot:
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def _values(row: Row, index: int) -> Mapping[str, float]:
    return row[index].values if index in row else {}


def _relative(one: float, other: float, scale: float) -> float:
    if one == other:  # infinite losses too
        return 0.0
    return abs(one - other) / scale


def _size(tensor: Tensor) -> float:
    """The largest of its finite numbers."""
    sizes = tensor.abs()
    sizes = sizes[sizes.isfinite()]
    return sizes.max().item() if sizes.numel() else 0.0


def _distance(one: Tensor, other: Tensor) -> float:
    """The largest difference; equal infinities and pairs of NaN do not differ."""
    apart = (one != other) & ~(one.isnan() & other.isnan())
    if not apart.any():
        return 0.0
    return (one - other)[apart].abs().nan_to_num(nan=math.inf, posinf=math.inf).max().item()


def _has_overflowed(tensors: Snapshot, names: Set[str], dtype: torch.dtype) -> bool:
    """Whether values are not finite, or are about to overflow."""
    limit = math.sqrt(torch.finfo(dtype).max)
    for name in names:
        if name not in tensors or not has_fractions(tensors[name]):
            continue
        if not (tensors[name].abs() < limit).all():
            return True
    return False
