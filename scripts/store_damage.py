"""Ways to damage a store: edits of its database, files and outbox, as functions of a folder."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

CAMPAIGN = "c"
Apply = Callable[[Path], None]


def sql(*queries: str) -> Apply:
    """An edit of the database."""

    def apply(folder: Path) -> None:
        with contextlib.closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
            connection.execute("PRAGMA ignore_check_constraints = 1")
            for query in queries:
                connection.execute(query)
            connection.commit()

    return apply


def one(kind: str, arm: str | None = None) -> str:
    """A query for one run of a kind and arm of sgd, of the lowest seed: always the same."""
    tags = {"kind": kind, "optimizer": "sgd"}
    if arm:
        tags["arm"] = arm
    conditions = []
    for key, value in tags.items():
        has_value = f"t.key = 'optsuite.{key}' AND t.value = '{value}'"
        same_run = "t.run_uuid = runs.run_uuid"
        conditions.append(f"EXISTS (SELECT 1 FROM tags t WHERE {same_run} AND {has_value})")
    where = " AND ".join(conditions)
    seed = "(SELECT CAST(value AS INTEGER) FROM tags s WHERE s.key = 'optsuite.seed' AND s.run_uuid"
    order = f"{seed} = runs.run_uuid), start_time, run_uuid"
    return f"(SELECT run_uuid FROM runs WHERE {where} ORDER BY {order} LIMIT 1)"


STUDY = one("study")
TRIAL = one("trial")
CONFIRMATION = one("confirmation")
TUNED = one("evaluation", "tuned")
DEFAULT = one("evaluation", "default")


# What the outbox holds of a run, without its times.
RECORD: dict[str, object] = {
    "benchmark": "line",
    "name": "x",
    "tags": {},
    "params": {},
    "measurements": [],
    "summary": {},
    "status": "FINISHED",
}


def tag(run: str, key: str, value: str | None) -> Apply:
    """Edit a tag of a run, or remove it."""
    where = f"WHERE run_uuid = {run} AND key = '{key}'"
    if value is None:
        return sql(f"DELETE FROM tags {where}")
    return sql(f"UPDATE tags SET value = '{value}' {where}")


def param(run: str, key: str, value: str | None) -> Apply:
    """Edit a param of a run, or remove it."""
    where = f"WHERE run_uuid = {run} AND key = '{key}'"
    if value is None:
        return sql(f"DELETE FROM params {where}")
    return sql(f"UPDATE params SET value = '{value}' {where}")


def metric(run: str, key: str, value: str | None, *, is_nan: int = 0) -> Apply:
    """Edit a summary of a run, or remove it."""
    where = f"WHERE run_uuid = {run} AND key = '{key}'"
    if value is None:
        return sql(f"DELETE FROM latest_metrics {where}", f"DELETE FROM metrics {where}")
    change = f"SET value = {value}, is_nan = {is_nan} {where}"
    return sql(f"UPDATE latest_metrics {change}", f"UPDATE metrics {change}")


def copied(run: str, *, score: str = "value", fingerprint: str = "value") -> Apply:
    """A second row of a run, with a different score or fingerprint if given."""
    new = "'f' || substr(run_uuid, 2)"
    own = "run_uuid = (SELECT id FROM one)"
    tag_value = f"CASE WHEN key = 'optsuite.fingerprint' THEN {fingerprint} ELSE value END"
    steps = [
        f"CREATE TEMP TABLE one AS SELECT run_uuid AS id FROM runs WHERE run_uuid = {run}",
        f"CREATE TEMP TABLE row AS SELECT * FROM runs WHERE {own}",
        f"UPDATE row SET run_uuid = {new}",
        "INSERT INTO runs SELECT * FROM row",
    ]
    for table, value in {"tags": tag_value, "params": "value"}.items():
        rows = f"SELECT key, {value}, {new} FROM {table} WHERE {own}"
        steps.append(f"INSERT INTO {table} (key, value, run_uuid) {rows}")
    for table in ("latest_metrics", "metrics"):
        steps += [
            f"CREATE TEMP TABLE {table}_row AS SELECT * FROM {table} WHERE {own}",
            f"UPDATE {table}_row SET run_uuid = {new}, "
            f"value = CASE WHEN key = 'score' THEN {score} ELSE value END",
            f"INSERT INTO {table} SELECT * FROM {table}_row",
        ]
    return sql(*steps)


def waiting(name: str, content: bytes) -> Apply:
    """A file in the outbox."""

    def apply(folder: Path) -> None:
        path = folder / "mlruns" / "outbox" / "mlflow.db" / CAMPAIGN
        path.mkdir(parents=True)
        (path / name).write_bytes(content)

    return apply


def kept_otherwise(make: Callable[[Path], object]) -> Apply:
    """Something in the outbox that is not a file."""

    def apply(folder: Path) -> None:
        path = folder / "mlruns" / "outbox" / "mlflow.db" / CAMPAIGN
        path.mkdir(parents=True)
        make(path / "odd.json")

    return apply


def huge(path: Path) -> None:
    """A sparse file of a gigabyte, which takes no space on disk."""
    with path.open("wb") as file:
        file.truncate(2**30)


def in_mlruns(change: Callable[[Path], object]) -> Apply:
    """An edit of the content of mlruns."""

    def apply(folder: Path) -> None:
        change(folder / "mlruns")

    return apply


def without(path: Path) -> Path:
    """The path, after deleting its file."""
    path.unlink()
    return path


def reshaped(path: Path, start: int, content: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)
