"""Models and losses that keep state, which a stack could keep differently from the plain loop."""

import copy
import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Counter(nn.Module):
    """A second branch joins after 20 training passes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.calls = nn.Linear(3, 1), nn.Linear(3, 1), 0

    def forward(self, x: Tensor) -> Any:
        self.calls += self.training
        return self.a(x) + self.b(x) * (0.0 if self.calls <= 20 else 1.0)


class Annealed(nn.Module):
    """A penalty whose weight rises with the training passes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.passes = nn.Linear(3, 1), 0

    def forward(self, x: Tensor) -> Any:
        self.passes += self.training
        return self.a(x) + min(1.0, self.passes / 40) * self.a.weight.square().sum()


class Toggle(nn.Module):
    """Every second pass differs; after two passes the attribute has its first value again."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.odd = nn.Linear(3, 1), False

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.odd = not self.odd
        return self.a(x) * (2.0 if self.odd else 1.0)


class History(nn.Module):
    """Keeps a history in a list inside a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.notes = nn.Linear(3, 1), {"seen": [0.0]}

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.notes["seen"].append(float(len(self.notes["seen"])))
        return self.a(x) / (1 + 0.01 * self.notes["seen"][-1])


class Iterated(nn.Module):
    """Takes its scale from an iterator."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.scales = nn.Linear(3, 1), itertools.cycle([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5])

    def forward(self, x: Tensor) -> Any:
        return self.a(x) * (next(self.scales) if self.training else 1.0)


class Teacher(nn.Module):
    """A frozen copy follows the weights, in place; measuring asks the copy."""

    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Linear(3, 1)
        self.t = copy.deepcopy(self.s).requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        if not self.training:
            return self.t(x)
        with torch.no_grad():
            for slow, fast in zip(self.t.parameters(), self.s.parameters(), strict=True):
                slow.mul_(0.9).add_(fast, alpha=0.1)
        return self.s(x)


class NewBuffer(nn.Module):
    """Assigns its running scale anew."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 1)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.scale = 0.9 * self.scale + 0.1 * x.square().mean().detach()
        return self.a(x / self.scale)


class BufferInPlace(NewBuffer):
    """The same in place, as BatchNorm does it."""

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.scale.mul_(0.9).add_(0.1 * x.square().mean().detach())
        return self.a(x / self.scale)


class NewInEval(NewBuffer):
    """Assigns a buffer anew where it is measured."""

    def forward(self, x: Tensor) -> Any:
        if not self.training:
            self.scale = self.scale * 0.9
        return self.a(x) * self.scale


class CachedMask(nn.Module):
    """Makes a mask of the batch's size and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 1)
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Any:
        if self.mask is None or len(self.mask) != len(x):
            self.mask = torch.linspace(0.5, 1.5, len(x))[:, None]
        return self.a(x * self.mask)


class OnClass(nn.Module):
    """Counts on the class, which all runs share."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Any:
        type(self).calls += 1
        return self.a(x) * (1 + 0.001 * self.calls)


class SeldomOnClass(OnClass):
    """Counts on the class, without an effect in the first million passes."""

    calls = 0

    def forward(self, x: Tensor) -> Any:
        type(self).calls += 1
        return self.a(x) * (1.0 if self.calls < 10**6 else 2.0)


CALLS = {"n": 0}


class InGlobal(nn.Linear):
    """Counts in a global of its module."""

    def forward(self, x: Tensor) -> Tensor:
        CALLS["n"] += 1
        return super().forward(x) * (1 + 0.001 * CALLS["n"])


class SeldomInGlobal(nn.Linear):
    """The same, without an effect in the first million passes."""

    def forward(self, x: Tensor) -> Tensor:
        CALLS["n"] += 1
        return super().forward(x) * (1.0 if CALLS["n"] < 10**6 else 2.0)


class OnFunction(nn.Linear):
    """Counts on its own forward."""

    def forward(self, x: Tensor) -> Tensor:
        own: Any = OnFunction.forward
        own.calls = getattr(own, "calls", 0) + 1
        return super().forward(x)


class ChangesInputs(nn.Linear):
    """Changes its inputs in place."""

    def forward(self, x: Tensor) -> Tensor:
        x *= 1.5
        return super().forward(x)


def in_closure() -> Any:
    """A function that makes models which count in its closure."""
    calls = [0]

    class Counting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            calls[0] += 1
            return super().forward(x) * (1 + 0.001 * calls[0])

    return lambda: Counting(3, 1)


class RunningLoss(nn.Module):
    """A loss divided by its running mean."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = F.mse_loss(outputs, targets)
        self.mean.mul_(0.9).add_(0.1 * loss.detach())
        return loss / self.mean


class RunningMetric(nn.Module):
    """A mean over all measurements so far."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(2))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        error = (outputs - targets).abs().sum()
        self.total += torch.stack([error, torch.tensor(float(len(targets)))])
        return self.total[0] / self.total[1]
