"""The file of a SQLite store, as it is found before MLflow opens it: a link to nowhere, another program's, damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path

from optsuite.errors import InputError, one_line

ELSEWHERE = "set MLFLOW_TRACKING_URI to another store"
# What a database says that no waiting mends: damage, or the tables of something else.
DAMAGED = (
    "malformed",
    "disk I/O error",
    "file is not a database",
    "file is encrypted",
    "no such table",
    "no such column",
    "has no column named",
    "UndefinedTable",
    "UndefinedColumn",
)
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
NEEDED = {
    "experiments",
    "runs",
    "tags",
    "params",
    "metrics",
    "latest_metrics",
    "alembic_version",
}  # all that we read


def require_place(path: Path) -> None:
    """Raise InputError where the path leads through a link to what is not there, such as a disk that is not mounted."""
    for part in (path, *path.parents):
        if part.is_symlink() and not part.exists():
            raise InputError(
                f"store: got {path}, but {part} is a link to {part.readlink()}, which is not there; "
                f"allowed: with the disk of it in place, or {ELSEWHERE}"
            )


def require_ours(path: Path) -> None:
    """Raise InputError unless the file, where there is one, holds what MLflow has made, and that can be read."""
    require_place(path)
    if not path.exists():
        return
    try:
        if path.stat().st_size == 0:
            raise _unusable(
                path,
                "it is empty, which no database is",
                f"remove it, restore a backup, or {ELSEWHERE}",
            )
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute(TABLES)}
    except (sqlite3.Error, OSError) as error:
        raise explained(path, error) from error
    if {"studies", "trials"} <= tables and "experiments" not in tables:
        raise _unusable(path, "it is a database of Optuna's", f"leave it as it is, and {ELSEWHERE}")
    missing = sorted(NEEDED - tables)
    if len(missing) == len(NEEDED):
        found = ", ".join(sorted(tables)[:3]) or "no table"
        raise _unusable(
            path, f"it is another program's ({found})", f"leave it as it is, and {ELSEWHERE}"
        )
    if missing:
        raise _unusable(
            path, f"it lacks the table {missing[0]}", f"restore a backup, or {ELSEWHERE}"
        )


def explained(path: Path, error: Exception) -> InputError:
    """What SQLite or the system says of the file, with what to do."""
    cause = one_line(error).partition(": ")[2]
    damaged = any(text in cause for text in DAMAGED)
    if damaged and "file is not a database" not in cause:
        cause = f"it is damaged ({cause})"
    return _unusable(
        path,
        cause,
        f"restore a backup, or {ELSEWHERE}"
        if damaged
        else f"a file that can be read, or {ELSEWHERE}",
    )


def _unusable(path: Path, cause: str, remedy: str) -> InputError:
    return InputError(
        f"store: got sqlite:///{path}, which cannot be opened: {cause}; allowed: {remedy}"
    )
