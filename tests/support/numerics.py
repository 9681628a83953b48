"""Variants of the tiny benchmark, checked and trained on data cast for their models."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from suites import tiny
from torch import Tensor

from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits
from optsuite.training import plain
from optsuite.training.numerics import fit
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.validation.definitions import check_benchmark

SGD, ADAM = OPTIMIZERS["sgd"], OPTIMIZERS["adam"]
LINE = tiny.line()
INTERVAL = LogUniform(low=1e-4, high=1e0)


def of(splits: Splits = LINE, **change: Any) -> Benchmark:
    """A variant of the tiny benchmark with these data."""
    benchmark = replace(tiny.BENCHMARK, dataset=lambda: splits, target=None)
    return replace(benchmark, **change)


def final(
    benchmark: Benchmark,
    spec: OptimizerSpec = SGD,
    *,
    lr: float = 0.05,
    engine: Any = plain,
    seed: int = 0,
) -> Any:
    """The last measured values of one run, on the data cast for the model."""
    splits = fit(benchmark, benchmark.dataset(), device="cpu").splits
    run = Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=seed, kind="trial")
    found = engine.train(benchmark, spec, [run], splits)
    updates = [update for index, update in found if index == 0]
    assert updates[-1] == RunResult(outcome="finished"), updates[-1]
    assert isinstance(updates[-2], Measurement)
    return updates[-2].values


def checked(benchmark: Benchmark) -> tuple[str, ...]:
    """The notes on a benchmark. Raises InputError like a command."""
    return check_benchmark(benchmark, fit(benchmark, benchmark.dataset(), device="cpu").splits)


def split_96(x: Tensor, targets: Callable[[Tensor], Tensor]) -> Splits:
    """The 96 inputs, 64 of them to train on, with targets that are a function of them."""
    train, validation, test = torch.split(x, [64, 16, 16])
    return Splits(
        train=(train, targets(train)),
        validation=(validation, targets(validation)),
        test=(test, targets(test)),
    )


def spec_of(kind: Any, **change: Any) -> OptimizerSpec:
    return OptimizerSpec(
        name="own", build=lambda model, lr: kind(model.parameters(), lr), lr=INTERVAL, **change
    )
