"""The file of a SQLite store before MLflow opens it: a dangling link, a foreign or damaged file."""

import sqlite3
from contextlib import closing
from pathlib import Path

from optsuite.errors import InputError, one_line

ELSEWHERE = "set MLFLOW_TRACKING_URI to another store"
RESTORE = f"restore a backup, or {ELSEWHERE}"
LEAVE = f"leave it as it is, and {ELSEWHERE}"
# Errors of a database that waiting does not fix: damage, or the tables of another program.
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
NEEDED = {  # all tables that we read
    "experiments",
    "runs",
    "tags",
    "params",
    "metrics",
    "latest_metrics",
    "alembic_version",
}


def require_place(path: Path) -> None:
    """Raise InputError if the path contains a dangling link, such as to a disk not mounted."""
    for part in (path, *path.parents):
        if part.is_symlink() and not part.exists():
            raise InputError(
                f"store: cannot open {path}: {part} is a link to {part.readlink()}, "
                f"which does not exist; mount its disk, or {ELSEWHERE}"
            )


def require_ours(path: Path) -> None:
    """Raise InputError if the file exists but is not a readable database made by MLflow."""
    require_place(path)
    if not path.exists():
        return
    try:
        if path.stat().st_size == 0:
            raise _unusable(path, "it is empty", f"remove it, {RESTORE}")
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute(TABLES)}
    except (sqlite3.Error, OSError) as error:
        raise explained(path, error) from error
    if {"studies", "trials"} <= tables and "experiments" not in tables:
        raise _unusable(path, "it is an Optuna database", LEAVE)
    missing = sorted(NEEDED - tables)
    if len(missing) == len(NEEDED):
        found = ", ".join(sorted(tables)[:3]) or "no table"
        raise _unusable(path, f"it belongs to another program ({found})", LEAVE)
    if missing:
        raise _unusable(path, f"it lacks the table {missing[0]}", RESTORE)


def explained(path: Path, error: Exception) -> InputError:
    """The error of SQLite or of the system about the file, with what to do."""
    cause = one_line(error).partition(": ")[2]
    if not any(text in cause for text in DAMAGED):
        return _unusable(path, cause, f"make the file readable, or {ELSEWHERE}")
    if "file is not a database" not in cause:
        cause = f"it is damaged ({cause})"
    return _unusable(path, cause, RESTORE)


def _unusable(path: Path, cause: str, remedy: str) -> InputError:
    return InputError(f"store: cannot open sqlite:///{path}: {cause}; {remedy}")
