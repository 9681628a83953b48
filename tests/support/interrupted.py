"""Runs of a small model that save checkpoints, and may be stopped in their middle."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from suites import tiny
from torch import nn

from optsuite import OPTIMIZERS, OptimizerSpec
from optsuite.training import plain
from optsuite.training.checkpoint import Checkpoint, Checkpoints
from optsuite.training.fingerprint import Environment, Fingerprint
from optsuite.training.results import Run, RunResult


def layers() -> nn.Module:
    """Matrices, vectors, buffers and random numbers."""
    return nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1)
    )


BENCHMARK = replace(tiny.BENCHMARK, model=layers, max_steps=50, eval_every=10)
EVERY, MIDDLE = 7, 30
LAST_CHECKPOINT = MIDDLE // EVERY * EVERY  # before the middle
LEFT = BENCHMARK.max_steps - LAST_CHECKPOINT
SPLITS = tiny.line()
ADAM = OPTIMIZERS["adam"]
Updates = list[tuple[int, dict[str, float]] | RunResult]


def trained(
    spec: OptimizerSpec,
    folder: Path | None,
    *,
    benchmark: Any = BENCHMARK,
    until: int | None = None,
) -> Updates:
    """The measurements and the result of a run, stopped after the measurement at step `until`."""
    run = Run(
        benchmark=benchmark.name,
        optimizer=spec.name,
        lr=spec.default_lr or 0.01,
        seed=0,
        kind="trial",
    )
    checkpoint_of = partial(in_folder, folder) if folder else None
    updates: Updates = []
    for _, update in plain.train(benchmark, spec, [run], SPLITS, checkpoint_of=checkpoint_of):
        if isinstance(update, RunResult):
            updates.append(update)
            continue
        updates.append((update.step, dict(update.values)))
        if update.step == until:
            break
    return updates


OWN = Fingerprint(
    benchmark="1",
    optimizer="2",
    run="3",
    environment=Environment(benchmark="4", optimizer="5", engine="plain"),
)


def in_folder(folder: Path, run: Run) -> Checkpoint:
    return Checkpoints(folder=folder, every=EVERY).of(OWN)
