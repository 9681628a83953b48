"""Contracts of every optimizer in the registry on every embedded benchmark, and of packages."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.embedded import dataset
from support.extras import needs_package
from torch import nn

from benchmarks import SUITE
from optsuite import OPTIMIZERS, Benchmark, OptimizerSpec
from optsuite.errors import InputError
from optsuite.optimizers.packaged import Packaged, any_of_pytorch_optimizer, is_available
from optsuite.registry import find_benchmark
from optsuite.schedules import schedule_name
from optsuite.training.engines import ENGINES
from optsuite.training.plain import train
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.tuning.search import initial_rates

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
    benchmark = find_benchmark(SUITE, "digits_mlp")
    assert benchmark.target is not None
    splits = dataset(benchmark.name)
    middle = math.sqrt(spec.lr.low * spec.lr.high)
    rates = sorted(
        initial_rates(spec.lr, 12, spec.default_lr), key=lambda lr: -lr * (lr < 100 * middle)
    )
    if spec.name in NEVER:
        rates = rates[::3]
    engine = "plain" if spec.closure else "stacked_views"
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


def test_any_other_optimizer_of_pytorch_optimizer_can_be_named() -> None:
    pytest.importorskip("pytorch_optimizer")
    spec = any_of_pytorch_optimizer("lamb")
    assert (spec.name, spec.default_lr, spec.fixed) == (
        "pytorch_optimizer:lamb",
        1e-3,
        {"weight_decay": 0.0},
    )
    (curve, ended), *_ = trained(find_benchmark(SUITE, "digits_logreg"), spec, [0.1], n_steps=50)
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
