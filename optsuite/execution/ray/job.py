"""A task that was handed to Ray, and what its tries have yielded. It knows no pool."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import NodeDiedError, RayError, WorkerCrashedError

from optsuite.execution.pool import RunUpdate, Task, TaskLost
from optsuite.execution.ray.resources import Resources
from optsuite.execution.ray.task import digest

MAX_RETRIES = 2  # of a task whose process dies; then the campaign tries it once more, alone
# Of a task whose node is lost. That is not the task's fault: preempted nodes come and go.
MAX_NODE_RETRIES = 20
LOST_NODE_SECONDS = 30.0  # Ray may take this long to notice that a node died
DIFFERED = "a retry gave different results"


@dataclass
class Job:
    """A task that Ray has. Until it starts, `last_heartbeat` is infinite.

    `handed_on` holds the digests of its batches, from whichever try; `position` is the number of
    batches that the current try has yielded.
    """

    task: Task
    demand: Resources = field(default_factory=dict)
    batches: Any = None
    last_heartbeat: float = math.inf
    position: int = 0
    handed_on: list[int] = field(default_factory=list)
    n_crashes: int = 0
    n_moves: int = 0

    @property
    def is_started(self) -> bool:
        """Whether the current try has yielded a batch."""
        return self.last_heartbeat < math.inf

    @property
    def deadline(self) -> float:
        """When the task is lost unless it yields a batch, which may be one handed on before."""
        return self.last_heartbeat + self.task.timeout_seconds + LOST_NODE_SECONDS

    def new_events(self, batch: Sequence[RunUpdate | TaskLost]) -> Sequence[RunUpdate | TaskLost]:
        """The batch, or nothing if an earlier try yielded it; TaskLost if that try's differed."""
        self.last_heartbeat = time.monotonic()
        own = digest(batch)
        self.position += 1
        if self.position > len(self.handed_on):
            self.handed_on.append(own)
            return batch
        if self.handed_on[self.position - 1] == own:
            return []
        return [self.lost(DIFFERED)]

    def lost(self, reason: str) -> TaskLost:
        """The event that the task is lost."""
        return TaskLost(task=self.task.id, reason=reason)

    def may_retry(self, error: RayError) -> bool:
        """Count the death of its process or node; whether to try again."""
        if isinstance(error, NodeDiedError):
            self.n_moves += 1
        elif isinstance(error, WorkerCrashedError):
            self.n_crashes += 1
        else:
            return False
        return self.n_crashes <= MAX_RETRIES and self.n_moves <= MAX_NODE_RETRIES
