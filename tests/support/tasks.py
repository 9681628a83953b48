"""Tasks of the tiny suite, and what a pool reports about them."""

import time

from suites import tiny

from optsuite.execution.pool import Pool, RunUpdate, Task, TaskLost
from optsuite.training.identity import define
from optsuite.training.results import Run, RunResult

LINE = tiny.line()
DEFINITIONS = {spec.name: define(tiny.BENCHMARK, spec, LINE) for spec in tiny.SUITE.optimizers}


def task(number: int, *, optimizer: str = "sgd", priority: int = 0, n: int = 1) -> Task:
    runs = [
        Run(benchmark="tiny_line", optimizer=optimizer, lr=0.01, seed=seed, kind="trial")
        for seed in range(n)
    ]
    definition = DEFINITIONS.get(optimizer, DEFINITIONS["sgd"])
    return Task(
        id=number, priority=priority, engine="plain", definition=definition, runs=tuple(runs)
    )


def collect(pool: Pool, n: int, seconds: float = 90) -> list[RunUpdate | TaskLost]:
    """The events until `n` runs have ended or tasks have been lost."""
    events: list[RunUpdate | TaskLost] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if sum(map(_is_end, events)) == n:
            return events
        events += pool.poll(0.5)
    raise AssertionError(f"only {events}")


def _is_end(event: RunUpdate | TaskLost) -> bool:
    return isinstance(event, TaskLost) or isinstance(event.update, RunResult)
