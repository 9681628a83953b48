"""Contracts of every optimizer in the registry on every embedded benchmark, and special cases."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
import torch
from suites import tiny
from torch import nn

from benchmarks import SUITE
from optsuite import OPTIMIZERS, Benchmark, OptimizerSpec, Splits
from optsuite.errors import InputError
from optsuite.optimizers.muon import Together, muon
from optsuite.optimizers.packaged import Packaged, any_of_pytorch_optimizer, is_available
from optsuite.schedules import cosine, schedule_name
from optsuite.training.engines import ENGINES
from optsuite.training.plain import initial_model, train
from optsuite.training.plan import plan
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.step_cost import measure_costs
from optsuite.training.validation.definitions import check_pair
from optsuite.tuning.search import initial_rates


@cache
def dataset(name: str) -> Splits:
    return next(b for b in SUITE.benchmarks if b.name == name).dataset()


def needs_package(spec: OptimizerSpec) -> list[pytest.MarkDecorator]:
    return [
        pytest.mark.skipif(not is_available(spec), reason="needs the extra optsuite[optimizers]")
    ]


SPECS = [
    pytest.param(spec, id=spec.name, marks=needs_package(spec)) for spec in OPTIMIZERS.values()
]
PAIRS = [
    pytest.param(benchmark, spec, id=f"{benchmark.name}-{spec.name}", marks=needs_package(spec))
    for benchmark in SUITE.benchmarks
    for spec in OPTIMIZERS.values()
]


def trained(
    benchmark: Benchmark, spec: OptimizerSpec, rates: list[float], *, n_steps: int
) -> Iterator[Any]:
    """For each rate, what was measured and how the run ended; all runs have the same seed."""
    short = replace(benchmark, max_steps=n_steps, eval_every=n_steps // 2)
    for lr in rates:
        run = Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=0, kind="trial")
        updates = [update for _, update in train(short, spec, [run], dataset(benchmark.name))]
        assert isinstance(updates[-1], RunResult)
        yield [(f.step, dict(f.values)) for f in updates if isinstance(f, Measurement)], updates[-1]


@pytest.mark.parametrize(("benchmark", "spec"), PAIRS)
def test_contract_same_seed_same_curve(benchmark: Benchmark, spec: OptimizerSpec) -> None:
    (first, ended), (second, _) = trained(benchmark, spec, [spec.lr.low] * 2, n_steps=20)
    assert ended == RunResult(outcome="finished")
    assert first == second


@pytest.mark.parametrize(("benchmark", "spec"), PAIRS)
def test_contract_some_rate_beats_the_initial_loss(
    benchmark: Benchmark, spec: OptimizerSpec
) -> None:
    rates = [spec.default_lr or 1e-3, *reversed(initial_rates(spec.lr, 8, None))]
    curves = (measured for measured, _ in trained(benchmark, spec, rates, n_steps=50))
    assert any(
        curve[-1][1].get("validation/loss", math.inf) < curve[0][1]["validation/loss"]
        for curve in curves
    )


@pytest.mark.parametrize(("benchmark", "spec"), PAIRS)
def test_contract_a_huge_rate_is_an_outcome(benchmark: Benchmark, spec: OptimizerSpec) -> None:
    ((_, ended),) = trained(benchmark, spec, [1e30], n_steps=20)
    assert ended.outcome in ("diverged", "finished"), ended.error


@pytest.mark.parametrize("spec", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_contract_entry_is_fully_documented(spec: OptimizerSpec) -> None:
    assert spec.source
    assert spec.limitations
    assert spec.default_lr is not None
    assert spec.lr.low <= spec.default_lr <= spec.lr.high
    assert spec.lr.high / spec.lr.low == pytest.approx(1e4)
    assert set(spec.special_cases) <= set(OPTIMIZERS)
    if spec.name in ("rprop", "lbfgs"):
        assert "without weight decay" in spec.source
    else:
        assert spec.fixed["weight_decay"] == (0.01 if spec.name == "adamw" else 0.0)


NEVER = {"rprop": "minibatches", "lbfgs": "minibatches"}  # and why, in the words of the entries


@pytest.mark.parametrize("spec", SPECS)
def test_every_optimizer_reaches_the_target_at_some_rate(spec: OptimizerSpec) -> None:
    benchmark = next(b for b in SUITE.benchmarks if b.name == "digits_mlp")
    assert benchmark.target is not None
    splits = dataset(benchmark.name)
    middle = math.sqrt(spec.lr.low * spec.lr.high)
    rates = sorted(
        initial_rates(spec.lr, 12, spec.default_lr), key=lambda lr: -lr * (lr < 100 * middle)
    )
    engine = plan(benchmark, spec, splits, device="cpu").engine
    runs = [
        Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=0, kind="trial")
        for lr in rates
    ]
    reached = any(
        benchmark.target.reached(update.values)
        for _, update in ENGINES[engine].train(benchmark, spec, runs, splits)
        if isinstance(update, Measurement)
    )
    assert reached != (spec.name in NEVER)
    assert NEVER.get(spec.name, "") in spec.limitations


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


def test_a_closure_makes_one_gradient_a_step() -> None:
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


def test_any_other_optimizer_of_pytorch_optimizer_can_be_named() -> None:
    pytest.importorskip("pytorch_optimizer")
    spec = any_of_pytorch_optimizer("lamb")
    assert (spec.name, spec.default_lr, spec.fixed) == (
        "pytorch_optimizer:lamb",
        1e-3,
        {"weight_decay": 0.0},
    )
    (curve, ended), *_ = trained(SUITE.benchmarks[1], spec, [0.1], n_steps=50)
    assert ended == RunResult(outcome="finished")
    assert curve[-1][1]["validation/loss"] < curve[0][1]["validation/loss"]
    with pytest.raises(
        InputError, match="optimizer of pytorch_optimizer: got 'nosuch', one of: a2grad, "
    ):
        any_of_pytorch_optimizer("nosuch")
    with pytest.raises(
        InputError, match="pytorch_optimizer:alig needs max_lr, a bound of its learning rate"
    ):
        any_of_pytorch_optimizer("alig")


def test_missing_package_is_named_with_remedy() -> None:
    build = Packaged("nosuchpackage", "Best")
    assert not is_available(replace(OPTIMIZERS["sgd"], build=build))
    with pytest.raises(
        InputError, match=r"nosuchpackage, which is not installed; .*optsuite\[optimizers\]"
    ):
        build(nn.Linear(1, 1), 0.1)


@pytest.mark.parametrize("name", ["momentum", "asgd", "muon"])
def test_a_schedule_scales_every_step(name: str) -> None:
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


@pytest.mark.parametrize(
    ("name", "fixed", "schedule"),
    [
        ("mars", {"weight_decay": 0.0, "weight_decay_1d": 0.0}, "constant"),
        ("schedulefreeadamw", {"weight_decay": 0.0}, "none"),
    ],
)
def test_entries_of_pytorch_optimizer_match_its_signatures(
    name: str, fixed: dict[str, float], schedule: str
) -> None:
    pytest.importorskip("pytorch_optimizer")
    spec = any_of_pytorch_optimizer(name)
    assert (spec.fixed, schedule_name(spec.schedule)) == (fixed, schedule)
    optimizer = spec.build(nn.Linear(3, 2), 0.01, **spec.fixed)
    assert {group.get("lr_1d_factor", 1.0) for group in optimizer.param_groups} == {1.0}


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
