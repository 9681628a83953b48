"""Checking everything that a campaign will use before anything is started or written."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from optsuite.definition import Benchmark, OptimizerSpec, Split, Splits, Suite
from optsuite.errors import DatasetUnavailable
from optsuite.training.check import check_benchmark, check_device, check_pair, load_splits
from optsuite.training.identity import DTYPE, setting
from optsuite.training.plan import ENGINES, Plan, plan
from optsuite.training.run import Run
from optsuite.training.stacked import MULTIPLE

N_MEASURED = 400  # examples whose measuring tells what that of all takes: more than a call costs, less than a second of any


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A benchmark that can be trained here.

    `setting` is that of `identity`, `plans` says by optimizer how runs are trained, and `seconds_per_run` is roughly what
    one of them takes of a worker's time.
    """

    benchmark: Benchmark
    setting: str
    plans: Mapping[str, Plan]
    seconds_per_run: float


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A benchmark that was not named and cannot run here, and why."""

    benchmark: str
    reason: str


def prepare(
    suite: Suite, *, device: str, engine: str = "auto", named: Iterable[str] = ()
) -> tuple[list[Problem], list[Skipped]]:
    """Load and try out every benchmark and optimizer of the suite. Raises BadInput.

    A dataset that is not to be had is bad input when its benchmark was named or none is left, and else skips the benchmark.
    """
    torch.set_num_threads(1)  # as the workers: what the driver computes must not depend on its number of cores
    check_device(device)
    named = set(named)
    problems: list[Problem] = []
    skipped: list[Skipped] = []
    last: DatasetUnavailable | None = None
    for benchmark in suite.benchmarks:
        try:
            splits = load_splits(benchmark)
        except DatasetUnavailable as error:
            if benchmark.name in named:
                raise
            skipped.append(Skipped(benchmark=benchmark.name, reason=str(error)))
            last = error
            continue
        problems.append(_try(benchmark, splits, suite.optimizers, device, engine))
    if last is not None and not problems:
        raise last
    return problems, skipped


def _try(benchmark: Benchmark, splits: Splits, specs: Sequence[OptimizerSpec], device: str, engine: str) -> Problem:
    splits = splits.to("cpu", DTYPE)
    check_benchmark(benchmark, splits)
    plans = {}
    for spec in specs:
        check_pair(benchmark, spec, splits)
        plans[spec.name] = plan(benchmark, spec, splits, device=device, engine=engine)
    return Problem(
        benchmark=benchmark,
        setting=setting(benchmark, splits, dtype=DTYPE, device=device),
        plans=plans,
        seconds_per_run=_seconds_per_run(benchmark, specs[-1], splits, plans[specs[-1].name].engine),
    )


def _few(split: Split) -> Split:
    """Enough examples to know what measuring all of them takes."""
    return split[0][:N_MEASURED], split[1][:N_MEASURED]


def _seconds_per_run(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, engine: str) -> float:
    """A rough cost of a run on one thread, from two short trainings; a stacked one takes its share of the smallest stack."""
    n = MULTIPLE if engine == "stacked" else 1
    measured = replace(splits, validation=_few(splits.validation), test=_few(splits.test))
    n_times = len(splits.validation[0]) / len(measured.validation[0])
    runs = [Run(benchmark=benchmark.name, optimizer=spec.name, lr=spec.lr.low, seed=0, kind="trial")] * n

    def seconds(n_steps: int) -> float:
        short = replace(benchmark, max_steps=n_steps, eval_every=n_steps)
        started = time.perf_counter()
        for _ in ENGINES[engine](short, spec, runs, measured):
            pass
        return (time.perf_counter() - started) / n

    few, more = seconds(1), seconds(6)
    per_step = max(0.0, more - few) / 5
    per_measurement = max(0.0, few - per_step) / 2 * n_times
    return per_step * benchmark.max_steps + per_measurement * (benchmark.max_steps / benchmark.eval_every + 1)
