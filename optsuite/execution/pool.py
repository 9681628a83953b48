"""The interface between a campaign and its workers, and the queue that all pools use."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from optsuite.training.checkpoint import Checkpoints
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import Definition
from optsuite.training.results import Measurement, Run, RunResult

OUT_OF_MEMORY = "its worker ran out of memory"  # a reason in TaskLost


@dataclass(frozen=True, kw_only=True)
class Task:
    """Runs of one benchmark and one optimizer that one worker trains together.

    Lower `priority` numbers go first. An `exclusive` task waits until no other task is left. The
    `definition` must match the suite that the worker has loaded. A task that reports nothing for
    `timeout_seconds` is lost. Training takes about `memory_bytes` of the device.

    With `until`, the task checks stored results: its single run is measured up to that step only,
    and neither uses nor saves checkpoints. With a `perturbation` from 1 on, which is a seed,
    initial weights are perturbed by rounding errors, to show how far those grow.
    """

    id: int
    priority: int
    engine: str
    definition: Definition
    runs: tuple[Run, ...]
    timeout_seconds: float = math.inf
    exclusive: bool = False
    memory_bytes: int = 0
    until: int | None = None
    perturbation: int = 0

    def __post_init__(self) -> None:
        assert self.until is None or len(self.runs) == 1

    def fingerprint(self, run: Run) -> Fingerprint:
        """The fingerprint of one of its runs."""
        return self.definition.fingerprint(run, engine=self.engine)


@dataclass(frozen=True, kw_only=True)
class RunUpdate:
    """A report on one run of a task: a measurement, or how it ended."""

    task: int
    index: int
    update: Measurement | RunResult


@dataclass(frozen=True, kw_only=True)
class TaskLost:
    """A task whose worker died or was stopped for its silence.

    Runs of the task that have not ended are untrained.
    """

    task: int
    reason: str


class Pool(Protocol):
    """Takes tasks and returns updates. Its creator closes it, which stops all work at once."""

    @property
    def n_workers(self) -> int:
        """How many tasks it can train at once."""

    @property
    def checkpoints(self) -> Checkpoints | None:
        """Where tasks save checkpoints, if they do."""

    def submit(self, task: Task) -> None:
        """Queue a task."""

    def cancel(self, task: int) -> None:
        """Forget a task in any state; it is not reported again."""

    def poll(self, timeout: float) -> Sequence[RunUpdate | TaskLost]:
        """The updates since the last call; waits up to `timeout` seconds for the first."""


class Queue:
    """Hands out tasks by priority, then in order of their ids; exclusive ones come last."""

    def __init__(self) -> None:
        self._entries: list[tuple[bool, int, int, Task]] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> Task:
        """The next task. Raises IndexError if there is none."""
        return self._entries[0][-1]

    def push(self, task: Task) -> None:
        """Add a task."""
        heapq.heappush(self._entries, (task.exclusive, task.priority, task.id, task))

    def pop(self) -> Task:
        """Remove and return the next task. Raises IndexError if there is none."""
        return heapq.heappop(self._entries)[-1]

    def cancel(self, task: int) -> None:
        """Remove a task, if it is here."""
        self._entries = [entry for entry in self._entries if entry[-1].id != task]
        heapq.heapify(self._entries)
