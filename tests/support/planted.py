"""Changes that are planted in optimizers, and those that a comparison of nights finds."""

import time
from typing import Any

import torch
from torch import nn

from optsuite.analysis.changes import Change


def smaller(kind: Any, model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    return kind(model.parameters(), lr=0.9 * lr, **fixed)  # type: ignore[no-any-return]


def forgetful(model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


def noisy(kind: Any, seed: int, model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    """Like a version of a library that sums in a different order."""
    generator = torch.Generator().manual_seed(seed)

    class Noisy(kind):  # type: ignore[misc]
        @torch.no_grad()
        def step(self) -> None:
            with torch.enable_grad():
                super().step()
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.mul_(1 + 1e-6 * torch.randn(parameter.shape, generator=generator))

    return Noisy(model.parameters(), lr=lr, **fixed)


class Slow(torch.optim.Adam):
    """Takes half as long again."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        started = time.perf_counter()
        super().step(closure)
        time.sleep(0.5 * (time.perf_counter() - started) + 2e-4)


def of(kind: Any, model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    return kind(model.parameters(), lr=lr, **fixed)  # type: ignore[no-any-return]


def found(changes: list[Change]) -> set[tuple[str, str]]:
    return {(change.optimizer, change.quantity) for change in changes if change.kind == "worse"}


def beside_time(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change.quantity != "step_time"]


def of_score(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change.quantity == "score"]
