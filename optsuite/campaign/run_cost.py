"""The rough cost of a run, measured before a campaign starts."""

import time
from dataclasses import replace

from optsuite.definitions.benchmark import Benchmark, Split, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.engines import ENGINES
from optsuite.training.results import Run

N_MEASURED = 400  # enough examples to extrapolate from, measured in less than a second


def seconds_per_run(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, engine: str
) -> float:
    """Seconds of a run on one thread, estimated from two short trainings.

    A stacked run takes its share of the smallest stack.
    """
    n = ENGINES[engine].pad_to
    measured = replace(splits, validation=_few(splits.validation), test=_few(splits.test))
    n_times = len(splits.validation[0]) / len(measured.validation[0])
    lr = spec.lr.low
    run = Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=0, kind="trial")
    runs = [run] * n

    def seconds(n_steps: int) -> float:
        short = replace(benchmark, max_steps=n_steps, eval_every=n_steps)
        started = time.perf_counter()
        for _ in ENGINES[engine].train(short, spec, runs, measured):
            pass
        return (time.perf_counter() - started) / n

    few, more = seconds(1), seconds(6)
    per_step = max(0.0, more - few) / 5
    per_measurement = max(0.0, few - per_step) / 2 * n_times
    n_measurements = benchmark.max_steps / benchmark.eval_every + 1
    return per_step * benchmark.max_steps + per_measurement * n_measurements


def _few(split: Split) -> Split:
    """The first N_MEASURED examples."""
    return split[0][:N_MEASURED], split[1][:N_MEASURED]
