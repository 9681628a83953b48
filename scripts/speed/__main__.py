"""Measures the performance of optsuite side by side in one run: `make speed`. Prints Markdown.

Times depend on the machine and on the hour; compare the ratios within a table.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from speed import clusters, engines, pipeline, tracking
from speed.suite import SHORT
from tabulate import tabulate

from optsuite import OPTIMIZERS
from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.errors import DatasetUnavailableError
from optsuite.execution.local.pool import LocalPool
from optsuite.training.plan import plan, step_flops
from optsuite.training.validation.definitions import load_splits

HERE = Path(__file__).parent
ADAM = OPTIMIZERS["adam"]
Problems = list[tuple[Benchmark, Splits]]
Row = dict[str, str]


def main() -> None:
    """Measure and print, table by table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="measure everything, too briefly to mean anything"
    )
    parser.add_argument(
        "--device", default="cpu", help="where to train; other than cpu: in this process only"
    )
    arguments = parser.parse_args()
    quick, device = arguments.quick, arguments.device
    print(f"On {_machine(device)}:\n")
    problems = list(_problems())[: 1 if quick else None]
    _print(
        "Microseconds a run and step with Adam, in one process",
        _loops(problems, device, quick=quick),
    )
    if device == "cpu":
        _print(
            "The same with 16 runs in worker processes, by engine and number of workers",
            _workers(problems, quick=quick),
        )
        with tempfile.TemporaryDirectory() as folder:
            _print("The comparison of the tutorials", _pipelines(Path(folder), quick=quick))
            _print("Tracking and report", _tracking(Path(folder), quick=quick))
        _print(
            "Stacks of 8 in two local workers and in a Ray cluster of two CPUs, once started",
            _cluster(quick=quick),
        )


def _problems() -> Iterator[tuple[Benchmark, Splits]]:
    for benchmark in SHORT:
        try:
            yield benchmark, load_splits(benchmark)
        except DatasetUnavailableError as error:
            print(error, file=sys.stderr)


def _loops(problems: Problems, device: str, *, quick: bool) -> Iterator[Row]:
    stacks = (8,) if quick else (8, 16, 32) if device == "cpu" else (1, 16, 64, 256)
    for benchmark, splits in problems:
        found = engines.loops(
            benchmark, ADAM, splits, stacks, rounds=1 if quick else 3, device=device
        )
        first, _, *rest = found.values()
        row = {
            "benchmark": benchmark.name,
            "MFLOP a step": f"{step_flops(benchmark, splits) / 1e6:.1f}",
        }
        row |= {name: f"{value:.0f}" for name, value in found.items()}
        yield row | {"best stack": f"{first / min(rest):.1f} x DataLoader loop"}


def _workers(problems: Problems, *, quick: bool) -> Iterator[Row]:
    suite = str(HERE / "suite.py")
    with (
        LocalPool(1, suite=suite, device="cpu") as one,
        LocalPool(2, suite=suite, device="cpu") as two,
    ):
        for benchmark, splits in problems:
            found = engines.workers(
                benchmark, ADAM, splits, (one, two), n_runs=16, rounds=1 if quick else 3
            )
            chosen = plan(benchmark, ADAM, splits, device="cpu").engine
            row = {"benchmark": benchmark.name} | {
                name: f"{value:.0f}" for name, value in found.items()
            }
            gain = found["plain, 2"] / found[f"{chosen}, 2"]
            yield row | {"the plan's choice": f"{chosen}: {gain:.1f} x two plain workers"}


def _pipelines(folder: Path, *, quick: bool) -> Iterator[Row]:
    n_trials, n_seeds = (1, 1) if quick else (16, 12)
    theirs = pipeline.tutorial(folder / "tutorial", n_trials, n_seeds)
    ours = pipeline.suite(folder / "suite", max(8, n_trials), n_seeds)
    for name, whole in (("tutorials' script", theirs), ("optsuite run", ours)):
        yield {
            "": name,
            "runs": str(whole.n_runs),
            "whole command": f"{whole.seconds:.1f} s",
            "runs a minute, once started": f"{whole.runs_a_minute:.0f}",
        }
    yield {
        "": "ratio",
        "runs": f"{ours.n_runs / theirs.n_runs:.1f}",
        "whole command": f"{theirs.seconds / ours.seconds:.1f}",
        "runs a minute, once started": f"{ours.runs_a_minute / theirs.runs_a_minute:.1f}",
    }


def _tracking(folder: Path, *, quick: bool) -> Iterator[Row]:
    per_run = tracking.seconds_per_run(folder / "tracking", 3 if quick else 100)
    yield {"": "writing a run of 21 measurements", "seconds": f"{per_run:.3f}"}
    sizes = (200,) if quick else (1_000, 10_000)
    for size, seconds in tracking.report_seconds(
        folder / "suite" / "mlruns" / "mlflow.db", folder / "report", sizes
    ).items():
        yield {"": f"report of {size:,} runs on 10 benchmarks", "seconds": f"{seconds:.1f}"}


def _cluster(*, quick: bool) -> Iterator[Row]:
    try:
        found = clusters.seconds(rounds=1 if quick else 9, n_seeds=1 if quick else 4)
    except ModuleNotFoundError:
        yield {"": "needs the extra optsuite[ray]"}
        return
    middle, least, most = clusters.overhead(found)
    local, ray = (f"{statistics.median(times):.2f} s" for times in found.values())
    yield {
        "": "wall time",
        "local workers": local,
        "Ray": ray,
        "ratio": f"{middle:.2f} ({least:.2f} to {most:.2f})",
    }
    costs = zip(
        ("stack", "measured step of 8 runs"),
        clusters.driver_seconds(4 if quick else 100),
        strict=True,
    )
    for name, cost in costs:
        yield {"": f"CPU time of the driver for a {name}", "Ray": f"{cost * 1e3:.2f} ms"}


def _print(title: str, rows: Iterator[Row]) -> None:
    table = tabulate(list(rows), headers="keys", tablefmt="pipe", disable_numparse=True)
    print(f"{title}\n\n{table}\n", flush=True)


def _machine(device: str) -> str:
    name = platform.processor() or platform.machine()
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    elif Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(
            (line.partition(": ")[2] for line in lines if line.startswith("model name")), name
        )
    python, when = platform.python_version(), time.strftime("%Y-%m-%d")
    return f"{name}, {os.cpu_count()} CPUs, Python {python}, torch {torch.__version__}, {when}"


if __name__ == "__main__":
    main()
