"""Checking everything that a campaign will use before anything is started or written."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import torch

from optsuite.definition import Benchmark, OptimizerSpec, Splits, Suite
from optsuite.errors import DatasetUnavailable
from optsuite.training.check import check_benchmark, check_device, check_pair, load_splits
from optsuite.training.identity import setting
from optsuite.training.plain import batch_indices, initial_model, measure

DTYPE = torch.float32


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A benchmark that can be trained here: its setting, as in `identity`, and what one plain run takes, in seconds."""

    benchmark: Benchmark
    setting: str
    seconds_per_run: float


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A benchmark that was not named and cannot run here, and why."""

    benchmark: str
    reason: str


def prepare(suite: Suite, *, device: str, named: Iterable[str] = ()) -> tuple[list[Problem], list[Skipped]]:
    """Load and try out every benchmark and optimizer of the suite. Raises BadInput.

    A dataset that is not to be had is bad input when its benchmark was named, and skips the benchmark otherwise.
    """
    torch.set_num_threads(1)  # as the workers: what the driver computes must not depend on its number of cores
    check_device(device)
    named = set(named)
    problems: list[Problem] = []
    skipped: list[Skipped] = []
    for benchmark in suite.benchmarks:
        try:
            splits = load_splits(benchmark)
        except DatasetUnavailable as error:
            if benchmark.name in named:
                raise
            skipped.append(Skipped(benchmark=benchmark.name, reason=str(error)))
            continue
        problems.append(_try(benchmark, splits, suite.optimizers, device))
    return problems, skipped


def _try(benchmark: Benchmark, splits: Splits, specs: Iterable[OptimizerSpec], device: str) -> Problem:
    splits = splits.to("cpu", DTYPE)
    check_benchmark(benchmark, splits)
    for spec in specs:
        check_pair(benchmark, spec)
    return Problem(
        benchmark=benchmark,
        setting=setting(benchmark, splits, dtype=DTYPE, device=device),
        seconds_per_run=_seconds_per_run(benchmark, splits),
    )


def _seconds_per_run(benchmark: Benchmark, splits: Splits, n_steps: int = 8) -> float:
    """A rough cost of a run on one thread, from a few steps of SGD that do not move the weights, and one measurement."""
    model = initial_model(benchmark, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x, y = splits.train
    started = time.perf_counter()
    measure(benchmark, model, splits)
    measured = time.perf_counter()
    for batch in islice(batch_indices(len(x), benchmark, 0), n_steps):
        optimizer.zero_grad()
        benchmark.loss(model(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    per_step = (time.perf_counter() - measured) / n_steps
    return per_step * benchmark.max_steps + (measured - started) * (benchmark.max_steps / benchmark.eval_every + 1)
