"""Simulates how long the suite `full` takes with 30 optimizers on 1 to 1,000 workers.

The simulation follows the rules of a campaign. The rounds of a study wait for each other, and its
stacks are those of the plan. Studies start in order, or the longest first if there is a worker for
each. One driver does one thing at a time: it hands out stacks, receives measurements, proposes
rates and writes. The costs of a run and a proposal are measured on one core when the script runs,
with random numbers for missing datasets; `make speed` measured the other costs of the driver. A
worker is such a core, or a device that is `--speedup` times as fast. Prints a table, as in
`docs/scale.md`.
"""

import argparse
import heapq
import itertools
import math
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from tabulate import tabulate

from optsuite import OPTIMIZERS, Benchmark, Splits, Suite
from optsuite.benchmarks import SUITES
from optsuite.campaign.prepare import Problem, prepare
from optsuite.training.plan import group
from optsuite.training.results import RunScore
from optsuite.training.stack import PAD_TO
from optsuite.tuning.protocol import tune_and_evaluate
from optsuite.tuning.search import Proposals

N_OPTIMIZERS = 30
WORKERS = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1_000)
START_SECONDS = (
    10.0  # of a process on a GPU, which trains one stack and ends: what torch takes to import there
)
DISPATCH_SECONDS = 0.0015  # of the driver for a stack, through Ray
RECEIVE_SECONDS = 0.001  # for what a stack of 8 measures at one step
SHAPES = {
    "fashion_mnist_2c2d": (1, 28, 28),
    "cifar10_3c3d": (3, 32, 32),
    "cifar10_resnet": (3, 32, 32),
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Runs that a study requests at once. All times are in seconds.

    `stacks` are the times of its stacks on one worker. The driver takes `proposing` before it hands
    out the stage, and `receiving` for each of its stacks.
    """

    n_runs: int
    stacks: tuple[float, ...]
    proposing: float
    receiving: float


def main() -> None:
    """Measure, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--speedup", type=float, default=1.0, help="how many times as fast as this core a worker is"
    )
    parser.add_argument(
        "--write-seconds",
        type=float,
        default=0.014,
        help="of the driver for a run: 0.1 through a server",
    )
    arguments = parser.parse_args()
    suite = replace(SUITES["full"], optimizers=(OPTIMIZERS["adam"],))
    suite = replace(suite, benchmarks=tuple(map(_available, suite.benchmarks)))
    problems, skipped = prepare(suite, device="cpu")
    sys.stderr.write("".join(f"{left_out}\n" for left_out in skipped))
    studies = [
        stages
        for problem in problems
        for stages in [list(_stages(suite, problem, arguments.speedup, arguments.write_seconds))]
        * N_OPTIMIZERS
    ]
    alone = sum(sum(stage.stacks) for stages in studies for stage in stages)
    longest = max(sum(max(stage.stacks) for stage in stages) for stages in studies)
    rows = []
    for n_workers in WORKERS:
        seconds, driving = simulate(studies, n_workers)
        busy = alone / (n_workers * seconds)
        rows.append(
            (
                n_workers,
                f"{seconds / 3600:,.2f}",
                f"{alone / seconds:,.0f}",
                f"{busy:.0%}",
                f"{driving / seconds:.0%}",
            )
        )
    names = ("workers", "hours", "speed-up", "of the workers used", "of the driver")
    n_runs = sum(stage.n_runs for stages in studies for stage in stages)
    costs = [
        (problem.benchmark.name, f"{problem.seconds_per_run / arguments.speedup:.2g}")
        for problem in problems
    ]
    sys.stdout.write(f"{len(studies)} studies, {n_runs:,} runs, {alone / 3600:,.0f} worker hours; ")
    sys.stdout.write(f"the longest study alone {longest / 3600:,.1f} hours.\n\n")
    sys.stdout.write(tabulate(rows, headers=names, tablefmt="github") + "\n\n")
    sys.stdout.write(
        tabulate(costs, headers=("benchmark", "seconds a run"), tablefmt="github") + "\n"
    )


def simulate(studies: list[list[Stage]], n_workers: int) -> tuple[float, float]:
    """The seconds until all is trained and written, and those in which the driver is busy."""
    if n_workers >= len(studies):
        studies = sorted(studies, key=lambda stages: -max(stages[0].stacks))
    ready: list[
        tuple[int, int, float]
    ] = []  # study, a tie-breaker, seconds: studies that come first go first
    running: list[tuple[float, int]] = []  # when a stack ends, and whose it is
    count, stage_of, left = itertools.count(), [0] * len(studies), [0] * len(studies)
    now = free = busy = 0.0

    def run_campaign(seconds: float) -> float:
        nonlocal free, busy
        free, busy = max(free, now) + seconds, busy + seconds
        return free

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
            heapq.heappush(running, (run_campaign(DISPATCH_SECONDS) + seconds, study))
        now, study = heapq.heappop(running)
        stages, stage = studies[study], studies[study][stage_of[study]]
        run_campaign(stage.receiving)
        left[study] -= 1
        if not left[study]:
            stage_of[study] += 1
        if not left[study] and stage_of[study] < len(stages):
            run_campaign(stages[stage_of[study]].proposing)
            ask(study)
    return max(now, free), busy


def _stages(
    suite: Suite, problem: Problem, speedup: float, write_seconds: float
) -> Iterator[Stage]:
    """What a study asks for, by asking it: the scores that it is sent are those of a valley."""
    (spec,) = suite.optimizers
    benchmark, plan = problem.benchmark, problem.plans[spec.name]
    per_run, multiple = problem.seconds_per_run / speedup, PAD_TO if plan.engine != "plain" else 1
    start = START_SECONDS if speedup > 1 else 0.0
    n_measurements = benchmark.max_steps // benchmark.eval_every + 1
    asks = tune_and_evaluate(benchmark.name, spec, suite, Proposals())
    scores: list[RunScore] | None = None
    started = time.perf_counter()
    with suppress(StopIteration):
        while True:
            runs = next(asks) if scores is None else asks.send(scores)
            stacks = group(runs, plan.max_stack)
            yield Stage(
                n_runs=len(runs),
                stacks=tuple(
                    start + -(-len(stack) // multiple) * multiple * per_run for stack in stacks
                ),
                proposing=time.perf_counter() - started,
                receiving=n_measurements * RECEIVE_SECONDS
                + len(runs) / len(stacks) * write_seconds,
            )
            started = time.perf_counter()
            scores = [
                RunScore(outcome="finished", value=abs(math.log10(run.lr) + 2), initial_loss=9.0)
                for run in runs
            ]


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
