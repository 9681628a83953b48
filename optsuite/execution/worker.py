"""What runs inside a worker process: it is sent names and numbers, trains with one thread, and sends measurements back."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
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
from optsuite.training.equivalence.agreement import nudged
from optsuite.training.identity import identify_benchmark, identify_optimizer
from optsuite.training.numerics import fit
from optsuite.training.repeatable import make_repeatable
from optsuite.training.results import Measurement, RunResult
from optsuite.training.train_step import is_out_of_memory
from optsuite.training.validation.definitions import load_splits

EXIT_OUT_OF_MEMORY = 12  # the exit code, ENOMEM
MEMORY_SHARE = 0.9  # of the machine's: who wants more is stopped before the machine is
SEND_SECONDS = 0.25  # facts are sent together: each message costs the driver, which is busy writing, some milliseconds
SLOW_VMAP = "There is a performance drop because we have not yet implemented the batching rule"  # nothing a person can mend
Train = Callable[[Task], Iterator[tuple[int, Measurement | RunResult]]]


def serve(
    connection: Connection,
    environment: Mapping[str, str],
    suite: SuiteSource,
    device: str,
    checkpoints: Checkpoints | None = None,
    memory_bytes: int | None = None,
) -> None:
    """Train the tasks that arrive until the connection closes. Facts go back in lists; None follows those of a task.

    Ends with EXIT_OUT_OF_MEMORY where a task needs more than `memory_bytes`, or than the device has. `environment` is the driver's:
    a process may be forked from one that started under another. What libraries read while they are imported, like
    OMP_NUM_THREADS, stays as it was then.
    """
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the driver alone decides what an interruption means
    threading.Thread(target=_end_with_driver, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    if is_host(device):
        limit_memory(memory_bytes)
    warnings.filterwarnings("ignore", SLOW_VMAP)
    train = trainer(partial(suite_from, suite), device, checkpoints)
    torch.optim.SGD(
        [torch.zeros(1)], lr=0.0
    ).step()  # torch imports half of itself with the first step
    try:
        while True:
            batch: list[RunUpdate] = []
            sent = time.monotonic()
            for update in updates(connection.recv(), train):
                batch.append(update)
                if time.monotonic() - sent > SEND_SECONDS:
                    connection.send(batch)
                    batch, sent = [], time.monotonic()
            connection.send(batch)
            connection.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver has gone: nobody is left to train for
    except Exception as error:
        if is_out_of_memory(error):
            os._exit(EXIT_OUT_OF_MEMORY)  # a new process starts with nothing
        raise


def limit_memory(memory_bytes: int | None) -> None:
    """Let this process fail where it wants too much, and let the kernel, short of memory, end it before the driver."""
    if sys.platform != "linux":
        return
    import resource

    if memory_bytes is None:
        memory_bytes = int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA,
        (memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most), most),
    )
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with_driver() -> None:
    """End this process when its driver has ended, which the training would notice only with its next measurement."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def updates(task: Task, train: Train) -> Iterator[RunUpdate]:
    """Train a task and yield its facts. Whatever goes wrong, every run of it ends, as failed if need be.

    But for a lack of memory, which is raised: another process, or this one alone, may have it.
    """
    ended: set[int] = set()
    error = "the engine stopped without saying how the run ended"
    try:
        for index, update in train(task):
            if isinstance(update, RunResult):
                ended.add(index)
            yield RunUpdate(task=task.id, index=index, update=update)
            if (
                task.until is not None
                and isinstance(update, Measurement)
                and update.step >= task.until
            ):
                yield RunUpdate(task=task.id, index=index, update=RunResult(outcome="finished"))
                return
    except (
        Exception,
        SystemExit,
    ) as problem:  # a definition that calls sys.exit() ends its own run
        if is_out_of_memory(problem):
            raise
        error = one_line(problem) + location(problem)
    for index in set(range(len(task.runs))) - ended:
        yield RunUpdate(task=task.id, index=index, update=RunResult(outcome="failed", error=error))


def trainer(
    suite_of: Callable[[], Suite], device: str, checkpoints: Checkpoints | None = None
) -> Train:
    """What trains a task of the suite. Suite, data and definitions are loaded once, when a task needs them.

    With checkpoints, runs that are trained one by one save theirs, and go on from what they find.
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
        for found, expected, where in (
            (own, task.definition.benchmark, f"benchmark {benchmark.name}"),
            (its, task.definition.optimizer, f"optimizer {spec.name}"),
        ):
            if said := difference(where, expected, found):
                raise InputError(said)
        if task.nudge:
            benchmark = replace(benchmark, model=partial(nudged, benchmark.model, seed=task.nudge))
        engine = ENGINES[task.engine]
        run_all = engine.train
        if checkpoints and engine.checkpoints and task.until is None:
            run_all = partial(
                run_all, checkpoint_of=lambda run: checkpoints.of(task.fingerprint(run))
            )
        return run_all(benchmark, spec, task.runs, splits, device=device)

    return train
