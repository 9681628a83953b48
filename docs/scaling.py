"""How long the suite `full` takes with 30 optimizers on 1 to 1,000 workers, by simulation: prints a table.

Simulated are the campaign's own rules: the rounds of a study wait for each other, its stacks are those of the plan, studies
that come first go first, one driver proposes rates and one thread writes. What a run takes is measured here and now on
one core, with random numbers in the place of datasets that are not there; what is dispatched, proposed and written per
piece was measured by `make speed`. A worker is such a core, or a device that is `--speedup` times as fast.
"""

import argparse
import heapq
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from tabulate import tabulate

from benchmarks import SUITES
from optsuite import OPTIMIZERS, Benchmark, Splits, Suite
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.study import tune_and_evaluate
from optsuite.training.plan import Plan
from optsuite.training.run import Score

N_OPTIMIZERS = 30
WORKERS = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1_000)
DISPATCH_SECONDS = 0.003  # of a stack through Ray
PROPOSE_SECONDS = 0.15  # a round of four rates, by a Gaussian process in the driver
WRITE_SECONDS = 0.014  # of a run, by the one thread that writes
SHAPES = {"fashion_mnist_2c2d": (1, 28, 28), "cifar10_3c3d": (3, 32, 32), "cifar10_resnet": (3, 32, 32)}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Runs that a study asks for at once: the seconds of each of its stacks on one worker."""

    n_runs: int
    stacks: tuple[float, ...]


def main() -> None:
    """Measure, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speedup", type=float, default=1.0, help="how many times as fast as this core a worker is")
    speedup = parser.parse_args().speedup
    suite = replace(SUITES["full"], optimizers=(OPTIMIZERS["adam"],))
    suite = replace(suite, benchmarks=tuple(map(_available, suite.benchmarks)))
    problems, _ = prepare(suite, device="cpu")
    studies = [stages for problem in problems for stages in [list(_stages(suite, problem, speedup))] * N_OPTIMIZERS]
    alone = sum(sum(stage.stacks) for stages in studies for stage in stages)
    longest = max(sum(max(stage.stacks) for stage in stages) for stages in studies)
    rows = []
    for n_workers in WORKERS:
        seconds, writing = simulate(studies, n_workers)
        busy = alone / (n_workers * seconds)
        rows.append((n_workers, f"{seconds / 3600:,.2f}", f"{alone / seconds:,.0f}", f"{busy:.0%}", f"{writing / 60:.1f}"))
    names = ("workers", "hours", "speed-up", "of the workers used", "minutes of writing")
    n_runs = sum(stage.n_runs for stages in studies for stage in stages)
    costs = [(problem.benchmark.name, f"{problem.seconds_per_run / speedup:,.1f}") for problem in problems]
    sys.stdout.write(f"{len(studies)} studies, {n_runs:,} runs, {alone / 3600:,.0f} worker hours; ")
    sys.stdout.write(f"the longest study alone {longest / 3600:,.1f} hours.\n\n")
    sys.stdout.write(tabulate(rows, headers=names, tablefmt="github") + "\n\n")
    sys.stdout.write(tabulate(costs, headers=("benchmark", "seconds a run"), tablefmt="github") + "\n")


def simulate(studies: list[list[Stage]], n_workers: int) -> tuple[float, float]:
    """The seconds until all is trained and written, and those that the writing takes by itself."""
    ready: list[tuple[int, int, float]] = []  # study, a tie-breaker, seconds: studies that come first go first
    running: list[tuple[float, int]] = []  # when a stack ends, and whose it is
    count, stage_of, left = itertools.count(), [0] * len(studies), [0] * len(studies)
    now = driver = written = 0.0

    def ask(study: int) -> None:
        stage = studies[study][stage_of[study]]
        left[study] = len(stage.stacks)
        for seconds in stage.stacks:
            heapq.heappush(ready, (study, next(count), seconds))

    for study in range(len(studies)):
        ask(study)
    while ready or running:
        while ready and len(running) < n_workers:
            study, _, seconds = heapq.heappop(ready)
            driver = max(driver, now) + DISPATCH_SECONDS
            heapq.heappush(running, (driver + seconds, study))
        now, study = heapq.heappop(running)
        left[study] -= 1
        if left[study]:
            continue
        stages = studies[study]
        written = max(written, now) + stages[stage_of[study]].n_runs * WRITE_SECONDS
        stage_of[study] += 1
        if stage_of[study] < len(stages):
            driver = max(driver, now) + PROPOSE_SECONDS
            ask(study)
    return max(now, written), sum(stage.n_runs for stages in studies for stage in stages) * WRITE_SECONDS


def _stages(suite: Suite, problem: Problem, speedup: float) -> Iterator[Stage]:
    """What a study asks for, by asking it: the scores that it is sent are all the same."""
    (spec,) = suite.optimizers
    plan = problem.plans[spec.name]
    asks = tune_and_evaluate(problem.benchmark.name, spec, suite)
    runs = next(asks)
    while True:
        yield Stage(n_runs=len(runs), stacks=tuple(_seconds(len(runs), plan, problem.seconds_per_run / speedup)))
        try:
            runs = asks.send([Score(outcome="finished", score=1.0, initial_loss=2.0) for _ in runs])
        except StopIteration:
            return


def _seconds(n_runs: int, plan: Plan, seconds_per_run: float) -> Iterator[float]:
    while n_runs > 0:
        yield min(n_runs, plan.max_stack) * seconds_per_run
        n_runs -= plan.max_stack


def _available(benchmark: Benchmark) -> Benchmark:
    """The benchmark with random images where its own are not to be had without a download."""
    if benchmark.name not in SHAPES:
        return benchmark
    shape = SHAPES[benchmark.name]

    def images(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randint(0, 256, (n, *shape), dtype=torch.uint8), torch.randint(0, 10, (n,))

    splits = Splits(train=images(2_000), validation=images(10_000), test=images(10_000))
    return replace(benchmark, dataset=lambda: splits)


if __name__ == "__main__":
    main()
