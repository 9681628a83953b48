"""A Ray cluster as a pool: each task becomes a task of Ray's, whose generator streams updates back.

A task that dies with its process or node is given to Ray again. Every try must yield the same
batches; this is checked, and each batch is handed on once.
"""

import logging
import math
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from optsuite.errors import ClusterUnavailableError
from optsuite.execution.pool import Queue, RunUpdate, Task, TaskLost
from optsuite.execution.ray.connection import cause_of, connect, probe
from optsuite.execution.ray.job import DIFFERED, Job
from optsuite.execution.ray.resources import Resources, demand, described, fits, slots
from optsuite.execution.ray.task import WorkerEnvironment, stream
from optsuite.execution.suite_source import SuiteSource
from optsuite.training.device import device_bytes, kind_of

HEAD_SECONDS = 20.0  # a head may not answer for this long; Ray itself ends the process after 60
LOOK_SECONDS = 5.0  # between two looks at the nodes of the cluster
# Tasks handed to Ray per CPU, so that no CPU waits for the driver; the others keep their order.
PREFETCH = 2
LOGGER = logging.getLogger("optsuite")


class RayPool:
    """The CPUs and GPUs of a cluster. Implements Pool."""

    checkpoints = None

    def __init__(
        self, address: str, *, n_workers: int | None, n_cores: int, suite: SuiteSource, device: str
    ) -> None:
        """Connect to the cluster at an address.

        With "auto", connect to one that runs here, else start one with `n_cores` CPUs. At most
        `n_workers` tasks are trained at once, unless it is None. Raises InputError if there is no
        cluster.
        """
        self._is_mine = connect(address, n_workers or n_cores)
        self._max_workers = n_workers
        self._device = kind_of(device)  # Ray chooses which one
        self._device_bytes = device_bytes(device)
        self._arguments = (suite, self._device, WorkerEnvironment.here())
        # Retries by Ray itself would be invisible here.
        options: dict[str, Any] = {"max_retries": 0}
        if self._device_bytes:
            # A process with a GPU ends with its task only if the function itself asks for one.
            options["num_gpus"] = 1
        remote: Any = ray.remote(**options)
        self._train = remote(stream)
        self._queue = Queue()
        self._jobs: list[Job] = []
        self._nodes: list[Resources] = []
        self._refreshed = -math.inf
        self._head: str = ray.get_runtime_context().gcs_address
        self._missed = math.inf  # since when the head has not answered, on the monotonic clock
        self._is_short = False  # of nodes for the waiting tasks
        self._refresh_nodes()

    def __enter__(self) -> "RayPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def n_workers(self) -> int:
        """How many of the smallest tasks the nodes train at once, at most `n_workers`."""
        n_slots = max(1, slots(self._nodes, self._device_bytes))
        if self._max_workers is None:
            return n_slots
        return min(n_slots, self._max_workers)

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.push(task)
        self._dispatch()

    def cancel(self, task: int) -> None:
        """Forget a task; the process that trains it is killed."""
        self._queue.cancel(task)
        for job in [job for job in self._jobs if job.task.id == task]:
            self._drop(job)
        self._dispatch()

    def poll(self, timeout: float) -> list[RunUpdate | TaskLost]:
        """The updates since the last call; waits up to `timeout` seconds for the first."""
        self._refresh_nodes()
        self._dispatch()
        if not self._jobs:
            time.sleep(timeout)
            return []
        events: list[RunUpdate | TaskLost] = []
        for job in self._ready(0) or self._ready(timeout):
            events += self._receive(job)
        now = time.monotonic()
        for job in [job for job in self._jobs if now > job.deadline]:
            reason = f"it reported nothing for {now - job.last_heartbeat:.0f} seconds"
            events.append(job.lost(reason))
            self._drop(job)
        self._dispatch()
        return events

    def close(self) -> None:
        """Stop all tasks at once, and the cluster if it was started here."""
        self._queue = Queue()
        if ray.is_initialized():
            for job in list(self._jobs):
                self._drop(job)
        self._jobs = []
        if self._is_mine:
            ray.shutdown()
            self._is_mine = False

    def _dispatch(self) -> None:
        most = self._max_workers or PREFETCH * self.n_workers
        while self._queue and len(self._jobs) < most:
            self._jobs.append(self._resubmit(Job(self._queue.pop())))

    def _resubmit(self, job: Job) -> Job:
        """Give the job to Ray, for the first time or again."""
        job.demand = demand(job.task, self._nodes, self._device_bytes)
        job.batches = self._train.options(**job.demand).remote(job.task, *self._arguments)
        job.last_heartbeat = math.inf
        job.position = 0
        return job

    def _ready(self, timeout: float) -> list[Job]:
        """The jobs with a batch; with a timeout, the first to have one within so many seconds."""
        by_batches = {job.batches: job for job in self._jobs}
        most = 1 if timeout else len(by_batches)
        ready, _ = ray.wait(list(by_batches), num_returns=most, timeout=timeout)
        return [by_batches[batches] for batches in ready]

    def _receive(self, job: Job) -> Sequence[RunUpdate | TaskLost]:
        try:
            batch: Sequence[RunUpdate | TaskLost] = ray.get(next(job.batches))
        except StopIteration:
            self._jobs.remove(job)
            is_complete = job.position == len(job.handed_on)
            return [] if is_complete else [job.lost(DIFFERED)]
        except RayError as error:
            if job.may_retry(error):
                self._resubmit(job)
                return []
            self._jobs.remove(job)
            return [job.lost(cause_of(error))]
        new_events = job.new_events(batch)
        if any(isinstance(event, TaskLost) for event in new_events):
            self._drop(job)
        return new_events

    def _drop(self, job: Job) -> None:
        self._jobs.remove(job)
        ray.cancel(job.batches, force=True)

    def _refresh_nodes(self) -> None:
        """Look at the nodes, and submit waiting tasks again whose demand no longer suits them.

        A task keeps demanding one CPU, and a GPU if that is the device: nodes may be added.
        """
        if time.monotonic() - self._refreshed < LOOK_SECONDS:
            return
        self._refreshed = time.monotonic()
        if not self._is_reached():
            return
        nodes: Any = ray.nodes
        self._nodes = [node["Resources"] for node in nodes() if node["Alive"]]
        for job in [job for job in self._jobs if not job.is_started]:
            if demand(job.task, self._nodes, self._device_bytes) != job.demand:
                ray.cancel(job.batches, force=True)
                self._resubmit(job)
        self._warn_if_short()

    def _warn_if_short(self) -> None:
        """Log a warning when a job first waits for more than any node has."""
        waiting = [job.demand for job in self._jobs if not job.is_started]
        lacking = [own for own in waiting if not fits(own, self._nodes)]
        if lacking and not self._is_short:
            LOGGER.warning(
                "No node of the cluster has %s; waiting for one that does.", described(lacking[0])
            )
        self._is_short = bool(lacking)

    def _is_reached(self) -> bool:
        """Whether the head answers. Raises ClusterUnavailableError after HEAD_SECONDS without."""
        try:
            probe(self._head)
        except (OSError, ValueError) as error:
            self._missed = min(self._missed, time.monotonic())
            away = time.monotonic() - self._missed
            if away > HEAD_SECONDS:
                self._jobs = []  # no head is left to cancel them
                raise ClusterUnavailableError(
                    f"Ray: the head of the cluster, {self._head}, has not answered for "
                    f"{away:.0f} seconds; nothing is lost: rerun the command to resume"
                ) from error
            return False
        self._missed = math.inf
        return True
