"""Seconds that MLflow costs: writing a run, and reading a campaign for its report."""

import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

from optsuite.report.tables import leaderboard, write
from optsuite.tracking.reading import read_runs
from optsuite.tracking.recording import Recording
from optsuite.tracking.store import open_store
from optsuite.training.run import Ended, Measurement, Run

CURVES = ("train/loss", "validation/loss", "validation/accuracy", "test/loss", "test/accuracy")
OF_A_RUN = {  # the tables that hold a run, and their columns that say which
    "runs": "run_uuid",
    "metrics": "run_uuid",
    "latest_metrics": "run_uuid",
    "params": "run_uuid",
    "tags": "run_uuid",
}


def seconds_per_run(folder: Path, n_runs: int) -> float:
    """The median time to write a run of 21 measurements, each of five values, into a fresh store."""
    store = open_store(f"sqlite:///{folder}/mlflow.db")
    seconds = []
    for seed in range(n_runs):
        started = time.perf_counter()
        recording = Recording(
            store=store,
            run=Run(benchmark="speed", optimizer="adam", lr=0.001, seed=seed, kind="trial"),
            parent=lambda: None,
            target=None,
            tags={f"optsuite.tag_{i}": "value" for i in range(9)},
            params={f"param_{i}": i for i in range(16)},
        )
        for step in range(0, 1_050, 50):
            recording.add(Measurement(step=step, values=dict.fromkeys(CURVES, 1.0), time=time.time()))
        recording.end(Ended(outcome="finished"))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def report_seconds(database: Path, folder: Path, sizes: tuple[int, ...]) -> dict[int, float]:
    """The time to read a campaign of so many runs and to write its tables. The runs are copies of those in the database."""
    seconds = {}
    for size in sizes:
        _grow(database, size)
        started = time.perf_counter()
        write(leaderboard(read_runs(open_store(f"sqlite:///{database}"), "default")), folder, campaign="default", notes=())
        seconds[size] = time.perf_counter() - started
    return seconds


def _grow(database: Path, size: int) -> None:
    """Copy all runs under other names until there are `size`: MLflow would take minutes to write them."""
    with closing(sqlite3.connect(database)) as connection, connection:
        originals = [name for (name,) in connection.execute("SELECT run_uuid FROM runs WHERE length(run_uuid) = 32")]
        (held,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        for number in range(held, size):
            original, copy = originals[number % len(originals)], f"{number:x}"
            for table, key in OF_A_RUN.items():
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                values = ", ".join("?" if column == key else f'"{column}"' for column in columns)
                names = ", ".join(f'"{column}"' for column in columns)
                connection.execute(
                    f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE {key} = ?", (copy, original)
                )
            connection.execute(
                "UPDATE tags SET value = value || ? WHERE run_uuid = ? AND key = 'optsuite.optimizer'",
                (f"_{number // len(originals)}", copy),
            )
