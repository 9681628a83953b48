"""Optimizers that a stack could step differently from the plain loop: each build(model, lr)."""

from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer


class Lookahead(Optimizer):
    """Every fifth step goes halfway back."""

    def __init__(self, params: Any, lr: float, every: int = 5) -> None:
        super().__init__(params, {"lr": lr})
        self.n, self.every = 0, every

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        self.n += 1
        for parameter in self.param_groups[0]["params"]:
            slow = self.state[parameter].setdefault("slow", parameter.clone())
            parameter -= self.param_groups[0]["lr"] * parameter.grad
            if self.n % self.every == 0:
                slow += 0.5 * (parameter - slow)
                parameter.copy_(slow)


class Clipped(SGD):
    """Clips by the norm of all gradients."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        torch.nn.utils.clip_grad_norm_(self.param_groups[0]["params"], 0.1)
        super().step(closure)


class TrustRatio(Optimizer):
    """Steps in proportion to the norm of each tensor, as LARS does."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            ratio = parameter.norm() / (parameter.grad.norm() + 1e-8)
            parameter -= self.param_groups[0]["lr"] * ratio * parameter.grad


class Centralized(SGD):
    """Centers each row of the gradients of matrices; a flat tensor has no rows."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            if parameter.ndim > 1:
                parameter.grad -= parameter.grad.mean(dim=1, keepdim=True)
        super().step(closure)


class WarmedUp(SGD):
    """Counts its steps and warms up; still elementwise and proportional to lr."""

    n = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.n += 1
        for parameter in self.param_groups[0]["params"]:
            parameter -= min(1.0, self.n / 10) * self.param_groups[0]["lr"] * parameter.grad


class Projected(SGD):
    """Keeps weights within bounds: elementwise, but not proportional to lr."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for parameter in self.param_groups[0]["params"]:
            parameter.clamp_(-0.5, 0.5)


class Noisy(SGD):
    """Adds noise of torch's generator to its steps."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for parameter in self.param_groups[0]["params"]:
            parameter += 0.01 * self.param_groups[0]["lr"] * torch.randn_like(parameter)


def by_ndim(model: nn.Module, lr: float) -> Optimizer:
    """Weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": 0.01},
        {"params": others, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=lr)


def by_name(model: nn.Module, lr: float) -> Optimizer:
    """A smaller rate for biases."""
    groups = []
    for name, p in model.named_parameters():
        factor = 0.1 if name.endswith("bias") else 1.0
        groups.append({"params": [p], "lr": lr * factor})
    return SGD(groups, lr=lr)


def with_names(model: nn.Module, lr: float) -> Optimizer:
    """Parameters by name, in one group."""
    return SGD(model.named_parameters(), lr=lr)


def some_decay(model: nn.Module, lr: float) -> Optimizer:
    """Weight decay only where the model has matrices: one group, but not that of a flat tensor."""
    matrices = any(p.ndim >= 2 for p in model.parameters())
    return SGD(model.parameters(), lr=lr, weight_decay=0.01 if matrices else 0.0)


def decay_of_rate(model: nn.Module, lr: float) -> Optimizer:
    """More weight decay at a small rate."""
    return SGD(model.parameters(), lr=lr, weight_decay=min(0.1, 1e-3 / lr))


def by_width(model: nn.Module, lr: float) -> Optimizer:
    """A rate divided by the number of weights."""
    return SGD(model.parameters(), lr=lr / sum(p.numel() for p in model.parameters()))


def last_only(model: nn.Module, lr: float) -> Optimizer:
    """Trains only the last two tensors."""
    return SGD(list(model.parameters())[-2:], lr=lr)
