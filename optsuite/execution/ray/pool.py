"""A Ray cluster in the place of worker processes: each task is one of Ray's, whose generator streams facts back.

What dies with its process or node is given to Ray again. A task yields the same batches on every try, which is checked, so
that each of them is handed on once.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError, WorkerCrashedError

from optsuite.errors import ClusterUnavailableError
from optsuite.execution.pool import Queue, RunUpdate, Task, TaskLost
from optsuite.execution.ray.connection import cause_of, connect, probe
from optsuite.execution.ray.resources import Resources, demand, described, fits, slots
from optsuite.execution.ray.task import WorkerEnvironment, digest, stream
from optsuite.execution.suite_source import SuiteSource
from optsuite.training.device import device_bytes, kind_of

MAX_RETRIES = 2  # of a task whose process dies; then the campaign tries it once more, alone
MAX_NODE_RETRIES = (
    20  # of a task whose node is lost, which is not the task's fault: preempted nodes come and go
)
LOST_NODE_SECONDS = 30.0  # what Ray may take to find a node dead
HEAD_SECONDS = 20.0  # what a head may be away for; Ray itself ends the process after 60
LOOK_SECONDS = 5.0  # how often to see which nodes there are
PREFETCH = 2  # tasks handed to Ray for each CPU, so that none waits for the driver; the others keep their order here
DIFFERED = "another try of it gave other results"
LOGGER = logging.getLogger("optsuite")


@dataclass
class _Job:
    """A task that Ray has. It has not started while `heard` is infinite.

    `handed_on` are the digests of its batches, whichever try they came from; `position` says how many of them this try has
    yielded.
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
        return self.last_heartbeat < math.inf

    @property
    def deadline(self) -> float:
        """When it is lost unless it reports something, which may be what was handed on before."""
        return self.last_heartbeat + self.task.timeout_seconds + LOST_NODE_SECONDS

    def new_events(self, batch: Sequence[RunUpdate | TaskLost]) -> Sequence[RunUpdate | TaskLost]:
        """The batch; nothing where an earlier try had yielded it; that the task is lost where another was in its place."""
        self.last_heartbeat = time.monotonic()
        own = digest(batch)
        self.position += 1
        if self.position > len(self.handed_on):
            self.handed_on.append(own)
            return batch
        return [] if self.handed_on[self.position - 1] == own else [self.lost(DIFFERED)]

    def lost(self, reason: str) -> TaskLost:
        """That its task is lost."""
        return TaskLost(task=self.task.id, reason=reason)

    def may_retry(self, error: RayError) -> bool:
        """Count what its process or node has died of; whether to try again."""
        self.n_moves += isinstance(error, NodeDiedError)
        self.n_crashes += isinstance(error, WorkerCrashedError)
        return (
            isinstance(error, NodeDiedError | WorkerCrashedError)
            and self.n_crashes <= MAX_RETRIES
            and self.n_moves <= MAX_NODE_RETRIES
        )


class RayPool:
    """The CPUs and GPUs of a cluster. Implements Pool."""

    checkpoints = None

    def __init__(
        self, address: str, *, n_workers: int | None, n_cores: int, suite: SuiteSource, device: str
    ) -> None:
        """Connect to the cluster at an address, or with `auto` to one that runs here, else start one of `n_cores` CPUs.

        At most `n_workers` tasks are trained at once where it is a number. Raises InputError where there is no cluster.
        """
        self._is_mine = connect(address, n_workers or n_cores)
        self._max_workers = n_workers
        self._device = kind_of(device)  # Ray says which one it is
        self._device_bytes = device_bytes(device)
        self._arguments = (suite, self._device, WorkerEnvironment.here())
        options: dict[str, Any] = {
            "max_retries": 0
        }  # Ray's own retries are not seen from here, nor is when they start
        if self._device_bytes:
            options["num_gpus"] = (
                1  # a process that had a GPU ends with its task only where the function itself asks for one
            )
        remote: Any = ray.remote(**options)
        self._train = remote(stream)
        self._queue = Queue()
        self._jobs: list[_Job] = []
        self._nodes: list[Resources] = []
        self._refreshed = -math.inf
        self._head: str = ray.get_runtime_context().gcs_address
        self._missed = math.inf  # when the head first did not answer, if it does not now
        self._is_short = False  # of nodes that could train what waits
        self._refresh_nodes()

    def __enter__(self) -> "RayPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def n_workers(self) -> int:
        """As many small tasks as the nodes hold, unless fewer are wanted."""
        n_slots = max(1, slots(self._nodes, self._device_bytes))
        return n_slots if self._max_workers is None else min(n_slots, self._max_workers)

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

    def poll(self, timeout: float) -> list[RunUpdate | TaskLost]:
        """What has happened since the last call; waits up to `timeout` seconds for something to."""
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
        most = self._max_workers or PREFETCH * self.n_workers
        while self._queue and len(self._jobs) < most:
            self._jobs.append(self._resubmit(_Job(self._queue.pop())))

    def _resubmit(self, job: _Job) -> _Job:
        """The job, given to Ray once more."""
        job.demand = demand(job.task, self._nodes, self._device_bytes)
        job.batches = self._train.options(**job.demand).remote(job.task, *self._arguments)
        job.last_heartbeat, job.position = math.inf, 0
        return job

    def _ready(self, timeout: float) -> list[_Job]:
        """Those that have something to say, or the first that has within so many seconds."""
        by_batches = {job.batches: job for job in self._jobs}
        ready, _ = ray.wait(
            list(by_batches), num_returns=1 if timeout else len(by_batches), timeout=timeout
        )
        return [by_batches[batches] for batches in ready]

    def _receive(self, job: _Job) -> Sequence[RunUpdate | TaskLost]:
        try:
            batch: Sequence[RunUpdate | TaskLost] = ray.get(next(job.batches))
        except StopIteration:
            self._jobs.remove(job)
            return [] if job.position == len(job.handed_on) else [job.lost(DIFFERED)]
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

    def _drop(self, job: _Job) -> None:
        self._jobs.remove(job)
        ray.cancel(job.batches, force=True)

    def _refresh_nodes(self) -> None:
        """See which nodes there are. A task that waits for more than any of them has is asked for again, with less.

        Less than one CPU, and without a GPU where that is the device, is not asked for: more nodes may come.
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
        lacking = next(
            (
                job.demand
                for job in self._jobs
                if not job.is_started and not fits(job.demand, self._nodes)
            ),
            None,
        )
        if lacking and not self._is_short:
            LOGGER.warning(
                "No node of the cluster has %s; waiting for one that does.", described(lacking)
            )
        self._is_short = bool(lacking)

    def _is_reached(self) -> bool:
        """Whether the cluster's head answers. Raises ClusterUnavailableError when it has not for HEAD_SECONDS."""
        try:
            probe(self._head)
        except (OSError, ValueError) as error:
            self._missed = min(self._missed, time.monotonic())
            away = time.monotonic() - self._missed
            if away > HEAD_SECONDS:
                self._jobs = []  # there is nobody to be told that they are not wanted
                raise ClusterUnavailableError(
                    f"Ray: the head of the cluster, {self._head}, has not answered for {away:.0f} seconds; "
                    "nothing is lost: the same command goes on, there or elsewhere"
                ) from error
            return False
        self._missed = math.inf
        return True
