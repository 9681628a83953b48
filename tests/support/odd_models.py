"""Models and losses that a stack could train differently from the plain loop, without state."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class SomeSteps(nn.Module):
    """Full training batches take another branch, whose weights get no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Any:
        if self.training and x.shape[0] == 16:
            return self.a(x).detach() + self.a.bias
        return self.a(x)


class Unused(nn.Module):
    """A layer without gradients: weight decay would shrink it if they were zero, not if None."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Any:
        return self.a(x)


class Frozen(nn.Module):
    """A frozen first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8).requires_grad_(False), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Any:
        return self.b(self.a(x).relu())


class Unfreezing(Frozen):
    """The first layer is trained from its second pass on."""

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        if self.training:
            self.a.requires_grad_()
        return y


BACKBONE = nn.Linear(3, 8).requires_grad_(False)


def with_backbone() -> nn.Module:
    """All models share one frozen layer."""
    return nn.Sequential(BACKBONE, nn.ReLU(), nn.Linear(8, 1))


class OwnPermutation(nn.Module):
    """Each seed has its own order of the inputs, which is not a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.order = nn.Linear(3, 1), torch.randperm(3).tolist()

    def forward(self, x: Tensor) -> Any:
        return self.a(x[:, self.order] * torch.tensor([1.0, 2.0, 3.0]))


class PythonDropout(nn.Module):
    """Leaves out the second branch at random, by Python's generator."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Any:
        return self.a(x) + self.b(x) * (random.random() < 0.5 if self.training else 0.5)


class NumpyNoise(nn.Linear):
    """Adds noise of numpy's generator."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.1 * np.random.randn() if self.training else x)


class TorchNoise(nn.Linear):
    """Adds noise of torch's generator."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.1 * torch.randn(3) if self.training else x)


class OwnGenerator(nn.Module):
    """Draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.draws = nn.Linear(3, 1), np.random.default_rng(0)

    def forward(self, x: Tensor) -> Any:
        return self.a(x) * (1 + 0.1 * float(self.draws.normal()) if self.training else 1.0)


class Clamped(nn.Linear):
    """Clamps its weights before it uses them."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.3, 0.3)
        return super().forward(x)


class ClampedData(nn.Linear):
    """The same through `.data`."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data.clamp_(-0.3, 0.3)
        return super().forward(x)


class NewData(nn.Linear):
    """Puts other numbers into its weight."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = self.weight.data.clamp(-0.3, 0.3)
        return super().forward(x)


def hooked() -> nn.Module:
    """A model whose gradients are clipped by a hook on a parameter, which a stack does not call."""
    model = nn.Linear(3, 1)

    def clipped(gradient: Tensor) -> Tensor:
        return gradient.clamp(-0.1, 0.1)

    model.weight.register_hook(clipped)  # type: ignore[no-untyped-call]
    return model


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Any:
        return self.c(self.b(self.a(x).tanh()).tanh())


class Mixed(nn.Module):
    """Parameters of two dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 1).double()

    def forward(self, x: Tensor) -> Any:
        return self.b(self.a(x).double()).float()


def normalised() -> nn.Module:
    """An ordinary model with BatchNorm and LayerNorm."""
    return nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 1)
    )


class WeightedLoss(nn.Module):
    """A loss with a tensor of its own, which never changes."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.full((1,), 2.0))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (self.weight * (outputs - targets).square()).mean()
