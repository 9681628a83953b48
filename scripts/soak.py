"""Runs campaign after campaign in one process, and reports whether it grows: `make soak`.

Prints a line a minute, and Markdown at the end. One pool of workers serves all campaigns, like in a
long one; every tenth campaign starts and stops its own pool.
"""

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from suites import tiny
from support.commands import descendants
from tabulate import tabulate

from optsuite.analysis.leaderboard import comparison
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.runner import run_campaign, studies_of
from optsuite.execution.local.pool import LocalPool
from optsuite.reporting.write import build
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.store import open_store

TINY = Path(__file__).parents[1] / "tests" / "suites" / "tiny.py"
# Of memory, from the second to the last quarter; files and processes must not grow at all.
MOST_GROWTH = 1.05
Sample = dict[str, float]


def main() -> None:
    """Run, sample, judge; exit 1 when something grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    arguments = parser.parse_args()
    samples = soak(60 * arguments.minutes)
    rows, grew = judge(samples)
    print(f"\n{len(samples)} campaigns in {arguments.minutes:g} minutes\n")
    print(tabulate(rows, headers="keys", tablefmt="github"))
    sys.exit(1 if grew else 0)


def soak(seconds: float) -> list[Sample]:
    """Run small campaigns in a temporary folder for so long; what the process held after each."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        started, said = time.monotonic(), 0.0
        problems, _ = prepare(tiny.SUITE, device="cpu")
        with LocalPool(2, suite=str(TINY), device="cpu") as pool:
            while (passed := time.monotonic() - started) < seconds:
                _campaign(len(samples), pool, problems)
                samples.append({"seconds": passed} | held())
                if passed - said >= 60 or len(samples) == 1:
                    said = passed
                    print(
                        "  ".join(f"{name} {value:.0f}" for name, value in samples[-1].items()),
                        flush=True,
                    )
    return samples


def _campaign(n: int, pool: LocalPool, problems: list[Problem]) -> None:
    name, suite = f"soak-{n}", tiny.SUITE

    def run(own: LocalPool) -> None:
        studies = studies_of(suite, problems, device="cpu")
        for _ in run_campaign(
            studies,
            uri=tracking_uri(),
            campaign=name,
            suite=suite.name,
            pool=own,
            stop=lambda: False,
        ):
            pass

    if n % 10 == 9:
        with LocalPool(2, suite=str(TINY), device="cpu") as own:
            run(own)
    else:
        run(pool)
    store = open_store(tracking_uri())
    runs, curves = read_runs(store, name), partial(read_curves, store, names=["validation/loss"])
    build(
        runs,
        curves,
        comparison(runs),
        Path("mlruns/report"),
        campaign=name,
        ui="http://127.0.0.1:5000",
    )


def held() -> Sample:
    """Memory in MB, open files and processes, of this process and of those that descend from it."""
    gc.collect()
    others = descendants(os.getpid())
    return {
        "memory": _megabytes(os.getpid()),
        "memory of workers": sum(map(_megabytes, others)),
        "files": len(os.listdir("/proc/self/fd")),
        "processes": len(others),
        "threads": len(os.listdir("/proc/self/task")),
    }


def judge(samples: list[Sample]) -> tuple[list[dict[str, object]], bool]:
    """Each number in the middle of the second and the last quarter, and whether any grew.

    The first quarter is warm-up.
    """
    quarter = len(samples) // 4

    def middle(
        name: str, part: list[Sample], of: Callable[[list[float]], float] = statistics.median
    ) -> float:
        return of([sample[name] for sample in part])

    rows: list[dict[str, object]] = []
    grew = False
    for name in samples[0]:
        if name == "seconds":
            continue
        before, after = (
            middle(name, samples[quarter : 2 * quarter]),
            middle(name, samples[-quarter:]),
        )
        grown = after > before * (MOST_GROWTH if name.startswith("memory") else 1)
        grew |= grown
        rows.append(
            {
                "": name,
                "second quarter": before,
                "last quarter": after,
                "grew": "yes" if grown else "no",
            }
        )
    return rows, grew


def _megabytes(pid: int) -> float:
    """The memory of a process without shared pages, which count for its parent."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return (
        sum(
            int(line.split()[1])
            for line in lines
            if line.startswith(("Private_Clean", "Private_Dirty"))
        )
        / 1e3
    )


if __name__ == "__main__":
    main()
