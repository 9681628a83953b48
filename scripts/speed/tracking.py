"""Seconds that MLflow costs: writing a run, and reading a campaign for its report."""

import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import sqlalchemy

from optsuite.analysis.leaderboard import comparison
from optsuite.reporting.write import build
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.rows import chunks
from optsuite.tracking.run_logger import RunLogger
from optsuite.tracking.run_writer import RunWriter
from optsuite.tracking.schema import SEAL, SEALED
from optsuite.tracking.seal import Points, seal
from optsuite.tracking.store import Store, open_store
from optsuite.training.results import Measurement, Run, RunResult

CURVES = ("train/loss", "validation/loss", "validation/accuracy", "test/loss", "test/accuracy")
ORIGINAL = "run_uuid NOT LIKE 'copy%'"
COUNTS = f"SELECT count(*), count(*) FILTER (WHERE {ORIGINAL}) FROM runs"
COPIES = """WITH RECURSIVE copies(copy) AS (
    SELECT CAST(:first AS INTEGER)
    UNION ALL SELECT copy + 1 FROM copies WHERE copy < CAST(:last AS INTEGER)
)"""
OF_A_RUN = ("runs", "metrics", "latest_metrics", "params", "tags")  # the tables that hold a run


def seconds_per_run(folder: Path, n_runs: int) -> float:
    """The median time to write a run of 21 measurements with five values each to a fresh store."""
    store = open_store(f"sqlite:///{folder}/mlflow.db")
    writer = RunWriter(store, Outbox(store.uri, "speed"))
    seconds = []
    for seed in range(n_runs):
        started = time.perf_counter()
        run_logger = RunLogger(
            store=store,
            writer=writer,
            run=Run(benchmark="speed", optimizer="adam", lr=0.001, seed=seed, kind="trial"),
            parent=lambda: None,
            target=None,
            tags={f"optsuite.tag_{i}": "value" for i in range(9)},
            params={f"param_{i}": i for i in range(16)},
        )
        for step in range(0, 1_050, 50):
            run_logger.add(
                Measurement(step=step, values=dict.fromkeys(CURVES, 1.0), time=time.time())
            )
        run_logger.end(RunResult(outcome="finished"))
        writer.flush()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def report_seconds(database: Path, folder: Path, sizes: tuple[int, ...]) -> dict[int, float]:
    """The time to read a campaign and to write its tables, by number of runs.

    The runs are copies of those in the database.
    """
    seconds = {}
    for size in sizes:
        grow(f"sqlite:///{database}", size)
        started = time.perf_counter()
        store = open_store(f"sqlite:///{database}")
        runs, curves = (
            read_runs(store, "default"),
            partial(read_curves, store, names=["validation/loss"]),
        )
        build(runs, curves, comparison(runs), folder, campaign="default", ui="")
        seconds[size] = time.perf_counter() - started
    return seconds


def grow(uri: str, size: int, n_benchmarks: int = 10) -> None:
    """Copy all runs, studies with their children, until there are about `size`.

    Writing them with MLflow would take minutes. Copies have different optimizers, on `n_benchmarks`
    benchmarks.
    """
    engine = sqlalchemy.create_engine(uri)
    with engine.begin() as connection:
        held, originals = connection.execute(sqlalchemy.text(COUNTS)).one()
        copies = {
            "first": held // originals,
            "last": size // originals - 1,
            "n_benchmarks": n_benchmarks,
        }
        for table in OF_A_RUN if copies["first"] <= copies["last"] else ():
            columns = [
                column["name"] for column in sqlalchemy.inspect(connection).get_columns(table)
            ]
            values = ", ".join(_renamed(table, column) for column in columns)
            copied = f"{COPIES} SELECT {values} FROM {table} CROSS JOIN copies WHERE {ORIGINAL}"
            connection.execute(
                sqlalchemy.text(f"INSERT INTO {table} ({', '.join(columns)}) {copied}"), copies
            )
    with engine.begin() as connection:
        seals = [*_seals(open_store(uri))]
        if seals:
            connection.execute(
                sqlalchemy.text(
                    "UPDATE tags SET value = :seal WHERE run_uuid = :run AND key = :key"
                ),
                seals,
            )
    engine.dispose()


def _seals(store: Store) -> Iterator[dict[str, str]]:
    """What seals the copies: each says other things of itself than what it was copied from."""
    for chunk in chunks(store, "default"):
        for row in chunk.to_dict("records"):
            points = Points.counted(row)
            if row["run_id"].startswith("copy") and isinstance(row["seal"], str) and points:
                yield {
                    "run": row["run_id"],
                    "key": SEAL,
                    "seal": seal({name: row[name] for name in SEALED}, points),
                }


def _renamed(table: str, column: str) -> str:
    """What a copied row holds in a column, in SQL."""
    prefix = "'copy' || (1000 + copy)"
    if column == "run_uuid":
        return f"{prefix} || substr(run_uuid, 9)"
    if table == "tags" and column == "value":
        return f"""CASE key WHEN 'mlflow.parentRunId' THEN {prefix} || substr(value, 9)
                   WHEN 'optsuite.fingerprint' THEN (100000 + copy) || value
                   WHEN 'optsuite.benchmark'
                   THEN value || ' ' || (copy % CAST(:n_benchmarks AS INTEGER))
                   WHEN 'optsuite.optimizer' THEN value || ' ' || copy ELSE value END"""
    return column
