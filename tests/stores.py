"""Small stores for tests of what is removed from them, and what can be seen of a store."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from conftest import InlinePool
from suites import tiny

from optsuite.campaign.housekeeping.removal import Removal
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import run_campaign, studies_of
from optsuite.tracking.location import tracking_uri

SUITE = replace(tiny.SUITE, n_trials=2, n_seeds=2)
N_RUNS = 2 * (2 + 2) + 2 + 2  # trials and evaluations of two optimizers, default ones, studies
TABLES = ("metrics", "latest_metrics", "params", "tags", "runs")


def train(campaign: str) -> None:
    pool = InlinePool()
    pool.load(SUITE)
    studies = studies_of(SUITE, prepare(SUITE, device="cpu")[0], device="cpu")
    events = run_campaign(
        studies,
        uri=tracking_uri(),
        campaign=campaign,
        suite=SUITE.name,
        pool=pool,
        stop=lambda: False,
    )
    assert list(events)


def rows(database: Path, campaign: str | None = None) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all runs, of a campaign's runs where one is named."""
    own = "SELECT run_uuid FROM tags WHERE key = 'optsuite.campaign' AND value = ?"
    where = f"WHERE run_uuid IN ({own})" if campaign else ""
    with closing(sqlite3.connect(database)) as connection:
        return {
            table: sorted(
                connection.execute(f"SELECT * FROM {table} {where}", (campaign,) * bool(campaign)),
                key=repr,
            )
            for table in TABLES
        }


def files(folder: Path) -> dict[str, bytes]:
    """All files but those of SQLite's log."""
    found = (path for path in folder.rglob("*") if path.is_file())
    kept = (path for path in found if not path.name.endswith(("-wal", "-shm")))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def counts(removal: Removal) -> dict[str, int]:
    return {part.what: part.n for part in removal.parts}
