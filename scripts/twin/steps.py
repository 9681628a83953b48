"""Optimizers."""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from .constants import BETA, DECAY, EPSILON, MOMENTUM


def damping(step: int) -> float:
    """Less at first."""
    warm = step / 5
    return min(1.0, warm + 0.1)


class Drag(Optimizer):
    """Momentum with decay."""

    start = 0

    def __init__(self, params: object, lr: float, decay: float = DECAY) -> None:
        super().__init__(params, {"lr": lr, "decay": decay})  # type: ignore[arg-type]
        self.n_steps = self.start

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move."""
        self.n_steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                speed = self.state[p].setdefault("speed", torch.zeros_like(p))
                speed.mul_(MOMENTUM).add_(p.grad)
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(speed, alpha=-group["lr"] * damping(self.n_steps))


class Scaled(Optimizer):
    """Steps scaled by a mean of squares."""

    beta = BETA

    def __init__(self, params: object, lr: float) -> None:
        super().__init__(params, {"lr": lr})  # type: ignore[arg-type]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move."""
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.ones_like(p))
                mean.mul_(self.beta).addcmul_(p.grad, p.grad, value=1 - self.beta)
                p.sub_(group["lr"] * p.grad / (mean.sqrt() + EPSILON))


def drag(model: nn.Module, lr: float) -> Optimizer:
    """The first."""
    return Drag(model.parameters(), lr)


def scaled(model: nn.Module, lr: float) -> Optimizer:
    """The second."""
    return Scaled(model.parameters(), lr=lr * 0.5)
