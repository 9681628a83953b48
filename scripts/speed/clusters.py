"""The same tasks on local workers and on a Ray cluster of as many CPUs, and the driver's costs."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speed.suite import SUITE

from optsuite.definitions.benchmark import Benchmark
from optsuite.execution.local.pool import LocalPool
from optsuite.execution.pool import Pool, RunUpdate, Task
from optsuite.registry import find_benchmark
from optsuite.training.identity import define
from optsuite.training.plan import group, plan
from optsuite.training.results import Run, RunResult
from optsuite.training.validation.definitions import load_splits

HERE = Path(__file__).parent
N_WORKERS = 2
RATES = (1e-3, 3e-3, 1e-2, 3e-2)


def seconds(rounds: int, n_seeds: int) -> dict[str, list[float]]:
    """The wall times of each round of the suite's stacks, by pool.

    A round trains every optimizer at four rates, each on `n_seeds` seeds. Raises
    ModuleNotFoundError if Ray is not installed.
    """
    from optsuite.execution.ray.pool import RayPool

    tasks, suite = _tasks(SUITE.benchmarks[0], n_seeds), str(HERE / "suite.py")
    found: dict[str, list[float]] = {"local workers": [], "Ray": []}
    with (
        LocalPool(N_WORKERS, suite=suite, device="cpu") as local,
        RayPool("auto", n_workers=None, n_cores=N_WORKERS, suite=suite, device="cpu") as cluster,
    ):
        pools: dict[str, Pool] = {"local workers": local, "Ray": cluster}
        for number in range(1 + rounds):
            for name in sorted(pools, reverse=bool(number % 2)):
                took = _seconds(pools[name], tasks)
                found[name] += [took] if number else []
    return found


def driver_seconds(n_tasks: int) -> tuple[float, float]:
    """The CPU seconds in the driver for a task of a cluster, and for a measurement of a stack of 8.

    Raises ModuleNotFoundError if Ray is not installed.
    """
    from optsuite.execution.ray.pool import RayPool

    suite, costs = str(HERE / "suite.py"), []
    whole = SUITE.benchmarks[0]
    with RayPool("auto", n_workers=None, n_cores=N_WORKERS, suite=suite, device="cpu") as cluster:
        for n_steps in (whole.eval_every, whole.max_steps):
            first = _tasks(find_benchmark(SUITE, f"{whole.name}@{n_steps}"), n_seeds=2)[0]
            tasks = [replace(first, id=number) for number in range(n_tasks)]
            _seconds(cluster, tasks[:N_WORKERS])
            started = time.process_time()
            _seconds(cluster, tasks)
            costs.append((time.process_time() - started) / n_tasks)
    per_measurement = (costs[1] - costs[0]) / (whole.max_steps // whole.eval_every - 1)
    return costs[0] - 2 * per_measurement, per_measurement  # the first one is before the first step


def overhead(found: dict[str, list[float]]) -> tuple[float, float, float]:
    """The median, lowest and highest ratio of Ray's time to that of local workers in a round."""
    ratios = [
        there / here for here, there in zip(found["local workers"], found["Ray"], strict=True)
    ]
    return statistics.median(ratios), min(ratios), max(ratios)


def _tasks(benchmark: Benchmark, n_seeds: int) -> list[Task]:
    splits = load_splits(benchmark).to("cpu")
    tasks: list[Task] = []
    for spec in SUITE.optimizers:
        own = plan(benchmark, spec, splits, device="cpu")
        found = define(benchmark, spec, splits)
        runs = [
            Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=seed, kind="trial")
            for lr in RATES
            for seed in range(n_seeds)
        ]
        for stack in group(runs, min(own.max_stack, 8)):
            task = Task(
                id=len(tasks),
                priority=0,
                engine=own.engine,
                definition=found,
                runs=stack,
                memory_bytes=own.stack_bytes(len(stack)),
            )
            tasks.append(task)
    return tasks


def _seconds(pool: Pool, tasks: Sequence[Task]) -> float:
    started = time.perf_counter()
    for task in tasks:
        pool.submit(task)
    left = sum(len(task.runs) for task in tasks)
    while left:
        ended = [
            e.update
            for e in pool.poll(1.0)
            if isinstance(e, RunUpdate) and isinstance(e.update, RunResult)
        ]
        assert all(update.outcome == "finished" for update in ended), ended
        left -= len(ended)
    return time.perf_counter() - started
