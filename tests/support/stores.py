"""Training small campaigns, and looking at what they leave in a store."""

import sqlite3
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from conftest import InlinePool
from suites import tiny

from optsuite import Suite
from optsuite.campaign.events import Event
from optsuite.campaign.housekeeping.removal import Removal
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.runner import run_campaign, studies_of
from optsuite.campaign.study import Study
from optsuite.execution.pool import Pool, Task
from optsuite.execution.worker import Train
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store
from optsuite.training.results import Measurement, RunResult

SUITE = replace(tiny.SUITE, n_trials=2, n_seeds=2)
N_RUNS = 2 * (2 + 2) + 2 + 2  # trials and evaluations of two optimizers, default ones, studies
TABLES = ("metrics", "latest_metrics", "params", "tags", "runs")


def never() -> bool:
    return False


def everything() -> pd.DataFrame:
    """All runs of campaign "c" in the store of the current folder, studies included."""
    return read_runs(open_store(tracking_uri()), "c", everything=True)


def run_studies(
    pool: Pool,
    studies: Sequence[Study],
    *,
    campaign: str = "c",
    suite: str = "tiny",
    stop: Callable[[], bool] = never,
    **options: Any,
) -> list[Event]:
    """Run a campaign in the current folder to its end, and return its events."""
    uri = tracking_uri()
    events = run_campaign(
        studies, uri=uri, campaign=campaign, suite=suite, pool=pool, stop=stop, **options
    )
    return list(events)


PREPARED: dict[int, tuple[Suite, list[Problem]]] = {}


def prepared(suite: Suite) -> list[Problem]:
    """The problems of this suite, which is prepared once; for tests that change no definition."""
    if id(suite) not in PREPARED:
        PREPARED[id(suite)] = suite, prepare(suite, device="cpu")[0]
    return PREPARED[id(suite)][1]


def train(campaign: str) -> None:
    pool = InlinePool()
    pool.load(SUITE)
    studies = studies_of(SUITE, prepared(SUITE), device="cpu")
    assert run_studies(pool, studies, campaign=campaign)


def rows(database: Path, campaign: str | None = None) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all runs, of a campaign's runs where one is named."""
    where = ""
    values: tuple[str, ...] = ()
    if campaign:
        own = "SELECT run_uuid FROM tags WHERE key = 'optsuite.campaign' AND value = ?"
        where = f"WHERE run_uuid IN ({own})"
        values = (campaign,)
    found = {}
    with closing(sqlite3.connect(database)) as connection:
        for table in TABLES:
            every = connection.execute(f"SELECT * FROM {table} {where}", values)
            found[table] = sorted(every, key=repr)
    return found


def files(folder: Path) -> dict[str, bytes]:
    """All files except those of SQLite's log."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.endswith(("-wal", "-shm")):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def counts(removal: Removal) -> dict[str, int]:
    return {part.what: part.n for part in removal.parts}


def times(factor: float, measurement: Measurement) -> Measurement:
    """The measurement with all its values multiplied by the factor."""
    values = {name: value * factor for name, value in measurement.values.items()}
    return replace(measurement, values=values)


def drifting(train: Train, factor: float = 1.5, seeds: Container[int] | None = None) -> Train:
    """Training whose stacks of sgd drift from the plain loop late, where no trial has looked.

    Only the runs of these seeds do, if they are given.
    """

    def drifted(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        for index, update in train(task):
            run = task.runs[index]
            is_stacked_sgd = task.engine != "plain" and run.optimizer == "sgd"
            drifts = is_stacked_sgd and (seeds is None or run.seed in seeds)
            if drifts and isinstance(update, Measurement) and update.step > 10:
                update = times(factor, update)
            yield index, update

    return drifted


def contents(folder: Path) -> dict[str, str]:
    """The text of each file, and the target of each link."""
    paths = sorted(folder.rglob("*"))
    return {
        str(p.relative_to(folder)): str(p.readlink()) if p.is_symlink() else p.read_text()
        for p in paths
        if not p.is_dir()
    }
