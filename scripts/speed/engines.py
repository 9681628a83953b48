"""Microseconds per run and step with a DataLoader, tensors or stacks, in one process or workers.

Alternatives are measured in turn, several times, and the median counts, because the speed of a
machine changes by the minute.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch.utils.data import DataLoader, TensorDataset

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.execution.local.pool import LocalPool
from optsuite.execution.pool import RunUpdate, Task
from optsuite.training import plain
from optsuite.training.engines import ENGINES
from optsuite.training.identity import define
from optsuite.training.plan import group
from optsuite.training.results import Run, RunResult

Loader = DataLoader[tuple[torch.Tensor, ...]]


def in_turn(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median result of each way over rounds that measure all in turn, after a warm-up round."""
    results: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + rounds):
        for name, measure in ways.items():
            results[name].append(measure())
    return {name: statistics.median(values[1:]) for name, values in results.items()}


def loops(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    stacks: Sequence[int],
    *,
    rounds: int,
    device: str,
) -> dict[str, float]:
    """Microseconds per run and step in this process, with one thread: loops, and stacks by size."""
    torch.set_num_threads(1)
    here, examples = splits.to(device), TensorDataset(*splits.to("cpu").train)
    loader = DataLoader(examples, batch_size=benchmark.batch_size, shuffle=True, drop_last=True)
    measure = partial(_timed, benchmark, spec)
    ways = {
        "DataLoader loop": partial(
            measure,
            lambda runs: _dataloader_loop(benchmark, spec, runs[0], loader, here, device),
            1,
        ),
        "plain engine": partial(
            measure, lambda runs: _exhaust("plain", benchmark, spec, runs, here, device), 1
        ),
    }
    for k in stacks:
        ways[f"stack of {k}"] = partial(
            measure, lambda runs: _exhaust("stacked", benchmark, spec, runs, here, device), k
        )
    return in_turn(ways, rounds)


def workers(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    pools: Sequence[LocalPool],
    *,
    n_runs: int,
    rounds: int,
) -> dict[str, float]:
    """Wall-clock microseconds per run and step, by engine, in pools that share the runs evenly."""
    found = define(benchmark, spec, splits.to("cpu"))

    def train(engine: str, pool: LocalPool, runs: Sequence[Run]) -> None:
        for number, stack in enumerate(group(runs, -(-n_runs // pool.n_workers))):
            pool.submit(Task(id=number, priority=0, engine=engine, definition=found, runs=stack))
        left = n_runs
        while left:
            ended = [
                e.update
                for e in pool.poll(1.0)
                if isinstance(e, RunUpdate) and isinstance(e.update, RunResult)
            ]
            assert all(update.outcome == "finished" for update in ended), ended
            left -= len(ended)

    ways = {
        f"{engine}, {pool.n_workers}": partial(
            _timed, benchmark, spec, partial(train, engine, pool), n_runs
        )
        for engine in ENGINES
        for pool in pools
    }
    return in_turn(ways, rounds)


def _timed(
    benchmark: Benchmark, spec: OptimizerSpec, train: Callable[[Sequence[Run]], None], n_runs: int
) -> float:
    """Microseconds a run and step of training so many runs of the same rate and different seeds."""
    runs = [
        Run(benchmark=benchmark.name, optimizer=spec.name, lr=1e-3, seed=seed, kind="trial")
        for seed in range(n_runs)
    ]
    started = time.perf_counter()
    train(runs)
    return (time.perf_counter() - started) / (n_runs * benchmark.max_steps) * 1e6


def _exhaust(
    engine: str,
    benchmark: Benchmark,
    spec: OptimizerSpec,
    runs: Sequence[Run],
    splits: Splits,
    device: str,
) -> None:
    for _ in ENGINES[engine].train(benchmark, spec, runs, splits, device=device):
        pass


def _dataloader_loop(
    benchmark: Benchmark, spec: OptimizerSpec, run: Run, loader: Loader, splits: Splits, device: str
) -> None:
    """The loop of the tutorials, measured as often as ours."""
    model = plain.initial_model(benchmark, run.seed).to(device)
    optimizer = spec.build(model, run.lr, **spec.fixed)
    total = 0.0
    plain.measure(benchmark, model, splits, run.seed)

    def endless() -> Iterator[tuple[torch.Tensor, ...]]:
        while True:
            yield from loader

    for step, (x, y) in zip(range(1, benchmark.max_steps + 1), endless(), strict=False):
        optimizer.zero_grad()
        loss = benchmark.loss(model(x.to(device)), y.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
        if step % benchmark.eval_every == 0:
            plain.measure(benchmark, model, splits, run.seed)
