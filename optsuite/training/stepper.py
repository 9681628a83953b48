"""One step of every run in a stack, by one optimizer for the flat tensor or by one for each run."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.stack import NotStackableError, Stack
from optsuite.training.train_step import build, has_overflowed, set_lr

# The rates in a parameter group, which differ between runs, and are 1 for the flat tensor.
RATES = ("lr", "initial_lr")


class FlatStepper:
    """One optimizer steps the flat tensor with rate 1; each run's step is scaled by its own rate.

    Correct for a step that is elementwise and proportional to the rate. Raises NotStackableError
    if the optimizer of a run, built on its own module, shows that its step is not.
    """

    def __init__(self, spec: OptimizerSpec, stack: Stack, rates: Sequence[float]) -> None:
        own = build(spec, stack.views[0], rates[0])
        reason = _why_not_flat(own, stack.views[0])
        if reason:
            raise NotStackableError(reason)
        flat = build(spec, _Flat(stack), 1.0)
        if _options(own) != _options(flat):
            raise NotStackableError(
                "its optimizer depends on the rate or the shapes in more than its steps"
            )
        self.optimizers = [flat]
        self._stack = stack
        self._rates = stack.rates(rates)
        self._before = torch.empty_like(stack.flat)

    def step(self, lr_multiplier: float) -> set[int]:
        """Step every run with this fraction of its rate.

        Returns no diverged runs, because a flat step raises for all runs or for none.
        """
        self._before.copy_(self._stack.flat)
        self.optimizers[0].step()
        rates = self._rates if lr_multiplier == 1.0 else self._rates * lr_multiplier
        torch.lerp(self._before, self._stack.flat, rates, out=self._stack.flat)
        return set()


class ViewsStepper:
    """Each run has its own optimizer, for the parameters of its module in the stack."""

    def __init__(
        self, spec: OptimizerSpec, stack: Stack, rates: Sequence[float], seeds: Sequence[int] = ()
    ) -> None:
        own = zip(stack.views, rates, seeds or [0] * stack.size, strict=True)
        self.optimizers = [build(spec, view, lr, seed) for view, lr, seed in own]
        self._stack = stack

    def step(self, lr_multiplier: float) -> set[int]:
        """Step every run with this fraction of its rate. Returns the runs that had diverged."""
        diverged: set[int] = set()
        for index, optimizer in enumerate(self.optimizers):
            set_lr(optimizer, lr_multiplier)
            try:
                optimizer.step()
            except Exception:
                if not has_overflowed(self._stack.views[index]):
                    raise
                diverged.add(index)
        return diverged


Stepper = FlatStepper | ViewsStepper


def _why_not_flat(optimizer: Optimizer, model: nn.Module) -> str:
    """Why an optimizer of one run cannot step the flat tensor; empty if no reason is visible."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            return f"its parameter {name} is frozen"
    groups: list[dict[str, Any]] = optimizer.param_groups
    if len(groups) != 1:
        return f"its optimizer has {len(groups)} parameter groups"
    if "param_names" in groups[0]:
        return "its optimizer knows parameters by name"
    ids = [id(parameter) for parameter in groups[0]["params"]]
    if ids != [id(parameter) for parameter in model.parameters()]:
        return "its optimizer does not hold all parameters in their order"
    return ""


def _options(optimizer: Optimizer) -> list[Mapping[str, object]]:
    """The options of each parameter group, without its parameters and rates."""
    options: list[Mapping[str, object]] = []
    for group in optimizer.param_groups:
        own = dict(group)
        for key in ("params", *RATES):
            own.pop(key, None)
        options.append(own)
    return options


class _Flat(nn.Module):
    """A module whose only parameter is the flat tensor of a stack."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.flat = nn.Parameter(stack.flat)
        self.flat.grad = stack.grad
