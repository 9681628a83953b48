"""The interface between the campaign and whatever trains for it, and the queue of every pool."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from optsuite.training.checkpoint import Checkpoints
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import Definition
from optsuite.training.results import Measurement, Run, RunResult

OUT_OF_MEMORY = "its worker ran out of memory"  # a reason why a task is lost


@dataclass(frozen=True, kw_only=True)
class Task:
    """Runs of one benchmark and one optimizer that one worker trains together. A lower priority number goes first.

    The `definition` is what the worker must find in the suite that it has loaded. A task that
    reports nothing for `timeout_seconds` is lost. One that goes `alone` waits until there is no
    other left to do. Training takes about `memory_bytes` of the device. With `until`, its single
    run only shows what it would measure up to that step: it is a check of results that there are,
    and neither uses nor leaves a checkpoint. With a `nudge`, a number from 1 on, the initial
    weights are moved by some rounding errors, others for each number, to show what those grow to.
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
    nudge: int = 0

    def __post_init__(self) -> None:
        assert self.until is None or len(self.runs) == 1

    def fingerprint(self, run: Run) -> Fingerprint:
        """What determines one of its runs."""
        return self.definition.fingerprint(run, engine=self.engine)


@dataclass(frozen=True, kw_only=True)
class RunUpdate:
    """What a worker reports of one run of a task: a measurement, or how it ended."""

    task: int
    index: int
    update: Measurement | RunResult


@dataclass(frozen=True, kw_only=True)
class TaskLost:
    """A task whose worker died, or was stopped because it reported nothing. Runs of it that have not ended are untrained."""

    task: int
    reason: str


class Pool(Protocol):
    """Takes tasks, hands back facts. Who made it closes it, which stops all work at once."""

    @property
    def n_workers(self) -> int:
        """How many tasks it can train at once."""

    @property
    def checkpoints(self) -> Checkpoints | None:
        """Where tasks save checkpoints, if they do."""

    def submit(self, task: Task) -> None:
        """Queue a task."""

    def cancel(self, task: int) -> None:
        """Forget a task, whatever has become of it; nothing more is heard of it."""

    def poll(self, timeout: float) -> Sequence[RunUpdate | TaskLost]:
        """What has happened since the last call; waits up to `timeout` seconds for something to."""


class Queue:
    """Hands out tasks by priority, then as they came; those that go alone are the last."""

    def __init__(self) -> None:
        self._entries: list[tuple[bool, int, int, Task]] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> Task:
        """The task that is next. Raises IndexError where there is none."""
        return self._entries[0][-1]

    def push(self, task: Task) -> None:
        """Let a task wait."""
        heapq.heappush(self._entries, (task.exclusive, task.priority, task.id, task))

    def pop(self) -> Task:
        """Take the task that is next. Raises IndexError where there is none."""
        return heapq.heappop(self._entries)[-1]

    def cancel(self, task: int) -> None:
        """Forget a task, if it is here."""
        self._entries = [entry for entry in self._entries if entry[-1].id != task]
        heapq.heapify(self._entries)
