"""A worker process: receives tasks, trains with one thread, sends updates back."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import InputError, location, one_line
from optsuite.execution.pool import RunUpdate, Task
from optsuite.execution.suite_source import SuiteSource, suite_from
from optsuite.registry import find_benchmark, find_optimizer
from optsuite.training.canonical.descriptions import Descriptions, Identity, difference
from optsuite.training.checkpoint import Checkpoints
from optsuite.training.device import is_host
from optsuite.training.engines import ENGINES
from optsuite.training.equivalence.agreement import perturbed
from optsuite.training.identity import identify_benchmark, identify_optimizer
from optsuite.training.numerics import fit
from optsuite.training.repeatable import make_repeatable
from optsuite.training.results import Measurement, RunResult
from optsuite.training.train_step import is_out_of_memory
from optsuite.training.validation.definitions import load_splits

EXIT_OUT_OF_MEMORY = 12  # the exit code: ENOMEM
MEMORY_SHARE = 0.9  # of the machine's memory: a greedy worker fails before the machine does
SEND_SECONDS = 0.25  # updates are batched: each message costs the busy driver some milliseconds
Train = Callable[[Task], Iterator[tuple[int, Measurement | RunResult]]]


def serve(
    connection: Connection,
    environment: Mapping[str, str],
    suite: SuiteSource,
    device: str,
    checkpoints: Checkpoints | None = None,
    memory_bytes: int | None = None,
) -> None:
    """Train the tasks that arrive until the connection closes.

    Updates go back in lists; None marks the end of a task. Exits with EXIT_OUT_OF_MEMORY if a task
    needs more than `memory_bytes`, or more than the device has. `environment` is the driver's: the
    process may be forked from a server that started with a different one. Variables that libraries
    read on import, like OMP_NUM_THREADS, keep the server's values.
    """
    # The driver alone decides what Ctrl-C means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    if is_host(device):
        limit_memory(memory_bytes)
    train = trainer(partial(suite_from, suite), device, checkpoints)
    # The first step makes torch import half of itself: do it before a task waits for it.
    torch.optim.SGD([torch.zeros(1)], lr=0.0).step()
    try:
        while True:
            batch: list[RunUpdate] = []
            sent = time.monotonic()
            for update in updates(connection.recv(), train):
                batch.append(update)
                if time.monotonic() - sent > SEND_SECONDS:
                    connection.send(batch)
                    batch = []
                    sent = time.monotonic()
            connection.send(batch)
            connection.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver is gone
    except Exception as error:
        if is_out_of_memory(error):
            os._exit(EXIT_OUT_OF_MEMORY)  # only a new process has all memory free
        raise


def limit_memory(memory_bytes: int | None) -> None:
    """Make allocations beyond `memory_bytes` fail; None means MEMORY_SHARE of the machine's.

    If the machine runs out of memory, the kernel kills this process before its driver.
    """
    if sys.platform != "linux":
        return
    import resource

    if memory_bytes is None:
        memory_bytes = int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        memory_bytes = min(memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, most))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with_driver() -> None:
    """End this process with its driver; training would notice only at its next measurement."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def updates(task: Task, train: Train) -> Iterator[RunUpdate]:
    """Train a task and yield its updates. Errors end its runs as failed.

    Only lack of memory is raised: another process, or this one with no other task, may succeed.
    """
    ended: set[int] = set()
    error = "the engine stopped without reporting how the run ended"
    try:
        for index, update in train(task):
            if isinstance(update, RunResult):
                ended.add(index)
            yield RunUpdate(task=task.id, index=index, update=update)
            if _is_last_of_check(update, task):
                yield RunUpdate(task=task.id, index=index, update=RunResult(outcome="finished"))
                return
    except (Exception, SystemExit) as problem:  # a definition may call sys.exit()
        if is_out_of_memory(problem):
            raise
        error = one_line(problem) + location(problem)
    for index in set(range(len(task.runs))) - ended:
        yield RunUpdate(task=task.id, index=index, update=RunResult(outcome="failed", error=error))


def _is_last_of_check(update: Measurement | RunResult, task: Task) -> bool:
    if task.until is None or not isinstance(update, Measurement):
        return False
    return update.step >= task.until


def trainer(
    suite_of: Callable[[], Suite], device: str, checkpoints: Checkpoints | None = None
) -> Train:
    """A function that trains a task of the suite.

    The suite, data and definitions are loaded once, when a task needs them. With `checkpoints`,
    runs trained one by one save checkpoints, and resume from those they find.
    """
    make_repeatable()

    @cache
    def loaded() -> tuple[Suite, Descriptions]:
        suite = suite_of()
        return suite, Descriptions(suite)

    @cache
    def problem(name: str) -> tuple[Benchmark, Splits, Identity]:
        suite, described = loaded()
        benchmark = find_benchmark(suite, name)
        fitted = fit(benchmark, load_splits(benchmark), device=device)
        found = identify_benchmark(
            benchmark, fitted.splits, dtype=fitted.dtype, device=device, described=described
        )
        return benchmark, fitted.splits.to(device), found

    @cache
    def optimizer(name: str) -> tuple[OptimizerSpec, Identity]:
        suite, described = loaded()
        spec = find_optimizer(suite, name)
        return spec, identify_optimizer(spec, described)

    def train(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        benchmark, splits, own = problem(task.runs[0].benchmark)
        spec, its = optimizer(task.runs[0].optimizer)
        _check_identity(f"benchmark {benchmark.name}", task.definition.benchmark, own)
        _check_identity(f"optimizer {spec.name}", task.definition.optimizer, its)
        if task.perturbation:
            model = partial(perturbed, benchmark.model, seed=task.perturbation)
            benchmark = replace(benchmark, model=model)
        train_runs = _train_runs(task, checkpoints)
        return train_runs(benchmark, spec, task.runs, splits, device=device)

    return train


def _check_identity(where: str, expected: Identity, found: Identity) -> None:
    """Raise InputError unless the definition found here is the one the driver expects."""
    differs = difference(where, expected, found)
    if differs:
        raise InputError(differs)


def _train_runs(
    task: Task, checkpoints: Checkpoints | None
) -> Callable[..., Iterator[tuple[int, Measurement | RunResult]]]:
    """The training function of the task's engine, with checkpoints if it saves them."""
    engine = ENGINES[task.engine]
    if checkpoints is None or not engine.checkpoints or task.until is not None:
        return engine.train
    return partial(engine.train, checkpoint_of=lambda run: checkpoints.of(task.fingerprint(run)))
