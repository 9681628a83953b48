"""Seconds that MLflow costs: writing a run, and reading a campaign for its report."""

import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

from optsuite.report.build import build
from optsuite.report.tables import comparison
from optsuite.tracking.reading import read_curves, read_runs
from optsuite.tracking.recording import Recording
from optsuite.tracking.spool import Spool
from optsuite.tracking.store import open_store
from optsuite.training.run import Ended, Measurement, Run

CURVES = ("train/loss", "validation/loss", "validation/accuracy", "test/loss", "test/accuracy")
OF_A_RUN = ("runs", "metrics", "latest_metrics", "params", "tags")  # the tables that hold a run


def seconds_per_run(folder: Path, n_runs: int) -> float:
    """The median time to write a run of 21 measurements, each of five values, into a fresh store."""
    store = open_store(f"sqlite:///{folder}/mlflow.db")
    seconds = []
    for seed in range(n_runs):
        started = time.perf_counter()
        recording = Recording(
            store=store,
            spool=Spool(store.uri, "speed"),
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
        store = open_store(f"sqlite:///{database}")
        runs, curves = read_runs(store, "default"), read_curves(store, "default", ["validation/loss"])
        build(runs, curves, comparison(runs), folder, campaign="default", ui="")
        seconds[size] = time.perf_counter() - started
    return seconds


def _grow(database: Path, size: int) -> None:
    """Copy all runs, studies with their children, until there are `size`: MLflow would take minutes to write them.

    Copies are other optimizers, on ten benchmarks.
    """
    with closing(sqlite3.connect(database)) as connection, connection:
        originals = [name for (name,) in connection.execute("SELECT run_uuid FROM runs WHERE run_uuid NOT LIKE 'copy%'")]
        (held,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        for number in range(held, size):
            copy, original = number // len(originals), originals[number % len(originals)]
            for table in OF_A_RUN:
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                values = ", ".join(_renamed(table, column) for column in columns)
                names = ", ".join(columns)
                query = f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE run_uuid = :run"
                connection.execute(query, {"run": original, "prefix": f"copy{copy:04}", "benchmark": copy % 10, "copy": copy})


def _renamed(table: str, column: str) -> str:
    """What a copied row holds in a column, in SQL."""
    if column == "run_uuid":
        return ":prefix || substr(run_uuid, 9)"
    if table == "tags" and column == "value":
        return """CASE key WHEN 'mlflow.parentRunId' THEN :prefix || substr(value, 9)
                  WHEN 'optsuite.benchmark' THEN value || ' ' || :benchmark
                  WHEN 'optsuite.optimizer' THEN value || ' ' || :copy ELSE value END"""
    return column
