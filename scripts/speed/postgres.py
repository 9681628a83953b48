"""Seconds and memory of `optsuite report` for campaigns in PostgreSQL.

    PYTHONPATH=.:tests:scripts python -m speed.postgres 10000 100000

Needs the extra `postgres` and PostgreSQL; 100,000 runs take 7 GB of disk and some minutes to copy.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from speed.tracking import grow
from support.servers import postgres

HERE = Path(__file__).parent
RUNS_OF_A_BENCHMARK = 2_500


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took."""

    seconds: float
    peak_megabytes: float


def main(sizes: list[int]) -> None:
    """Train the small suite once, copy its runs, and read them."""
    with (
        postgres("max_wal_size=8GB", "shared_buffers=512MB") as databases,
        tempfile.TemporaryDirectory() as name,
    ):
        uri, folder = databases.create("mlflow"), Path(name)
        optsuite(uri, folder, "run", "--suite", str(HERE / "suite.py"))
        for size in sizes:
            n_benchmarks = max(10, size // RUNS_OF_A_BENCHMARK)
            started = time.perf_counter()
            grow(uri, size, n_benchmarks)
            seconds = time.perf_counter() - started
            print(f"{size} runs on {n_benchmarks} benchmarks copied in {seconds:.0f} s", flush=True)
            cost = optsuite(uri, folder, "report")
            print(f"report: {cost.seconds:.1f} s, {cost.peak_megabytes:.0f} MB at most", flush=True)


def optsuite(uri: str, folder: Path, *arguments: str) -> Cost:
    """Run a command in the folder to its end."""
    started = time.perf_counter()
    with (folder / "out").open("w") as out:
        command = [sys.executable, "-m", "optsuite", *arguments]
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=out,
            stderr=out,
            env=os.environ | {"MLFLOW_TRACKING_URI": uri, "COLUMNS": "120"},
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (folder / "out").read_text()[-2_000:]
    return Cost(seconds=time.perf_counter() - started, peak_megabytes=usage.ru_maxrss / 1e3)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
