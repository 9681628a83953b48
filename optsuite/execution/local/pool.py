"""Worker processes on this machine, each with its own pipe: one that dies loses only its task."""

import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from optsuite.execution.local.processes import CONTEXT, start
from optsuite.execution.pool import OUT_OF_MEMORY, Queue, RunUpdate, Task, TaskLost
from optsuite.execution.suite_source import SuiteSource
from optsuite.execution.worker import EXIT_OUT_OF_MEMORY, serve
from optsuite.training.checkpoint import Checkpoints


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None
    deadline: float = math.inf  # by which it must have reported something, on the monotonic clock


class LocalPool:
    """Long-lived worker processes, started with the first task. Implements Pool."""

    def __init__(
        self,
        n_workers: int,
        *,
        suite: SuiteSource,
        device: str,
        checkpoints: Checkpoints | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        """The workers load the suite themselves.

        Each may use up to `memory_bytes`; None means most of the machine's memory.
        """
        self.n_workers = n_workers
        self.checkpoints = checkpoints
        self._arguments = (suite, device, checkpoints, memory_bytes)
        self._queue = Queue()
        self._workers: list[_Worker] = []

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._workers += [self._spawn() for _ in range(self.n_workers - len(self._workers))]
        self._queue.push(task)
        self._dispatch()

    def cancel(self, task: int) -> None:
        """Forget a task; the worker that trains it is replaced."""
        self._queue.cancel(task)
        for worker in list(self._workers):
            if worker.task is not None and worker.task.id == task:
                self._replace(worker)
        self._dispatch()

    def poll(self, timeout: float) -> list[RunUpdate | TaskLost]:
        """The updates since the last call; waits up to `timeout` seconds for the first."""
        by_connection = {worker.connection: worker for worker in self._workers}
        events: list[RunUpdate | TaskLost] = []
        for connection in wait(list(by_connection), timeout):
            events += self._receive(by_connection[connection])  # type: ignore[index]
        for worker in list(self._workers):
            if worker.task is not None and time.monotonic() > worker.deadline:
                reason = f"it reported nothing for {worker.task.timeout_seconds:.0f} seconds"
                events.append(TaskLost(task=worker.task.id, reason=reason))
                self._replace(worker)
        self._dispatch()
        return events

    def close(self) -> None:
        """Stop the workers at once."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers = []
        self._queue = Queue()

    def _spawn(self) -> _Worker:
        here, there = CONTEXT.Pipe()
        process = start(serve, there, dict(os.environ), *self._arguments)
        there.close()
        return _Worker(process=process, connection=here)

    def _dispatch(self) -> None:
        for worker in self._workers:
            if worker.task is not None or not self._queue:
                continue
            busy = [other.task for other in self._workers if other.task is not None]
            if busy and (self._queue.first.exclusive or any(task.exclusive for task in busy)):
                return
            worker.task = self._queue.pop()
            worker.deadline = time.monotonic() + worker.task.timeout_seconds
            with suppress(OSError):  # it has died: the next poll reads the end of its pipe
                worker.connection.send(worker.task)

    def _replace(self, worker: _Worker) -> None:
        """Kill a worker, if it is not dead, and start a new one in its place."""
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        self._workers[self._workers.index(worker)] = self._spawn()

    def _receive(self, worker: _Worker) -> list[RunUpdate | TaskLost]:
        events: list[RunUpdate | TaskLost] = []
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                if message is None:
                    worker.task = None
                else:
                    events += message
                if worker.task is not None:
                    worker.deadline = time.monotonic() + worker.task.timeout_seconds
        except (EOFError, OSError):
            worker.process.join()
            if worker.task is not None:
                events.append(TaskLost(task=worker.task.id, reason=_cause(worker.process.exitcode)))
            self._replace(worker)
        return events


def _cause(code: int | None) -> str:
    """Why a worker died."""
    if code == EXIT_OUT_OF_MEMORY:
        return OUT_OF_MEMORY
    return f"its worker died with exit code {code}"
