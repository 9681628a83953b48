"""A run that resumes from a checkpoint gives exactly the numbers of an uninterrupted run."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from suites import tiny
from support.extras import needs_package
from support.interrupted import (
    ADAM,
    BENCHMARK,
    EVERY,
    LEFT,
    MIDDLE,
    OWN,
    SPLITS,
    in_folder,
    trained,
)
from torch import nn

from optsuite import OPTIMIZERS, OptimizerSpec
from optsuite.errors import InputError
from optsuite.execution.pool import Task
from optsuite.execution.worker import trainer
from optsuite.training import plain
from optsuite.training.checkpoint import Checkpoints
from optsuite.training.identity import define
from optsuite.training.results import Measurement, Run, RunResult

pytestmark = pytest.mark.usefixtures("steps")

DECLINED = {"shampoo"}  # keeps objects in its state, which torch.load(weights_only=True) refuses


@pytest.mark.parametrize(
    "spec", [pytest.param(s, id=s.name, marks=needs_package(s)) for s in OPTIMIZERS.values()]
)
def test_interrupted_run_of_each_optimizer_gives_the_same_numbers(
    spec: OptimizerSpec, tmp_path: Path, steps: list[int]
) -> None:
    undisturbed = trained(spec, None)
    interrupted = trained(spec, tmp_path, until=MIDDLE)
    steps.clear()
    assert trained(spec, tmp_path) == undisturbed
    assert interrupted == undisturbed[: len(interrupted)]
    assert undisturbed[-1] == RunResult(outcome="finished")
    kept = [path.name for path in tmp_path.iterdir()]
    if spec.name in DECLINED:
        assert (len(steps), kept) == (BENCHMARK.max_steps, [])
    else:
        assert (len(steps), kept) == (LEFT, [f"{OWN}.pt"])


def test_resumed_run_keeps_the_times_of_measurements(tmp_path: Path) -> None:
    run = Run(benchmark="tiny_line", optimizer="adam", lr=0.01, seed=0, kind="trial")

    def times() -> list[float]:
        checkpoint_of = partial(in_folder, tmp_path)
        updates = plain.train(BENCHMARK, ADAM, [run], SPLITS, checkpoint_of=checkpoint_of)
        return [update.time for _, update in updates if isinstance(update, Measurement)]

    first = times()
    second = times()
    assert first[:5] == second[:5]
    assert first[5] < second[5]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Change one bit of a weight, which torch does not detect."""
    content = path.read_bytes()
    weight = torch.load(path, weights_only=True)["model"]["0.weight"].numpy().tobytes()
    place = content.index(weight)
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def reshape(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"model": nn.Linear(2, 2).state_dict()}, path)


def refuse(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"total": Path()}, path)


@pytest.mark.parametrize("damage", [cut, flip, reshape, refuse, lambda path: path.write_bytes(b"")])
def test_damaged_checkpoint_is_ignored_with_a_warning(
    tmp_path: Path,
    steps: list[int],
    damage: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    undisturbed = trained(ADAM, None)
    trained(ADAM, tmp_path, until=MIDDLE)
    damage(tmp_path / f"{OWN}.pt")
    steps.clear()
    assert trained(ADAM, tmp_path) == undisturbed
    assert len(steps) == BENCHMARK.max_steps + 1  # one of the twin
    assert "a checkpoint cannot be used and its run starts over" in caplog.text


def test_full_disk_does_not_end_the_run(
    tmp_path: Path,
    steps: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(descriptor: int) -> None:
        if len(steps) > 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    undisturbed = trained(ADAM, None)
    steps.clear()
    monkeypatch.setattr(os, "fsync", full)
    assert trained(ADAM, tmp_path) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == [f"{OWN}.pt"]
    assert torch.load(tmp_path / f"{OWN}.pt", weights_only=True)["step"] == EVERY + 1
    assert caplog.text.count("No space left on device") == 1


def test_changed_definition_gets_its_own_checkpoint(tmp_path: Path, steps: list[int]) -> None:
    run = Run(benchmark="tiny_line", optimizer="adam", lr=0.01, seed=0, kind="trial")
    for n, fixed in enumerate(({}, {"weight_decay": 0.1}, {}), start=1):
        spec = replace(ADAM, fixed={**ADAM.fixed, **fixed})
        suite = replace(tiny.SUITE, benchmarks=(BENCHMARK,), optimizers=(spec,))
        task = Task(
            id=n,
            priority=0,
            engine="plain",
            definition=define(BENCHMARK, spec, SPLITS),
            runs=(run,),
        )
        steps.clear()
        checkpoints = Checkpoints(folder=tmp_path, every=EVERY)
        *_, last = trainer(partial(replace, suite), "cpu", checkpoints)(task)
        assert last == (0, RunResult(outcome="finished"))
        assert (tmp_path / f"{task.fingerprint(run)}.pt").exists()
        assert len(list(tmp_path.iterdir())) == min(n, 2)
        assert len(steps) == (BENCHMARK.max_steps + 1 if n < 3 else BENCHMARK.max_steps % EVERY)


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_invalid_number_of_steps_is_refused(tmp_path: Path, every: Any) -> None:
    message = r"steps from checkpoint to checkpoint: got .*, allowed: a whole number from 1"
    with pytest.raises(InputError, match=message):
        Checkpoints(folder=tmp_path, every=every)
