"""Tunes every cell of a suite anew on other seeds, and counts how often two tunings "differ".

    python -m calibrate --tunings 20

Two tunings of one optimizer are judged as a pair of a table is: search, confirmation, looks. Scores
are kept in the folder, so that a killed calibration goes on where it was. Prints Markdown.
"""

import argparse
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from calibrate.cells import Tuning, tune_cell
from calibrate.judge import Judged, bootstrap_alarms, judge
from optsuite import Suite
from optsuite.registry import load_suite, select
from optsuite.statistics.looks import looks_at

CellName = tuple[str, str]  # a benchmark and an optimizer
LIMIT = 0.05  # of alarms, which the interval of a verdict promises


def main() -> int:
    """Train and print; exits with 1 if alarms are certainly above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="default")
    parser.add_argument("-b", "--benchmark", action="append", default=[])
    parser.add_argument("-o", "--optimizer", action="append", default=[])
    parser.add_argument("--tunings", type=int, default=8)
    parser.add_argument("--reference-seeds", type=int, default=12)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=Path("mlruns/calibration"))
    asked = parser.parse_args()
    protocol = {"n_trials": asked.trials}
    suite = select(
        load_suite(asked.suite),
        benchmarks=asked.benchmark,
        optimizers=asked.optimizer,
        protocol=protocol,
    )
    asked.folder.mkdir(parents=True, exist_ok=True)
    names = [b.name for b in suite.benchmarks], [spec.name for spec in suite.optimizers]
    pairs = list(product(*names))
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        futures = {}
        for pair in pairs:
            numbers = asked.tunings, asked.reference_seeds
            futures[pair] = pool.submit(
                tune_cell, asked.suite, suite.n_trials, pair, numbers, asked.folder
            )
        found: dict[CellName, list[Tuning]] = {}
        for pair, future in futures.items():
            found[pair] = future.result()
            print(f"{len(found)} of {len(pairs)} cells: {' '.join(pair)}", file=sys.stderr)
        judged = _judged(pool, suite, found)
    return _report(suite, found, judged, asked.tunings)


def _judged(
    pool: ProcessPoolExecutor, suite: Suite, found: Mapping[CellName, Sequence[Tuning]]
) -> dict[CellName, Judged]:
    """How each cell fares; thousands of verdicts, which take minutes."""
    looks = looks_at(suite.n_seeds, suite.max_seeds)
    futures = {}
    for benchmark, optimizer in found:
        own = {other: found[name, other] for name, other in found if name == benchmark}
        futures[benchmark, optimizer] = pool.submit(
            judge, own, optimizer, tolerance=suite.tolerance, looks=looks
        )
    return {cell: future.result() for cell, future in futures.items()}


def _report(
    suite: Suite,
    found: Mapping[CellName, Sequence[Tuning]],
    judged: Mapping[CellName, Judged],
    n_tunings: int,
) -> int:
    """Print the table; 1 if alarms are certainly above the limit."""
    looks = looks_at(suite.n_seeds, suite.max_seeds)
    rows = []
    for (benchmark, optimizer), result in judged.items():
        rates = [tuning.lr for tuning in found[benchmark, optimizer]]
        rows.append(
            {
                "benchmark": benchmark,
                "optimizer": optimizer,
                "alarms": f"{np.mean(list(result.alarms.values())):.1%}",
                "mean regret": f"{np.mean(result.regrets):.2%}",
                "90th percentile": f"{np.quantile(result.regrets, 0.9):.2%}",
                "covered": f"{np.mean(result.covered):.0%}",
                "tuned rates": f"{min(rates):.3g} to {max(rates):.3g}",
            }
        )
    mean, low, high = bootstrap_alarms(list(judged.values()), n_tunings)
    print(
        f"{date.today()}, {platform.machine()}, torch {torch.__version__}: {n_tunings} tunings of "
        f"each of {len(judged)} cells, looks at {', '.join(map(str, looks))} seeds.\n"
    )
    print(tabulate(rows, headers="keys", tablefmt="pipe"))
    regrets = np.concatenate([result.regrets for result in judged.values()])
    covered = np.concatenate([result.covered for result in judged.values()])
    print(
        f"\nAlarms: {mean:.1%} of pairs ({low:.1%} to {high:.1%}). "
        f"Mean regret: {regrets.mean():.2%}. Covered: {covered.mean():.0%}."
    )
    return int(low > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
