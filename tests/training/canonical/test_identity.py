"""What a run is named by: its benchmark, optimizer, data, engine, dtype and device."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from suites import tiny

from optsuite import OPTIMIZERS, LogUniform, Target
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import (
    Definition,
    define,
    derived_seed,
    hash_splits,
    identify_optimizer,
)
from optsuite.training.results import Run

RUN = Run(benchmark="tiny_line", optimizer="sgd", lr=0.1, seed=0, kind="evaluation", arm="tuned")


def of(
    benchmark: Any = tiny.BENCHMARK,
    spec: Any = OPTIMIZERS["sgd"],
    *,
    dtype: str = "float32",
    device: str = "cpu",
) -> Definition:
    return define(benchmark, spec, benchmark.dataset(), dtype=dtype, device=device)


def identity(run: Run, spec: Any = OPTIMIZERS["sgd"], engine: str = "plain") -> Fingerprint:
    return of(spec=spec).fingerprint(run, engine=engine)


def definition(spec: Any) -> str:
    return identify_optimizer(spec).digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"model": partial(torch.nn.Linear, 3, 1, bias=False)},
        {"loss": F.l1_loss},
        {"batch_size": 8},
        {"max_steps": 41},
        {"eval_every": 5},
        {"shuffle": "once"},
        {"target": Target("validation/loss", 2.0)},
        {"metrics": {"mae": F.l1_loss}},
        {"dataset": lambda: replace(tiny.line(), test=tiny.line().train)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_change_of_a_benchmark_changes_its_task(change: dict[str, Any]) -> None:
    assert of(replace(tiny.BENCHMARK, **change)).benchmark.digest != of().benchmark.digest


def test_dtype_and_device_change_the_environment_and_not_the_task() -> None:
    definitions = (of(), of(dtype="float64"), of(device="cuda"))
    prints = [one.fingerprint(RUN, engine="plain") for one in definitions]
    assert len({one.environment for one in prints}) == 3
    assert len({one.task for one in prints}) == 1
    assert of(device="cuda:0") == of(device="cuda:1")


def test_engine_changes_the_environment_and_not_the_task() -> None:
    plain, stacked = identity(RUN), identity(RUN, engine="stacked")
    assert (plain.task, plain.basis) == (stacked.task, stacked.basis)
    assert plain.environment != stacked.environment


def test_same_definition_made_again_is_the_same() -> None:
    assert of(replace(tiny.BENCHMARK, dataset=lambda: tiny.line())) == of()


@pytest.mark.parametrize(
    "change", [{"lr": 0.2}, {"seed": 1}, {"kind": "trial", "arm": None}, {"arm": "default"}]
)
def test_each_change_of_a_run_changes_its_fingerprint(change: dict[str, Any]) -> None:
    assert identity(replace(RUN, **change)).task != identity(RUN).task


def test_optimizers_differ_by_what_they_do_not_by_what_is_searched() -> None:
    sgd = OPTIMIZERS["sgd"]
    assert identity(RUN, replace(sgd, fixed={"momentum": 0.5})).task != identity(RUN).task
    searched = replace(sgd, lr=LogUniform(low=1e-9, high=1.0), default_lr=0.5, source="")
    assert identity(RUN, searched) == identity(RUN)
    assert len({definition(spec) for spec in OPTIMIZERS.values()}) == len(OPTIMIZERS)


def test_class_that_has_been_used_is_still_the_same() -> None:
    spec = tiny.SUITE.optimizers[1]
    program = "from suites import tiny\nfrom optsuite.training.identity import identify_optimizer\n"
    program += "print(identify_optimizer(tiny.SUITE.optimizers[1]).digest)"
    paths = {"PYTHONPATH": f"{Path(__file__).parents[2]}"}
    command = [sys.executable, "-c", program]
    environment = os.environ | paths
    fresh = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    spec.build(torch.nn.Linear(3, 1), 0.1)
    assert definition(spec) == fresh.stdout.strip()


def test_data_are_hashed_by_content() -> None:
    splits = tiny.line()
    changed = splits.test[0].clone()
    changed[0, 0] += 1e-6
    assert hash_splits(splits) == hash_splits(tiny.line())
    assert hash_splits(splits) != hash_splits(replace(splits, test=(changed, splits.test[1])))


def test_derived_seeds_are_fixed_numbers() -> None:
    assert derived_seed("round", "digits_mlp", 1) == 8840290663727853503
    assert all(0 <= derived_seed(part) < 2**63 for part in range(100))
    assert derived_seed(1, 23) != derived_seed(12, 3)
