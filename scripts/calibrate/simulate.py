"""Simulates whole comparisons, looks included, with the noise of real runs.

    python -m calibrate.simulate --draws 2000

For each benchmark of a suite, the scores of one tuning of every optimizer on the seeds of the last
look are centered, and their rows resampled: what is left differs by chance alone. Then the first
optimizer is made better by a multiple of the standard deviation of the paired differences. The
scores come from the folder of `python -m calibrate`; what it lacks is trained. Prints Markdown.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from tabulate import tabulate

from calibrate.cells import Cell
from calibrate.judge import looked
from optsuite.registry import load_suite, select
from optsuite.statistics.differences import compare
from optsuite.statistics.looks import looks_at, n_evaluated
from optsuite.statistics.sign_flip import ALPHA, Matrix
from optsuite.training.results import penalized

SHIFTS = (0.7, 1.0)  # standard deviations of the paired differences


def main() -> int:
    """Simulate and print; exits with 1 if alarms are above 5 % by more than chance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="default")
    parser.add_argument("-b", "--benchmark", action="append", default=[])
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--folder", type=Path, default=Path("mlruns/calibration"))
    asked = parser.parse_args()
    suite = select(load_suite(asked.suite), benchmarks=asked.benchmark)
    looks = looks_at(suite.n_seeds, suite.max_seeds)
    asked.folder.mkdir(parents=True, exist_ok=True)
    rows, worst = [], 0.0
    for benchmark in suite.benchmarks:
        columns = []
        for spec in suite.optimizers:
            (tuning,) = Cell(suite, benchmark.name, spec.name, asked.folder).tunings(1, 0)
            columns.append(penalized(tuning.scores))
        scores = np.array(columns).T
        noise = scores / scores.mean(axis=0)
        found = simulated(noise, looks, asked.draws)
        worst = max(worst, found["alarms"])
        rows.append({"benchmark": benchmark.name, **found})
    print(f"{date.today()}, {asked.draws} draws, looks at {', '.join(map(str, looks))} seeds.\n")
    print(tabulate(rows, headers="keys", tablefmt="pipe"))
    margin = 2 * (ALPHA / asked.draws) ** 0.5
    return int(worst > 0.05 + margin)


def simulated(noise: Matrix, looks: Sequence[int], n_draws: int) -> dict[str, float]:
    """The share of comparisons with a false alarm, the power at each shift, and the mean seeds."""
    found: dict[str, float] = {}
    alarms, n_seeds = 0, 0.0
    for scores in drawn(noise, looks[-1], n_draws):
        seen = looked(scores, 0.0, looks)
        alarms += any(verdict.kind == "worse" for verdict in compare(seen, 0.0, looks).values())
        n_seeds += float(np.mean(n_evaluated(seen)))
    found["alarms"] = round(alarms / n_draws, 4)
    found["seeds"] = round(n_seeds / n_draws, 1)
    n_power = max(1, n_draws // 10)
    spread = float((noise[:, 0] - noise[:, 1]).std(ddof=1))
    for shift in SHIFTS:
        within: dict[int, int] = dict.fromkeys(looks[1:], 0)
        for scores in drawn(noise, looks[-1], n_power):
            scores[:, 0] -= shift * spread
            for look in within:
                seen = looked(scores[:look], 0.0, looks)
                within[look] += compare(seen, 0.0, looks)[0, 1].kind == "better"
        for look, n_found in within.items():
            found[f"power {shift} in {look}"] = round(n_found / n_power, 3)
    return found


def drawn(noise: Matrix, n_seeds: int, n_draws: int) -> Iterator[Matrix]:
    """The noise (n_seeds, optimizers) of seeds drawn with replacement; no optimizer is better."""
    rng = np.random.default_rng(0)
    common = noise.mean(axis=1, keepdims=True)
    own = noise - common
    own -= own.mean(axis=0)
    for _ in range(n_draws):
        rows = rng.integers(len(noise), size=n_seeds)
        yield common[rows] + own[rows]


if __name__ == "__main__":
    sys.exit(main())
