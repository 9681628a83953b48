"""A Ray cluster in the place of worker processes: each task is one of Ray's, whose generator streams facts back.

Ray itself tries again what dies with its process or node. Since a task yields the same batches every time, it hands on
each of them once, whichever try it came from.
"""

import heapq
import logging
import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from optsuite.errors import BadInput, one_line
from optsuite.execution.demand import Resources, demand
from optsuite.execution.pool import Fact, Lost, Task
from optsuite.execution.streamed import Surroundings, stream

RETRIES = 2  # of a task whose process or node dies, by Ray; then the campaign tries it once more, alone
RETRY_SECONDS = 30.0  # what Ray may take to find a node dead and start a process elsewhere
REACH_SECONDS = 5.0
LOOK_SECONDS = 5.0  # how often to see which nodes there are
AHEAD = 2  # tasks handed to Ray for each CPU, so that none waits for the driver; the others keep their order here
QUIET: Mapping[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # a frame with which both sides of HTTP/2, and so of gRPC, begin
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS


@dataclass
class _Job:
    """A task that Ray has. It has not started while `started` is infinite."""

    task: Task
    demand: Resources
    batches: Any
    started: float = math.inf
    heard: float = math.inf

    def hear(self) -> None:
        self.heard = time.monotonic()
        self.started = min(self.started, self.heard)

    @property
    def deadline(self) -> float:
        """When it is lost unless it reports something. Ray, unseen, may have to train it again up to where it was."""
        if not self.is_started:
            return math.inf
        return self.heard + self.task.patience_seconds + RETRY_SECONDS + (self.heard - self.started)

    @property
    def is_started(self) -> bool:
        return self.heard < math.inf


class RayPool:
    """The CPUs and GPUs of a cluster. Implements Pool."""

    checkpoints = None

    def __init__(self, address: str, *, n_workers: int | None, n_cores: int, suite: str, device: str) -> None:
        """Connect to the cluster at an address, or with `auto` to one that runs here, else start one of `n_cores` CPUs.

        At most `n_workers` tasks are trained at once where it is a number. Raises BadInput where there is no cluster.
        """
        self._is_mine = _connect(address, n_workers or n_cores)
        self._most = n_workers
        self._device = torch.device(device).type  # Ray says which one it is
        self._device_bytes = torch.cuda.get_device_properties(device).total_memory if self._device == "cuda" else 0
        self._arguments = (suite, self._device, Surroundings.here())
        # A process that had a GPU is not used again only where the function itself asks for GPUs.
        options: dict[str, Any] = {"max_retries": RETRIES, "retry_exceptions": False}
        remote: Any = ray.remote(**options, num_gpus=1) if self._device == "cuda" else ray.remote(**options)
        self._train = remote(stream)
        self._queue: list[tuple[bool, int, int, Task]] = []
        self._jobs: list[_Job] = []
        self._nodes: list[Resources] = []
        self._looked = -math.inf
        self._look()

    def __enter__(self) -> "RayPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def n_workers(self) -> int:
        """As many as there are CPUs, unless fewer are wanted."""
        n_cpus = max(1, int(sum(node.get("CPU", 0) for node in self._nodes)))
        return n_cpus if self._most is None else min(n_cpus, self._most)

    def submit(self, task: Task) -> None:
        """Queue a task."""
        heapq.heappush(self._queue, (task.alone, task.priority, task.id, task))
        self._dispatch()

    def cancel(self, task: int) -> None:
        """Forget a task; a process that trains it is ended."""
        self._queue = [entry for entry in self._queue if entry[-1].id != task]
        heapq.heapify(self._queue)
        for job in [job for job in self._jobs if job.task.id == task]:
            self._drop(job)
        self._dispatch()

    def poll(self, timeout: float) -> list[Fact | Lost]:
        """What has happened since the last call; waits up to `timeout` seconds for something to."""
        self._look()
        self._dispatch()
        if not self._jobs:
            time.sleep(timeout)
            return []
        events: list[Fact | Lost] = []
        ray.wait([job.batches for job in self._jobs], num_returns=1, timeout=timeout)
        for job in self._ready():
            events += self._receive(job)
        now = time.monotonic()
        for job in [job for job in self._jobs if now > job.deadline]:
            reason = f"it reported nothing for {job.deadline - job.heard:.0f} seconds"
            events.append(Lost(task=job.task.id, reason=reason))
            self._drop(job)
        self._dispatch()
        return events

    def close(self) -> None:
        """Stop all tasks, whatever they are doing, and a cluster that was started here."""
        self._queue = []
        if ray.is_initialized():
            for job in list(self._jobs):
                self._drop(job)
        self._jobs = []
        if self._is_mine:
            ray.shutdown()
            self._is_mine = False

    def _dispatch(self) -> None:
        most = self._most or AHEAD * self.n_workers
        while self._queue and len(self._jobs) < most:
            task = heapq.heappop(self._queue)[-1]
            asked = demand(task, self._nodes, self._device_bytes)
            batches = self._train.options(**asked).remote(task, *self._arguments)
            self._jobs.append(_Job(task, asked, batches))

    def _ready(self) -> list[_Job]:
        by_batches = {job.batches: job for job in self._jobs}
        ready, _ = ray.wait(list(by_batches), num_returns=len(by_batches), timeout=0)
        return [by_batches[batches] for batches in ready]

    def _receive(self, job: _Job) -> Sequence[Fact | Lost]:
        try:
            batch: Sequence[Fact | Lost] = ray.get(next(job.batches))
        except StopIteration:
            self._jobs.remove(job)
            return []
        except RayError as error:
            self._jobs.remove(job)
            return [Lost(task=job.task.id, reason=_cause(error))]
        job.hear()
        if any(isinstance(event, Lost) for event in batch):
            self._drop(job)
        return batch

    def _drop(self, job: _Job) -> None:
        self._jobs.remove(job)
        ray.cancel(job.batches, force=True)

    def _look(self) -> None:
        """See which nodes there are. A task that waits for more than any of them has is asked for again, with less."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        nodes: Any = ray.nodes
        self._nodes = [node["Resources"] for node in nodes() if node["Alive"]]
        for job in [job for job in self._jobs if not job.is_started]:
            if demand(job.task, self._nodes, self._device_bytes) != job.demand:
                self._drop(job)
                self.submit(job.task)


def _connect(address: str, n_cpus: int) -> bool:
    """Connect this process to a cluster, unless it is; whether that was done here. Raises BadInput."""
    if ray.is_initialized():
        return False
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns that this will be its default
    ray._private.worker._worker_logs_enabled = False  # no option silences what it says of processes that die
    try:
        where = _running() if address == "auto" else address
        if where is None:
            ray.init(address="local", num_cpus=n_cpus, include_dashboard=False, **QUIET)
        else:
            _greet(where)
            ray.init(address=where, **QUIET)
    except Exception as error:
        allowed = "auto, or HOST:PORT of the head of a cluster that this machine is a node of"
        raise BadInput(f"--ray: got {address!r}, which cannot be reached ({one_line(error)}); allowed: {allowed}") from error
    return True


def _running() -> str | None:
    """The address of the cluster that runs here, if one does: what a killed one has left would be waited for."""
    given = os.environ.get("RAY_ADDRESS", "auto")
    if given != "auto":
        return given
    found: str | None = ray._private.utils.read_ray_address()
    try:
        _greet(found or "")
    except (OSError, ValueError):
        return None
    return found


def _greet(address: str) -> None:
    """Raise ValueError or OSError unless a server of Ray's kind answers at HOST:PORT: Ray itself would wait for a minute."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "/" in host:
        raise ValueError("no HOST:PORT")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            connection.sendall(GREETING)
            if connection.recv(4)[3:] != SETTINGS[3:4]:
                raise ValueError("what answers there is not Ray")


def _cause(error: RayError) -> str:
    """Why Ray gave a task up."""
    match error:
        case RayTaskError():
            return one_line(error.cause) if isinstance(error.cause, BaseException) else one_line(error)
        case OutOfMemoryError():
            return "its worker ran out of memory"
        case WorkerCrashedError():
            return "its worker died"
        case NodeDiedError():
            return "its node died"
        case _:
            return one_line(error)
