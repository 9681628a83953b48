"""Removing runs from a store for good: their rows, their artifacts, and the space that they took.

A server only lets runs be moved to MLflow's trash; what it keeps on its disk is up to its owner.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag
from mlflow.tracking import _get_store

from optsuite.errors import one_line
from optsuite.tracking.inventory import InventoryRow
from optsuite.tracking.location import database_path
from optsuite.tracking.schema import CAMPAIGN, GIVEN_UP
from optsuite.tracking.sql import query
from optsuite.tracking.store import Store

TABLES = ("metrics", "latest_metrics", "params", "tags")
CHUNK = 500  # ids of one statement: SQLite took no more than 999 variables for a long time
PAGES = ("page_count", "freelist_count", "page_size")
BUSY_SECONDS = 20.0  # as long as MLflow's own sessions wait for another writer


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """The bytes of a SQLite file before and after it was compacted, or why it was not."""

    before: int
    after: int
    reason: str = ""


def purge(
    store: Store,
    runs: Iterable[InventoryRow],
    check: Callable[[], None] = lambda: None,
) -> list[str]:
    """Remove runs for good; from a server, move them to MLflow's trash.

    `check` is called before each and may raise. Returns the artifacts that could not be deleted,
    each with the reason.
    """
    left: list[str] = []
    for run in runs:
        check()
        if not store.is_database:
            store.delete(run.run_id)
            continue
        left += _delete_artifacts(run)
        with suppress(MlflowException):  # somebody else has removed it
            # what `mlflow gc` calls
            store.retry.call(_backend(store)._hard_delete_run, run.run_id)
    return left


def give_up(store: Store, runs: Sequence[InventoryRow]) -> None:
    """Take runs out of their campaign and into MLflow's trash, in one transaction.

    So a kill leaves all of a campaign, or nothing of it that anything would read but `inventory`.
    """
    store.retry.call(_give_up, store, [run.run_id for run in runs])


def _give_up(store: Store, ids: Sequence[str]) -> None:
    deleted = {
        "lifecycle_stage": LifecycleStage.DELETED,
        "deleted_time": int(time.time() * 1e3),
    }
    with _backend(store).ManagedSessionMaker(read_only=False) as session:
        for i in range(0, len(ids), CHUNK):
            own = ids[i : i + CHUNK]
            runs = session.query(SqlRun).filter(SqlRun.run_uuid.in_(own))
            runs.update(deleted, synchronize_session=False)
            tags = session.query(SqlTag).filter(SqlTag.run_uuid.in_(own), SqlTag.key == CAMPAIGN)
            tags.update({"key": GIVEN_UP}, synchronize_session=False)


def _backend(store: Store) -> Any:
    """MLflow's own store behind its client, as its command line gets it."""
    return _get_store(store.uri)  # type: ignore[no-untyped-call]


def sizes(store: Store) -> dict[str, int]:
    """About how many bytes of a SQLite file each run takes, by id; empty for other stores.

    A run takes the share of the file that it has of the rows of all runs.
    """
    path = database_path(store.uri)
    if path is None:
        return {}
    n_rows: dict[str, int] = {}
    for table in TABLES:
        text = f"SELECT run_uuid, count(*) AS n FROM {table} GROUP BY run_uuid"
        for run_id, n in query(store, text).itertuples(index=False):
            n_rows[run_id] = n_rows.get(run_id, 0) + n
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        n_pages, n_free, page = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in PAGES  # two numbers of pages, and the bytes of each
        )
    per_row = (n_pages - n_free) * page / max(1, sum(n_rows.values()))
    return {run_id: round(n * per_row) for run_id, n in n_rows.items()}


def shrink(store: Store) -> Shrunk | None:
    """Give the space that was freed in a SQLite file back to the disk. None for other stores."""
    path = database_path(store.uri)
    if path is None:
        return None
    before, reason = _bytes_on_disk(path), ""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            if connection.execute("PRAGMA freelist_count").fetchone()[0]:
                connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:  # a full disk, or somebody writes; the rows are gone
        reason = one_line(error).partition(": ")[2]
    return Shrunk(before=before, after=_bytes_on_disk(path), reason=reason)


def _bytes_on_disk(path: Path) -> int:
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def artifact_bytes(run: InventoryRow) -> int:
    """How many bytes the artifacts of a run take on this machine."""
    folder = _folder(run)
    if folder is None:
        return 0
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _delete_artifacts(run: InventoryRow) -> list[str]:
    """Delete the artifacts of a run. Returns where they are, and why, if that failed."""
    if urlsplit(run.artifact_uri).scheme in ("", "file"):
        folder = _folder(run)
        if folder is None:
            return []
    elif not _is_own_place(run):
        return []
    try:
        artifacts = get_artifact_repository(run.artifact_uri)
        artifacts.delete_artifacts()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever an artifact store may raise; `mlflow gc` goes on as well
        return [f"{run.artifact_uri}: {one_line(error)}"]
    if urlsplit(run.artifact_uri).scheme in ("", "file"):
        with suppress(OSError):
            Path(unquote(urlsplit(run.artifact_uri).path)).parent.rmdir()
    return []


def _folder(run: InventoryRow) -> Path | None:
    """The folder of a run's artifacts on this machine; None where there is none of its own.

    An address that was edited, or a link, would lead to what is somebody else's.
    """
    parts = urlsplit(run.artifact_uri)
    if parts.scheme not in ("", "file") or not _is_own_place(run):
        return None
    path = Path(unquote(parts.path))
    linked = path.is_symlink() or path.parent.is_symlink()
    return path if path.is_dir() and not linked else None


def _is_own_place(run: InventoryRow) -> bool:
    """Whether artifacts lie where MLflow puts those of this run."""
    return urlsplit(run.artifact_uri).path.endswith(f"/{run.run_id}/artifacts")
