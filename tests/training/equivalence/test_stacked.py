"""Stacked runs give the curves of plain ones, whatever else is in their stack."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from suites import tiny
from support.embedded import dataset
from support.extras import needs_package
from torch import nn

from benchmarks import EMBEDDED, SUITE
from optsuite import OPTIMIZERS, Benchmark, OptimizerSpec
from optsuite.optimizers.packaged import is_available
from optsuite.registry import find_benchmark
from optsuite.training import plain, stacked
from optsuite.training.plan import group, plan
from optsuite.training.results import Measurement, Run, RunResult

SGD = OPTIMIZERS["sgd"]
Curves = dict[tuple[int, int, str], float]


def runs(benchmark: Benchmark, rates: Sequence[float], seeds: Sequence[int]) -> list[Run]:
    return [
        Run(benchmark=benchmark.name, optimizer="any", lr=lr, seed=seed, kind="trial")
        for lr, seed in zip(rates, seeds, strict=True)
    ]


def curves(
    engine: Any, benchmark: Benchmark, spec: OptimizerSpec, runs: Sequence[Run], dtype: torch.dtype
) -> Curves:
    """Everything measured, by index of the run, step and curve."""
    splits = dataset(benchmark.name).to("cpu", dtype)
    own = replace(benchmark, model=lambda: benchmark.model().to(dtype))
    results: list[RunResult] = []
    found: Curves = {}
    for index, update in engine.train(own, spec, runs, splits):
        if isinstance(update, RunResult):
            results.append(update)
            continue
        for name, value in update.values.items():
            found[index, update.step, name] = value
    assert results == [RunResult(outcome="finished")] * len(runs)
    return found


def largest_difference(one: Curves, other: Curves) -> float:
    """Relative, over all losses; an accuracy may jump by an example."""
    assert one.keys() == other.keys()
    losses = [key for key in one if key[2].endswith("/loss")]
    return max(abs(one[key] - other[key]) / abs(one[key]) for key in losses)


FALL_BACK = {"lbfgs": "its step calls the loss itself"}
# It turns gradients into a basis of eigenvectors. The last bit decides it where pixels are always
# zero: stacked runs equal plain ones on one processor and not on the next.
DECIDED_BY_ROUNDING = {"soap": "its stacked runs do not equal plain ones"}
# Every optimizer on digits_mlp, and optimizers of each kind on every benchmark. Those that have
# lr_linear are tried on both paths.
PAIRS = [
    pytest.param(
        benchmark,
        replace(spec, lr_linear=lr_linear),
        id=f"{benchmark.name}-{spec.name}-{path}",
        marks=needs_package(spec),
    )
    for benchmark in EMBEDDED
    for spec in OPTIMIZERS.values()
    if spec.name not in {**FALL_BACK, **DECIDED_BY_ROUNDING}
    and (benchmark.name == "digits_mlp" or spec.name in ("momentum", "adamw", "asgd"))
    for lr_linear, path in ((True, "flat"), (False, "views"))
    if spec.lr_linear or not lr_linear
]


@pytest.mark.parametrize(("benchmark", "spec"), PAIRS)
def test_contract_both_engines_give_the_same_curves(
    benchmark: Benchmark, spec: OptimizerSpec
) -> None:
    lr = spec.default_lr or 1e-3
    for dtype, n_steps, factor, tolerance in (
        (torch.float64, 50, 1.0, 1e-7),
        (torch.float32, 100, 0.1, 1e-3),
    ):
        short = replace(benchmark, max_steps=n_steps, eval_every=25)
        three = runs(benchmark, [lr * factor, lr * factor / 2, lr * factor], [0, 0, 1])
        expected = curves(plain, short, spec, three, dtype)
        received = curves(stacked, short, spec, three, dtype)
        assert largest_difference(expected, received) < tolerance


@pytest.mark.parametrize(("benchmark", "spec"), PAIRS)
def test_contract_bits_of_a_run_do_not_depend_on_its_stack(
    benchmark: Benchmark, spec: OptimizerSpec
) -> None:
    lr = spec.default_lr or 1e-3
    short = replace(benchmark, max_steps=20, eval_every=10)
    many = runs(benchmark, [lr * (1 + i / 10) for i in range(19)], [i % 3 for i in range(19)])
    together = curves(stacked, short, spec, many, torch.float32)
    for place in (0, 8, 18):
        exclusive = curves(stacked, short, spec, [many[place]], torch.float32)
        in_stack = {key[1:]: value for key, value in together.items() if key[0] == place}
        assert in_stack == {key[1:]: value for key, value in exclusive.items()}


def measurements(
    updates: Sequence[tuple[int, Measurement | RunResult]], index: int
) -> list[Measurement]:
    """Those of one run."""
    return [f for i, f in updates if i == index and isinstance(f, Measurement)]


def test_diverging_neighbor_leaves_the_other_runs_unchanged() -> None:
    splits = dataset("tiny_line")
    three = runs(tiny.BENCHMARK, [0.05, 1e6, 0.1], [0, 1, 2])
    together = list(stacked.train(tiny.BENCHMARK, SGD, three, splits))
    exclusive = list(stacked.train(tiny.BENCHMARK, SGD, three[2:], splits))
    ended = {index: update for index, update in together if isinstance(update, RunResult)}
    assert [ended[i].outcome for i in range(3)] == ["finished", "diverged", "finished"]
    in_stack = [measured.values for measured in measurements(together, 2)]
    assert in_stack == [measured.values for measured in measurements(exclusive, 0)]
    assert [measured.step for measured in measurements(together, 1)] == [0, 10]
    for index in range(3):
        for measured in measurements(together, index):
            assert all(map(math.isfinite, measured.values.values()))


def test_stack_in_which_all_runs_diverge_stops_early() -> None:
    two = runs(tiny.BENCHMARK, [1e6] * 2, [0, 1])
    updates = list(stacked.train(tiny.BENCHMARK, SGD, two, dataset("tiny_line")))
    assert max(f.step for _, f in updates if isinstance(f, Measurement)) == 10


def test_batch_norm_keeps_separate_statistics_in_every_run() -> None:
    benchmark = replace(
        tiny.BENCHMARK, model=lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    )
    two = runs(benchmark, [0.05, 0.01], [0, 1])
    expected = curves(plain, benchmark, SGD, two, torch.float64)
    received = curves(stacked, benchmark, SGD, two, torch.float64)
    assert largest_difference(expected, received) < 1e-7


@pytest.mark.parametrize("spec", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_is_stacked_except_known_exceptions(spec: OptimizerSpec) -> None:
    if not is_available(spec):
        pytest.skip("needs the extra optsuite[optimizers]")
    benchmark = find_benchmark(SUITE, "digits_mlp")
    reason = plan(benchmark, spec, dataset(benchmark.name), device="cpu").reason.partition(":")[0]
    assert reason in (FALL_BACK.get(spec.name, ""), DECIDED_BY_ROUNDING.get(spec.name, ""))


def test_runs_are_grouped_evenly() -> None:
    nine = runs(tiny.BENCHMARK, [0.1] * 9, range(9))
    assert [len(stack) for stack in group(nine, 4)] == [3, 3, 3]
    assert [run for stack in group(nine, 4) for run in stack] == nine
    assert [len(stack) for stack in group(nine, 9)] == [9]
    assert [len(stack) for stack in group(nine, 1)] == [1] * 9
    assert group([], 4) == []
