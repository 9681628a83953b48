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
START_SECONDS = 10.0  # a process on a GPU trains one stack and imports torch for it
DISPATCH_SECONDS = 0.0015  # of the driver for a stack, through Ray
RECEIVE_SECONDS = 0.001  # of the driver for a measurement of a stack of 8
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
    studies: list[list[Stage]] = []
    costs = []
    for problem in problems:
        stages = list(_stages(suite, problem, arguments.speedup, arguments.write_seconds))
        studies += [stages] * N_OPTIMIZERS
        seconds = problem.seconds_per_run / arguments.speedup
        costs.append((problem.benchmark.name, f"{seconds:.2g}"))
    alone = sum(sum(stage.stacks) for stages in studies for stage in stages)
    longest = max(sum(max(stage.stacks) for stage in stages) for stages in studies)
    rows = [_row(studies, alone, n_workers) for n_workers in WORKERS]
    names = ("workers", "hours", "speed-up", "of the workers used", "of the driver")
    n_runs = sum(stage.n_runs for stages in studies for stage in stages)
    sys.stdout.write(f"{len(studies)} studies, {n_runs:,} runs, {alone / 3600:,.0f} worker hours; ")
    sys.stdout.write(f"the longest study alone {longest / 3600:,.1f} hours.\n\n")
    sys.stdout.write(tabulate(rows, headers=names, tablefmt="github") + "\n\n")
    sys.stdout.write(
        tabulate(costs, headers=("benchmark", "seconds a run"), tablefmt="github") + "\n"
    )


def _row(studies: list[list[Stage]], alone: float, n_workers: int) -> tuple[object, ...]:
    """A row of the table, where one worker alone would take `alone` seconds."""
    seconds, driving = simulate(studies, n_workers)
    hours, speedup = f"{seconds / 3600:,.2f}", f"{alone / seconds:,.0f}"
    used = alone / (n_workers * seconds)
    return n_workers, hours, speedup, f"{used:.0%}", f"{driving / seconds:.0%}"


def simulate(studies: list[list[Stage]], n_workers: int) -> tuple[float, float]:
    """The seconds until all is trained and written, and those in which the driver is busy."""
    if n_workers >= len(studies):
        studies = sorted(studies, key=lambda stages: -max(stages[0].stacks))
    # Study, a tie-breaker, seconds: earlier studies go first.
    ready: list[tuple[int, int, float]] = []
    running: list[tuple[float, int]] = []  # the end of a stack, and its study
    count = itertools.count()
    stage_of = [0] * len(studies)
    left = [0] * len(studies)
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
    """The stages of a study, from its generator, which receives scores with a single minimum."""
    (spec,) = suite.optimizers
    benchmark, plan = problem.benchmark, problem.plans[spec.name]
    per_run = problem.seconds_per_run / speedup
    multiple = PAD_TO if plan.engine != "plain" else 1
    start = START_SECONDS if speedup > 1 else 0.0
    n_measurements = benchmark.max_steps // benchmark.eval_every + 1
    asks = tune_and_evaluate(benchmark.name, spec, suite, Proposals())
    scores: list[RunScore] | None = None
    started = time.perf_counter()
    with suppress(StopIteration):
        while True:
            runs = next(asks) if scores is None else asks.send(scores)
            stacks = group(runs, plan.max_stack)
            padded = [math.ceil(len(stack) / multiple) * multiple for stack in stacks]
            writing = len(runs) / len(stacks) * write_seconds
            yield Stage(
                n_runs=len(runs),
                stacks=tuple(start + n * per_run for n in padded),
                proposing=time.perf_counter() - started,
                receiving=n_measurements * RECEIVE_SECONDS + writing,
            )
            started = time.perf_counter()
            scores = []
            for run in runs:
                value = abs(math.log10(run.lr) + 2)
                scores.append(RunScore(outcome="finished", value=value, initial_loss=9.0))


def _available(benchmark: Benchmark) -> Benchmark:
    """The benchmark, with random images if its own need a download."""
    if benchmark.name not in SHAPES:
        return benchmark
    shape = SHAPES[benchmark.name]

    def images(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randint(0, 256, (n, *shape), dtype=torch.uint8), torch.randint(0, 10, (n,))

    splits = Splits(train=images(2_000), validation=images(10_000), test=images(10_000))
    return replace(benchmark, dataset=lambda: splits)


if __name__ == "__main__":
    main()
