"""What a task of a cluster does: train a stack and yield its facts, in the same batches in the same order on every try.

Who tries again can so tell what had arrived before. It knows no cluster.
"""

import os
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from optsuite.execution.pool import OUT_OF_MEMORY, RunUpdate, Task, TaskLost
from optsuite.execution.suite_source import SuiteSource, suite_from
from optsuite.execution.worker import Train, limit_memory, trainer, updates
from optsuite.training.device import is_host
from optsuite.training.repeatable import WORKSPACE
from optsuite.training.results import Measurement, RunResult
from optsuite.training.train_step import is_out_of_memory

OURS = "OPTSUITE_"


@dataclass(frozen=True, kw_only=True)
class WorkerEnvironment:
    """What a worker on any node must have of its driver: where it is, what it imports from, what it was told."""

    folder: str
    path: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def here(cls) -> "WorkerEnvironment":
        """Those of this process."""
        told = dict([WORKSPACE]) | {
            name: value
            for name, value in os.environ.items()
            if name.startswith((OURS, WORKSPACE[0]))
        }
        return cls(folder=str(Path.cwd()), path=tuple(sys.path), environment=tuple(told.items()))

    def enter(self) -> None:
        """Make them those of this process. Raises OSError where there is no such folder."""
        os.chdir(self.folder)
        # Ray puts the folder of its driver before the libraries.
        sys.path[:] = [
            entry for entry in sys.path if entry not in ("", self.folder) or entry in self.path
        ]
        sys.path += [entry for entry in self.path if entry not in sys.path]
        for name in [name for name in os.environ if name.startswith(OURS)]:
            del os.environ[name]
        os.environ.update(self.environment)


def stream(
    task: Task, suite: SuiteSource, device: str, driver: WorkerEnvironment
) -> Iterator[Sequence[RunUpdate] | Sequence[TaskLost]]:
    """Train a task as a worker does, in the surroundings of its driver. An empty batch says that it starts.

    Where memory lacks, the last batch says that it is lost, and the process waits to be ended: it may hold on to too much.
    """
    yield []
    driver.enter()
    if is_host(device):
        limit_memory(None)
    try:
        train = _trainer(suite, device, driver)
        torch.set_num_threads(1)  # it may be another thread than the last task's
        yield from batches(updates(task, train), len(task.runs))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        yield [TaskLost(task=task.id, reason=OUT_OF_MEMORY)]
        threading.Event().wait()


def batches(updates: Iterator[RunUpdate], n_runs: int) -> Iterator[list[RunUpdate]]:
    """The facts, those together that a stack finds out together: of one step, or of the end."""
    live = set(range(n_runs))
    batch: list[RunUpdate] = []
    for update in updates:
        batch.append(update)
        if isinstance(update.update, RunResult):
            live.discard(update.index)
        elif update.index == max(live, default=update.index):
            yield batch
            batch = []
    yield batch


def digest(batch: Sequence[RunUpdate | TaskLost]) -> int:
    """What two batches share that say the same, whatever time it took."""
    return zlib.crc32(repr([_said(event) for event in batch]).encode())


def _said(event: RunUpdate | TaskLost) -> object:
    match event:
        case RunUpdate(update=Measurement(step=step, values=values), index=index):
            return index, step, sorted(values.items())
        case RunUpdate(update=RunResult(outcome=outcome, error=error), index=index):
            return index, outcome, error
        case _:
            return event


@cache
def _trainer(suite: SuiteSource, device: str, driver: WorkerEnvironment) -> Train:
    """One for all tasks of a process: the suite and its data are loaded once."""
    return trainer(partial(suite_from, suite), device)
