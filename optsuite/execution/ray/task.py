"""A task on a cluster: trains a stack and yields its updates in batches.

Every try yields the same batches in the same order, so that a retry can be compared with what
has arrived already. This module knows no cluster.
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
    """The environment that a worker takes over: current folder, import path and variables."""

    folder: str
    path: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def here(cls) -> "WorkerEnvironment":
        """The environment of this process."""
        variables = dict([WORKSPACE])
        for name, value in os.environ.items():
            if name.startswith((OURS, WORKSPACE[0])):
                variables[name] = value
        return cls(
            folder=str(Path.cwd()), path=tuple(sys.path), environment=tuple(variables.items())
        )

    def enter(self) -> None:
        """Take it over in this process. Raises OSError if there is no such folder."""
        os.chdir(self.folder)
        # Ray puts the folder of its driver before the libraries.
        added_by_ray = {"", self.folder} - set(self.path)
        sys.path[:] = [entry for entry in sys.path if entry not in added_by_ray]
        sys.path += [entry for entry in self.path if entry not in sys.path]
        for name in list(os.environ):
            if name.startswith(OURS):
                del os.environ[name]
        os.environ.update(self.environment)


def stream(
    task: Task, suite: SuiteSource, device: str, driver: WorkerEnvironment
) -> Iterator[Sequence[RunUpdate] | Sequence[TaskLost]]:
    """Train a task like a local worker, in the environment of its driver.

    The first batch is empty: the task has started. If memory runs out, the last batch is a
    TaskLost, and the process waits to be killed because it may still hold the memory.
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
    """The updates, in batches of what a stack yields together: at one step or at the end."""
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
    """A checksum of a batch, the same for the same results at different times."""
    return zlib.crc32(repr([_content(event) for event in batch]).encode())


def _content(event: RunUpdate | TaskLost) -> object:
    match event:
        case RunUpdate(update=Measurement(step=step, values=values), index=index):
            return index, step, sorted(values.items())
        case RunUpdate(update=RunResult(outcome=outcome, error=error), index=index):
            return index, outcome, error
        case _:
            return event


@cache
def _trainer(suite: SuiteSource, device: str, driver: WorkerEnvironment) -> Train:
    """One trainer for all tasks of a process, so that the suite and its data are loaded once."""
    return trainer(partial(suite_from, suite), device)
