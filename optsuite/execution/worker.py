"""What runs inside a worker process: it is sent names and numbers, trains with one thread, and sends measurements back."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

from optsuite.errors import one_line
from optsuite.execution.pool import Fact, Task
from optsuite.training.run import Ended


def serve(connection: Connection, suite: str, device: str) -> None:
    """Train the tasks that arrive until the connection closes; None follows the facts of each."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA's matrix products are not repeatable
    train = trainer(suite, device)
    try:
        while True:
            for fact in facts(connection.recv(), train):
                connection.send(fact)
            connection.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver has gone: nobody is left to train for


def facts(task: Task, train: Callable[[Task], Iterator[tuple[int, Any]]]) -> Iterator[Fact]:
    """Train a task and yield its facts. Whatever goes wrong, every run of it ends, as failed if need be."""
    ended: set[int] = set()
    error = "the engine stopped without saying how the run ended"
    try:
        for index, fact in train(task):
            if isinstance(fact, Ended):
                ended.add(index)
            yield Fact(task=task.id, index=index, fact=fact)
    except Exception as problem:
        error = one_line(problem)
    for index in set(range(len(task.runs))) - ended:
        yield Fact(task=task.id, index=index, fact=Ended(outcome="failed", error=error))


def trainer(where: str, device: str) -> Callable[[Task], Iterator[tuple[int, Any]]]:
    """Import what training needs, so that a worker is warm before its first task, and return what trains a task."""
    import torch

    from optsuite.definition import Splits
    from optsuite.suites import benchmark_choices, load_suite, optimizer_choices
    from optsuite.training.check import load_splits
    from optsuite.training.plan import ENGINES

    torch.set_num_threads(1)  # results differ in their last bits between thread counts
    torch.use_deterministic_algorithms(True, warn_only=True)
    suite = cache(lambda: load_suite(where))

    @cache
    def splits_on_device(name: str) -> Splits:
        return load_splits(benchmark_choices(suite())[name]).to(device, torch.float32)

    def train(task: Task) -> Iterator[tuple[int, Any]]:
        first = task.runs[0]
        benchmark = benchmark_choices(suite())[first.benchmark]
        spec = optimizer_choices(suite())[first.optimizer]
        return ENGINES[task.engine](benchmark, spec, task.runs, splits_on_device(benchmark.name), device=device)

    return train
