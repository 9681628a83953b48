"""Comparing what two trainings hold at the same step, with an allowance for chaos."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from optsuite.training.run import Measurement
from optsuite.training.twin import Observed, Twin

CHAOS = 10.0  # times what a twin has parted, engines may
CALM = 1e-5  # at small rates no more: what is chaotic there is decided by rounding, as SOAP's eigenvectors are
OF_LOSS = 1e3  # times the tolerance of weights is that of losses, which they determine

Row = Mapping[int, Measurement]
Triple = tuple[Mapping[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor]]  # plain, stacked, and the twin in the stack


class Comparison:
    """Compares the first `n` runs of a stack with plain ones; the next `n` are their twins, with perturbed weights.

    The first half of the runs has a small rate, the second a large one.
    """

    def __init__(self, twin: Twin, n: int) -> None:
        self._twin = twin
        self._n = n
        self._live = set(range(n))
        self._parted: dict[tuple[int, str], float] = {}  # the most that a twin has parted up to now, relatively
        self._buffers: dict[int, Mapping[str, int]] = {}

    def parted(self, plains: Sequence[Observed], expected: Sequence[Row], stack: Observed, received: Row) -> str:
        """Where they differ by more than rounding explains, as one clause; empty where they do not."""
        for index in sorted(self._live):
            if clause := self._lost_buffer(index, stack.models[index]):
                return clause
            if 0 not in expected[index]:  # it has diverged
                self._live.discard(index)
                continue
            pair = stack.models[index : 2 * self._n : self._n]  # those behind were made to explain losses
            plain, view, twin = (_tensors(model) for model in (plains[index].models[0], *pair))
            if _is_over(plain, self._twin.dtype) and _is_over(view, self._twin.dtype):
                self._live.discard(index)
                continue
            clause = self._tensors_parted(index, (plain, view, twin))
            if clause := clause or self._losses_parted(index, expected[index][0], received):
                return clause
        return ""

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
        largest = max((size for name, size in sizes.items() if plain[name].is_floating_point()), default=0.0)
        for name, expected in plain.items():
            if name not in view or not (expected.is_floating_point() or expected.is_complex()):
                if name not in view or not torch.equal(expected, view[name]):
                    return f"its stacked runs do not equal plain ones: {name} differs"
                continue
            scale = max(sizes[name], largest)
            difference, chaos = _size(view[name] - expected), _size(twin[name] - view[name])
            if scale:
                difference, chaos = difference / scale, chaos / scale
            if not self._is_allowed(index, name, difference, chaos, self._twin.floor):
                return f"its stacked runs do not equal plain ones: {name} differs by a relative {difference:.1g}"
        return ""

    def _losses_parted(self, index: int, plain: Measurement, received: Row) -> str:
        for name, expected in plain.values.items():
            if not name.endswith("/loss"):
                continue
            found = [received[i].values if i in received else {} for i in (index, index + self._n)]
            view, twin = (values.get(name, math.inf) for values in found)
            scale = abs(expected) or 1.0
            difference, chaos = abs(view - expected) / scale, abs(twin - view) / scale
            if not self._is_allowed(index, name, difference, chaos, min(0.5, OF_LOSS * self._twin.floor)):
                return f"its stacked runs do not equal plain ones: {name} at step {plain.step} differs"
        return ""

    def _is_allowed(self, index: int, name: str, difference: float, chaos: float, floor: float) -> bool:
        before = self._parted.get((index, name), 0.0)
        most = max(before, chaos if math.isfinite(chaos) else math.inf)
        self._parted[index, name] = most
        by_chaos = CHAOS * most if index >= self._n // 2 else min(CHAOS * most, max(CALM, floor))
        return difference <= max(floor, by_chaos)


def _tensors(model: nn.Module) -> Mapping[str, Tensor]:
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def _size(tensor: Tensor) -> float:
    return tensor.abs().max().item() if tensor.numel() else 0.0


def _is_over(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> bool:
    """Whether values are not finite, or soon will not be."""
    limit = math.sqrt(torch.finfo(dtype).max)
    fractions = (tensor for tensor in tensors.values() if tensor.is_floating_point() or tensor.is_complex())
    return not all(_size(tensor) < limit for tensor in fractions)
