"""Plans of small benchmarks, checked against the plain loop."""

import math
from dataclasses import replace
from typing import Any

import torch
from suites import tiny
from torch import nn
from torch.optim import SGD

from optsuite import Benchmark, LogUniform, OptimizerSpec
from optsuite.training.engines import ENGINES
from optsuite.training.plan import Plan, plan
from optsuite.training.results import Measurement, Run

BENCHMARK = replace(tiny.BENCHMARK, max_steps=60, eval_every=20)
DEEP = replace(
    BENCHMARK,
    model=lambda: nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1)),
)


def spec(build: Any = None, *, lr_linear: bool = True) -> OptimizerSpec:
    def of_torch(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3)

    interval = LogUniform(low=1e-4, high=1e-1)
    return OptimizerSpec(
        name="o", build=build or of_torch, lr=interval, default_lr=1e-2, lr_linear=lr_linear
    )


def over_parameters(kind: Any) -> Any:
    return lambda model, lr: kind(model.parameters(), lr)


def curves(
    engine: str, benchmark: Benchmark, optimizer: OptimizerSpec
) -> dict[tuple[int, int, str], float]:
    one = Run(benchmark="b", optimizer="o", lr=1e-3, seed=0, kind="trial")
    runs = [replace(one, lr=lr, seed=seed) for lr in (1e-3, 2e-2) for seed in (0, 1)]
    found: dict[tuple[int, int, str], float] = {}
    for index, update in ENGINES[engine].train(benchmark, optimizer, runs, tiny.line()):
        if isinstance(update, Measurement):
            for name, value in update.values.items():
                found[index, update.step, name] = value
    return found


def planned(benchmark: Benchmark, optimizer: OptimizerSpec) -> Plan:
    """The plan, after a check that its engine trains like the plain one."""
    chosen = plan(benchmark, optimizer, tiny.line(), device="cpu", engine="stacked")
    expected = curves("plain", benchmark, optimizer)
    received = curves(chosen.engine, benchmark, optimizer)
    assert expected.keys() == received.keys()
    for key, value in expected.items():
        assert math.isclose(value, received[key], rel_tol=1e-3, abs_tol=1e-6)
    return chosen
