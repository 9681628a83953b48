"""Worker processes on this machine, one pipe each: a worker that dies takes nothing but its own task with it."""

import heapq
import os
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from optsuite.execution.pool import Fact, Lost, Task
from optsuite.execution.processes import CONTEXT, start
from optsuite.execution.worker import serve


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None


class LocalPool:
    """Long-lived worker processes, started with the first task. Implements Pool."""

    def __init__(self, n_workers: int, *, suite: str, device: str) -> None:
        """The workers load the suite by the name or path that load_suite takes."""
        self.n_workers = n_workers
        self._arguments = (suite, device)
        self._queue: list[tuple[int, int, Task]] = []
        self._workers: list[_Worker] = []

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._workers += [self._spawn() for _ in range(self.n_workers - len(self._workers))]
        heapq.heappush(self._queue, (task.priority, task.id, task))
        self._dispatch()

    def poll(self, timeout: float) -> list[Fact | Lost]:
        """What has happened since the last call; waits up to `timeout` seconds for something to."""
        by_connection = {worker.connection: worker for worker in self._workers}
        events: list[Fact | Lost] = []
        for connection in wait(list(by_connection), timeout):
            events += self._receive(by_connection[connection])  # type: ignore[index]
        self._dispatch()
        return events

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers, self._queue = [], []

    def _spawn(self) -> _Worker:
        here, there = CONTEXT.Pipe()
        process = start(serve, there, dict(os.environ), *self._arguments)
        there.close()
        return _Worker(process=process, connection=here)

    def _dispatch(self) -> None:
        for worker in self._workers:
            if worker.task is None and self._queue:
                worker.task = heapq.heappop(self._queue)[2]
                with suppress(OSError):  # it has died: the next poll reads the end of its pipe
                    worker.connection.send(worker.task)

    def _receive(self, worker: _Worker) -> list[Fact | Lost]:
        events: list[Fact | Lost] = []
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                if message is None:
                    worker.task = None
                else:
                    events += message
        except (EOFError, OSError):
            worker.process.join()
            worker.connection.close()
            if worker.task is not None:
                events.append(Lost(task=worker.task.id, reason=f"its worker died with exit code {worker.process.exitcode}"))
            self._workers[self._workers.index(worker)] = self._spawn()
        return events
