"""Removing runs from a store for good: their rows, their artifacts, and their disk space.

On a server, runs can only be moved to MLflow's trash; its owner decides when to empty it.
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
CHUNK = 500  # ids per statement: SQLite before 3.32 takes at most 999 variables
BUSY_SECONDS = 20.0  # MLflow's own sessions wait as long for another writer


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """The bytes of a SQLite file before and after compaction, and why that failed, if it did."""

    before: int
    after: int
    reason: str = ""


def purge(
    store: Store,
    runs: Iterable[InventoryRow],
    check: Callable[[], None] = lambda: None,
) -> list[str]:
    """Remove runs for good; on a server, move them to MLflow's trash.

    `check` is called before each run and may raise. Returns a line for each run whose artifacts
    could not be deleted: their address and the reason.
    """
    left: list[str] = []
    for run in runs:
        check()
        if not store.is_database:
            store.delete(run.run_id)
            continue
        left += _delete_artifacts(run)
        delete = _backend(store)._hard_delete_run  # what `mlflow gc` calls
        with suppress(MlflowException):  # another process has removed it
            store.retry.call(delete, run.run_id)
    return left


def give_up(store: Store, runs: Sequence[InventoryRow]) -> None:
    """Take runs out of their campaign and into MLflow's trash, in one transaction.

    So a kill leaves either the whole campaign, or rows that only `inventory` reads.
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
    """MLflow's own store behind its client, obtained in the same way as by its command line."""
    return _get_store(store.uri)  # type: ignore[no-untyped-call]


def sizes(store: Store) -> dict[str, int]:
    """The approximate bytes of a SQLite file that each run takes, by id; empty for other stores.

    The used pages of the file are divided among the runs by their numbers of rows.
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
        n_pages = _pragma(connection, "page_count")
        n_free = _pragma(connection, "freelist_count")
        page_bytes = _pragma(connection, "page_size")
    per_row = (n_pages - n_free) * page_bytes / max(1, sum(n_rows.values()))
    return {run_id: round(n * per_row) for run_id, n in n_rows.items()}


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def shrink(store: Store) -> Shrunk | None:
    """Return the free pages of a SQLite file to the disk. None for other stores."""
    path = database_path(store.uri)
    if path is None:
        return None
    before = _bytes_on_disk(path)
    reason = ""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            if _pragma(connection, "freelist_count"):
                connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:  # a full disk, or another writer; the rows are gone all the same
        reason = one_line(error).partition(": ")[2]
    return Shrunk(before=before, after=_bytes_on_disk(path), reason=reason)


def _bytes_on_disk(path: Path) -> int:
    """The bytes of a SQLite file and of its write-ahead log."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def artifact_bytes(run: InventoryRow) -> int:
    """The bytes that the artifacts of a run take on this machine."""
    folder = _folder(run)
    if folder is None:
        return 0
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _delete_artifacts(run: InventoryRow) -> list[str]:
    """Delete the artifacts of a run. Returns their address and the reason if that failed."""
    is_local = urlsplit(run.artifact_uri).scheme in ("", "file")
    if is_local:
        if _folder(run) is None:
            return []
    elif not _is_own_place(run):
        return []
    try:
        artifacts = get_artifact_repository(run.artifact_uri)
        artifacts.delete_artifacts()  # type: ignore[no-untyped-call]
    except Exception as error:  # artifact stores may raise anything; `mlflow gc` continues too
        return [f"{run.artifact_uri}: {one_line(error)}"]
    if is_local:
        with suppress(OSError):
            Path(unquote(urlsplit(run.artifact_uri).path)).parent.rmdir()
    return []


def _folder(run: InventoryRow) -> Path | None:
    """The folder of a run's artifacts on this machine; None if the run has none of its own.

    An edited address or a link could lead to files that are not ours.
    """
    parts = urlsplit(run.artifact_uri)
    if parts.scheme not in ("", "file") or not _is_own_place(run):
        return None
    path = Path(unquote(parts.path))
    is_linked = path.is_symlink() or path.parent.is_symlink()
    if is_linked or not path.is_dir():
        return None
    return path


def _is_own_place(run: InventoryRow) -> bool:
    """Whether the address is the one that MLflow gives to the artifacts of this run."""
    return urlsplit(run.artifact_uri).path.endswith(f"/{run.run_id}/artifacts")
