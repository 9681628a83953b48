"""State that a checkpoint cannot hold disables checkpoints and changes no number."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.interrupted import ADAM, BENCHMARK, LEFT, MIDDLE, layers, trained
from torch import nn

from optsuite import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("steps")


class Forgetful(torch.optim.SGD):
    """Keeps state that its step depends on outside its state_dict."""

    def __init__(self, params: Any, lr: float, memory: Any) -> None:
        super().__init__(params, lr=lr)
        self.memory = memory

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if isinstance(self.memory, torch.Generator):
            scale = torch.rand((), generator=self.memory).item()
        else:
            self.memory.append(1)
            scale = 1 / len(self.memory)
        for parameter in self.param_groups[0]["params"]:
            parameter.grad.mul_(scale)
        super().step()


@pytest.mark.parametrize("make", [list, torch.Generator])
def test_state_outside_the_state_dict_disables_checkpoints(
    tmp_path: Path, steps: list[int], make: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    def build(model: nn.Module, lr: float) -> Forgetful:
        return Forgetful(model.parameters(), lr, make())

    spec = replace(OPTIMIZERS["sgd"], build=build, fixed={}, lr_linear=False)
    undisturbed = trained(spec, None)
    trained(spec, tmp_path, until=MIDDLE)
    steps.clear()
    assert trained(spec, tmp_path) == undisturbed
    assert len(steps) == BENCHMARK.max_steps
    assert "training continues without" in caplog.text


class Peculiar(nn.Module):
    """Registers a hook, and may count its steps in Python, or set a part of itself to eval mode."""

    def __init__(self, counts: bool) -> None:
        super().__init__()
        self.layers = layers().eval()
        self.layers.register_forward_hook(lambda module, inputs, outputs: outputs * 2)
        self.counts, self.state = counts, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state += self.counts and self.training
        return self.layers(x) / (1 + self.state)  # type: ignore[no-any-return]


@pytest.mark.parametrize("counts", [True, False])
def test_model_with_state_in_python_gives_the_same_numbers(
    tmp_path: Path, steps: list[int], counts: bool
) -> None:
    benchmark = replace(BENCHMARK, model=lambda: Peculiar(counts))
    undisturbed = trained(ADAM, None, benchmark=benchmark)
    trained(ADAM, tmp_path, benchmark=benchmark, until=MIDDLE)
    steps.clear()
    assert trained(ADAM, tmp_path, benchmark=benchmark) == undisturbed
    assert len(steps) == (BENCHMARK.max_steps if counts else LEFT)


class OnParameters(torch.optim.SGD):
    """Momentum that no attribute of the optimizer holds."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            parameter.before = 0.9 * getattr(parameter, "before", 0.0) + parameter.grad
            parameter -= 0.01 * parameter.before


class Accumulating(torch.optim.SGD):
    """Its gradients outlive a step."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter.grad *= 0.5


@pytest.mark.parametrize("kind", [OnParameters, Accumulating])
def test_state_outside_attributes_disables_checkpoints(tmp_path: Path, kind: Any) -> None:
    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return kind(model.parameters(), lr=0.01)  # type: ignore[no-any-return]

    spec = replace(OPTIMIZERS["sgd"], build=build, lr_linear=False)
    undisturbed = trained(spec, None)
    interrupted = trained(spec, tmp_path, until=MIDDLE)
    assert interrupted == undisturbed[: len(interrupted)]
    assert list(tmp_path.iterdir()) == []
    assert trained(spec, tmp_path) == undisturbed
