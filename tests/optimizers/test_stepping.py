"""How optimizers are stepped: closures, modes, schedules, groups, failures and costs."""

import math
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from suites import tiny
from torch import nn

from optsuite import OPTIMIZERS
from optsuite.errors import InputError
from optsuite.optimizers.muon import Together, muon
from optsuite.schedules import cosine
from optsuite.training.engines import ENGINES
from optsuite.training.plain import initial_model, train
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.step_cost import measure_costs
from optsuite.training.validation.definitions import check_pair


def test_error_of_optimizer_after_overflow_is_divergence() -> None:
    class Fragile(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            super().step(closure)
            if not all(p.isfinite().all() for p in self.param_groups[0]["params"]):
                raise RuntimeError("cannot factorise")

    def fragile(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return Fragile(model.parameters(), lr=lr)

    spec = replace(OPTIMIZERS["sgd"], name="fragile", build=fragile, fixed={}, lr_linear=False)
    runs = [
        Run(benchmark="tiny_line", optimizer="fragile", lr=lr, seed=0, kind="trial")
        for lr in (1e30, 0.05)
    ]
    for engine in ENGINES.values():
        updates = list(engine.train(tiny.BENCHMARK, spec, runs, tiny.line()))
        ended = {index: update for index, update in updates if isinstance(update, RunResult)}
        assert ended == {0: RunResult(outcome="diverged"), 1: RunResult(outcome="finished")}


def test_muon_trains_all_but_matrices_with_adamw() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Conv2d(1, 2, 3))
    optimizer = muon(model, 0.1, **OPTIMIZERS["muon"].fixed)
    assert isinstance(optimizer, Together)
    names = [[tuple(p.shape) for p in part.param_groups[0]["params"]] for part in optimizer.parts]
    assert names == [[(3, 4)], [(3,), (2, 1, 3, 3), (2,)]]
    optimizer.param_groups[1]["lr"] = 0.5
    assert optimizer.parts[1].param_groups[0]["lr"] == 0.5


def test_closure_makes_one_gradient_a_step() -> None:
    calls = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        return nn.functional.mse_loss(outputs, targets)

    benchmark = replace(tiny.BENCHMARK, loss=loss, max_steps=7, eval_every=7)
    run = Run(benchmark="tiny_line", optimizer="lbfgs", lr=0.1, seed=0, kind="trial")
    assert [f for _, f in train(benchmark, OPTIMIZERS["lbfgs"], [run], tiny.line())][
        -1
    ] == RunResult(outcome="finished")
    assert sum(calls) == 7


@pytest.mark.parametrize("name", ["schedulefree_sgd", "schedulefree_adamw"])
def test_schedule_free_optimizers_are_measured_in_eval_mode(name: str) -> None:
    pytest.importorskip("schedulefree")
    spec = OPTIMIZERS[name]
    short = replace(tiny.BENCHMARK, max_steps=20, eval_every=20)
    run = Run(benchmark="tiny_line", optimizer=name, lr=0.1, seed=0, kind="trial")
    built: list[Any] = []

    def build(model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
        built.append((model, spec.build(model, lr, **fixed)))
        return built[-1][1]  # type: ignore[no-any-return]

    splits = tiny.line()
    *_, last, _ = (update for _, update in train(short, replace(spec, build=build), [run], splits))
    assert isinstance(last, Measurement)
    ((model, optimizer),) = built
    losses = {}
    for mode in ("eval", "train"):
        getattr(optimizer, mode)()
        losses[mode] = nn.functional.mse_loss(
            model(splits.validation[0]), splits.validation[1]
        ).item()
    assert last.values["validation/loss"] == pytest.approx(losses["eval"], rel=1e-5)
    assert losses["train"] != pytest.approx(losses["eval"], rel=1e-3)


@pytest.mark.parametrize("name", ["momentum", "asgd", "muon"])
def test_schedule_scales_every_step(name: str) -> None:
    """Compared with a hand-written loop: with lr_linear, without, and with two groups."""
    spec = replace(OPTIMIZERS[name], schedule=cosine)
    short = replace(tiny.BENCHMARK, max_steps=6, eval_every=3, shuffle="once", batch_size=64)
    runs = [
        Run(benchmark="tiny_line", optimizer=name, lr=0.1, seed=seed, kind="trial")
        for seed in (0, 1)
    ]
    splits = tiny.line()
    model = initial_model(short, 0)
    optimizer = spec.build(model, 0.1, **spec.fixed)
    for step in range(1, 7):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * (step - 1) / 6))
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(splits.train[0]), splits.train[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    expected = nn.functional.mse_loss(model(splits.validation[0]), splits.validation[1]).item()
    for engine in ENGINES.values():
        own = [
            f
            for index, f in engine.train(short, spec, runs, splits)
            if index == 0 and isinstance(f, Measurement)
        ]
        assert own[-1].values["validation/loss"] == pytest.approx(expected, rel=1e-4)
        assert "train/lr" not in own[0].values
        assert [f.values["train/lr"] for f in own[1:]] == pytest.approx(
            [0.1 * 0.75, 0.1 * 0.0669873], rel=1e-5
        )


def test_optimizer_mode_is_unchanged_before_first_step() -> None:
    """Some average what is not there yet: splus of pytorch-optimizer raises."""
    switched: list[tuple[str, int]] = []

    class Switching(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            self.steps += 1
            super().step(closure)

        def train(self) -> None:
            switched.append(("train", self.steps))

        def eval(self) -> None:
            switched.append(("eval", self.steps))

    spec = replace(
        OPTIMIZERS["sgd"],
        build=lambda m, lr, **f: Switching(m.parameters(), lr),
        fixed={},
        lr_linear=False,
    )
    short = replace(tiny.BENCHMARK, max_steps=4, eval_every=2)
    run = Run(benchmark="tiny_line", optimizer="sgd", lr=0.1, seed=0, kind="trial")
    for engine in ENGINES.values():
        switched.clear()
        assert list(engine.train(short, spec, [run], tiny.line()))
        assert sorted(set(switched), key=switched.index) == [
            ("train", 0), ("eval", 2), ("train", 2), ("eval", 4), ("train", 4)
        ]  # fmt: skip


def test_schedule_that_is_no_fraction_has_error() -> None:
    values: list[Any] = [-1.0, "half", math.nan]
    for value in values:
        spec = replace(
            OPTIMIZERS["sgd"], schedule=partial(lambda value, step, max_steps: value, value)
        )
        with pytest.raises(
            InputError,
            match=r"optimizer sgd on benchmark tiny_line: .*schedule at step 1: got .*from 0 to 1",
        ):
            check_pair(tiny.BENCHMARK, spec, tiny.line())


def test_rarely_expensive_step_is_counted_in_costs() -> None:
    class Sometimes(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            self.steps += 1
            time.sleep(0.05 if self.steps % 20 == 0 else 0)
            super().step(closure)

    spec = replace(
        OPTIMIZERS["sgd"], build=lambda m, lr, **f: Sometimes(m.parameters(), lr), fixed={}
    )
    cost = measure_costs(tiny.BENCHMARK, [spec], tiny.line(), device="cpu")["sgd"]
    assert cost.milliseconds_per_step >= 50 / 20
