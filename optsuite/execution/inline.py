"""Training in the calling process: for debugging, and for suites no other process can load."""

import time
from collections.abc import Iterator, Sequence

from optsuite.definitions.suite import Suite
from optsuite.execution.pool import Queue, RunUpdate, Task, TaskLost
from optsuite.execution.worker import trainer, updates
from optsuite.training.checkpoint import Checkpoints
from optsuite.training.train_step import is_out_of_memory


class InlinePool:
    """Trains one task after another while it is polled. Implements Pool."""

    n_workers = 1

    def __init__(
        self, suite: Suite, *, device: str, checkpoints: Checkpoints | None = None
    ) -> None:
        self.checkpoints = checkpoints
        self._train = trainer(lambda: suite, device, checkpoints)
        self._queue = Queue()
        self._task: int | None = None
        self._updates: Iterator[RunUpdate] = iter(())

    def __enter__(self) -> "InlinePool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.push(task)

    def cancel(self, task: int) -> None:
        """Forget a task, even if it is being trained."""
        self._queue.cancel(task)
        if task == self._task:
            self._stop()

    def poll(self, timeout: float) -> Sequence[RunUpdate | TaskLost]:
        """Train for about `timeout` seconds, and at least to the next measurement."""
        if self._task is None:
            if not self._queue:
                time.sleep(timeout)
                return []
            task = self._queue.pop()
            self._task = task.id
            self._updates = updates(task, self._train)
        task_id = self._task
        received: list[RunUpdate | TaskLost] = []
        until = time.monotonic() + timeout
        try:
            for update in self._updates:
                received.append(update)
                if time.monotonic() > until:
                    return received
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            received.append(TaskLost(task=task_id, reason="this process ran out of memory"))
        self._stop()
        return received

    def close(self) -> None:
        """Forget all tasks."""
        self._stop()
        self._queue = Queue()

    def _stop(self) -> None:
        self._task = None
        self._updates = iter(())
