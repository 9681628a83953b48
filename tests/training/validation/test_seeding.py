"""Random numbers follow the seed; weights and data that differ each time are refused."""

import random
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from support.numerics import LINE, SGD, checked, final, of, split_96
from torch import Tensor, nn

from optsuite import Splits
from optsuite.errors import InputError
from optsuite.training.plain import initial_model
from optsuite.training.plan import plan
from optsuite.training.train_step import build
from optsuite.training.validation.definitions import check_repeatable


class RandomDepth(nn.Module):
    """Stochastic depth and initial weights drawn with a generator that is not torch's."""

    def __init__(self, draw: Any) -> None:
        super().__init__()
        self.draw = draw
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 1)
        with torch.no_grad():
            self.b.weight.fill_(draw())

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.draw() < 0.7:
            x = x + self.a(x)
        return self.b(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.random, lambda: np.random.normal()],
    ids=["python", "numpy", "normal"],
)
def test_generators_of_python_and_numpy_are_seeded_with_the_run_and_the_step(draw: Any) -> None:
    benchmark = of(model=lambda: RandomDepth(draw))
    assert checked(benchmark) == ()
    first = final(benchmark, seed=1)
    random.random(), np.random.random()
    assert final(benchmark, seed=1) == first
    assert final(benchmark, seed=2) != first
    chosen = plan(benchmark, replace(SGD, lr_linear=True), LINE, device="cpu", engine="stacked")
    assert chosen.engine == "plain"
    assert chosen.reason.startswith(
        ("its forward draws random numbers from", "its forward changes the attribute draw")
    )


def test_optimizer_that_draws_when_built_is_paired_by_seed() -> None:
    def noisy(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        chance = random.random() + np.random.random() + torch.rand(()).item()
        return torch.optim.SGD(model.parameters(), lr=lr * (1 + chance))

    spec = replace(SGD, build=noisy, fixed={}, lr_linear=False)
    assert final(of(), spec, seed=3) == final(of(), spec, seed=3)
    built = [build(spec, initial_model(of(), 0), 1.0, seed) for seed in (0, 0, 1)]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in built]
    assert rates[0] == rates[1] != rates[2]


def test_initial_weights_drawn_elsewhere_or_shared_are_refused() -> None:
    generator, weight, layer = np.random.default_rng(), torch.ones(3, 1), nn.Linear(3, 1)

    def drawn() -> nn.Module:
        model = nn.Linear(3, 1)
        with torch.no_grad():
            model.weight.fill_(generator.random())
        return model

    class Sharing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(weight)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.w

    with pytest.raises(InputError, match="initial weights differ each time"):
        checked(of(model=drawn))
    for model, name in ((Sharing, "w"), (lambda: layer, "weight")):
        with pytest.raises(
            InputError, match=f"its model shares the weight {name} with the next one"
        ):
            checked(of(model=model))


@pytest.mark.parametrize(
    "draw", [lambda: torch.tensor(np.random.randn(96, 3)).float(), lambda: torch.randn(96, 3)]
)
def test_data_that_differ_each_time_are_refused(draw: Any) -> None:
    def noisy() -> Splits:
        return split_96(draw(), lambda part: part.sum(1, keepdim=True))

    with pytest.raises(
        InputError,
        match="its dataset differs each time it is made; seed a generator inside the function",
    ):
        check_repeatable(of(dataset=noisy), noisy())
    cached = cache(noisy)
    with pytest.raises(InputError, match="its dataset differs"):
        check_repeatable(of(dataset=cached), cached())
    check_repeatable(of(), LINE)
