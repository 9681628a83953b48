"""A Ray cluster in the place of worker processes: each task is one of Ray's, whose generator streams facts back.

Ray itself tries again what dies with its process or node. Since a task yields the same batches every time, it hands on
each of them once, whichever try it came from.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from optsuite.errors import one_line
from optsuite.execution.cluster import connect
from optsuite.execution.demand import Resources, demand, fits
from optsuite.execution.pool import LACKED_MEMORY, Fact, Lost, Task
from optsuite.execution.queue import Queue
from optsuite.execution.streamed import Surroundings, stream

RETRIES = 2  # of a task whose process or node dies, by Ray; then the campaign tries it once more, alone
RETRY_SECONDS = 30.0  # what Ray may take to find a node dead and start a process elsewhere
LOOK_SECONDS = 5.0  # how often to see which nodes there are
AHEAD = 2  # tasks handed to Ray for each CPU, so that none waits for the driver; the others keep their order here
LOGGER = logging.getLogger("optsuite")


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
        self._is_mine = connect(address, n_workers or n_cores)
        self._most = n_workers
        self._device = torch.device(device).type  # Ray says which one it is
        self._device_bytes = torch.cuda.get_device_properties(device).total_memory if self._device == "cuda" else 0
        self._arguments = (suite, self._device, Surroundings.here())
        # A process that had a GPU is not used again only where the function itself asks for GPUs.
        options: dict[str, Any] = {"max_retries": RETRIES, "retry_exceptions": False}
        remote: Any = ray.remote(**options, num_gpus=1) if self._device == "cuda" else ray.remote(**options)
        self._train = remote(stream)
        self._queue = Queue()
        self._jobs: list[_Job] = []
        self._nodes: list[Resources] = []
        self._looked = -math.inf
        self._is_short = False  # of nodes that could train what waits
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
        self._queue.push(task)
        self._dispatch()

    def cancel(self, task: int) -> None:
        """Forget a task; a process that trains it is ended."""
        self._queue.cancel(task)
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
        self._queue = Queue()
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
            task = self._queue.pop()
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
        """See which nodes there are. A task that waits for more than any of them has is asked for again, with less.

        Less than one CPU, and without a GPU where that is the device, is not asked for: more nodes may come.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        nodes: Any = ray.nodes
        self._nodes = [node["Resources"] for node in nodes() if node["Alive"]]
        for job in [job for job in self._jobs if not job.is_started]:
            if demand(job.task, self._nodes, self._device_bytes) != job.demand:
                self._drop(job)
                self.submit(job.task)
        lacking = next((job.demand for job in self._jobs if not job.is_started and not fits(job.demand, self._nodes)), None)
        if lacking and not self._is_short:
            LOGGER.warning("No node of the cluster has %s; waiting for one that does.", _listed(lacking))
        self._is_short = bool(lacking)


def _listed(demand: Resources) -> str:
    """What a task asks for, in words."""
    gpus = f", {demand['num_gpus']:g} of a GPU" if "num_gpus" in demand else ""
    return f"{demand['num_cpus']:g} CPU{gpus} and {demand['memory'] / 2**30:.1f} GiB of memory for a task"


def _cause(error: RayError) -> str:
    """Why Ray gave a task up."""
    match error:
        case RayTaskError():
            return one_line(error.cause) if isinstance(error.cause, BaseException) else one_line(error)
        case OutOfMemoryError():
            return LACKED_MEMORY
        case WorkerCrashedError():
            return "its worker died"
        case NodeDiedError():
            return "its node died"
        case _:
            return one_line(error)
