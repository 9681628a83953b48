"""Models, losses and optimizers that a stack could train differently from the plain loop."""

import copy
import itertools
import random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

# Models: three inputs, one output


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


BACKBONE = nn.Linear(3, 8).requires_grad_(False)


def with_backbone() -> nn.Module:
    """All models share one frozen layer."""
    return nn.Sequential(BACKBONE, nn.ReLU(), nn.Linear(8, 1))


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


# Losses


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


class WeightedLoss(nn.Module):
    """A loss with a tensor of its own, which never changes."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.full((1,), 2.0))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (self.weight * (outputs - targets).square()).mean()


# Optimizers: each build(model, lr)


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
