"""Inserting ended runs whole into MLflow's tables, many in one transaction.

MLflow's client takes 20 ms of CPU for a run, most of it for an object of every value. What is
inserted here reads back through the client equal to what the client writes.
"""

import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Set
from math import isnan
from typing import Any

import sqlalchemy
from mlflow.store.tracking.dbmodels.models import SqlRun
from mlflow.utils.uri import append_to_uri_path

from optsuite.tracking.record import Record
from optsuite.tracking.schema import RUN_NAME, USER

KNOWN_REVISION = "dc11669786a5"  # of the tables, of which this module knows each column
REVISION = sqlalchemy.text("SELECT version_num FROM alembic_version")
# Longer texts and other names are for the client to cut or to refuse.
LONGEST_TEXT, LONGEST_NAME = 5_000, 250
PLAIN_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")
LARGEST = sys.float_info.max  # for infinity, as MLflow stores it
Rows = list[dict[str, Any]]
EXPERIMENTS, RUNS, TAGS, PARAMS, METRICS, LATEST = (
    SqlRun.metadata.tables[name]
    for name in ("experiments", "runs", "tags", "params", "metrics", "latest_metrics")
)


def can_insert(record: Record) -> bool:
    """Whether the client would write every name and text of a run as it is."""
    names = {*record.tags, *record.params, *record.summary}
    for measurement in record.measurements:
        names.update(measurement.values)
    texts = [*record.tags.values(), *record.params.values()]
    return (
        all(len(name) <= LONGEST_NAME and PLAIN_NAME.fullmatch(name) for name in names)
        and all(len(text) <= LONGEST_TEXT for text in texts)
        and 0 < len(record.name) <= LONGEST_NAME
    )


def new_id() -> str:
    """An id for a run, of the form that MLflow gives them."""
    return uuid.uuid4().hex


class Tables:
    """MLflow's tables in a database."""

    def __init__(self, uri: str) -> None:
        # A connection of its own for each transaction outlives a restart of the database.
        self._engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)

    def are_known(self) -> bool:
        """Whether they are those that this module knows."""
        with self._engine.connect() as connection:
            return list(connection.scalars(REVISION)) == [KNOWN_REVISION]

    def insert(self, records: Mapping[str, Record], experiments: Mapping[str, str]) -> bool:
        """Insert runs, given by id, into experiments, given by benchmark: all, or none at an error.

        Returns whether that was possible: no run can be added to a deleted experiment. Those that
        are there already are left as they are, so that a call can be repeated.
        """
        with self._engine.begin() as connection:
            locations = _locations(connection, {int(found) for found in experiments.values()})
            if not all(int(found) in locations for found in experiments.values()):
                return False
            there = sqlalchemy.select(RUNS.c.run_uuid).where(RUNS.c.run_uuid.in_(list(records)))
            new = dict(records)
            for run_id in connection.scalars(there):
                del new[run_id]
            runs, points = [], []
            for run_id, record in new.items():
                experiment = int(experiments[record.benchmark])
                runs.append(_run(run_id, record, experiment, locations[experiment]))
                points += _points(run_id, record)
            _add(connection, RUNS, runs)
            _add(connection, TAGS, _texts({run_id: r.tags for run_id, r in new.items()}))
            _add(connection, PARAMS, _texts({run_id: r.params for run_id, r in new.items()}))
            _add(connection, METRICS, points)
            _add(connection, LATEST, _latest(points))
        return True


def _locations(connection: sqlalchemy.Connection, experiments: Set[int]) -> dict[int, str]:
    """Where those of the experiments that are not deleted keep their artifacts."""
    columns = EXPERIMENTS.c.experiment_id, EXPERIMENTS.c.artifact_location
    active = sqlalchemy.select(*columns).where(
        EXPERIMENTS.c.experiment_id.in_(experiments), EXPERIMENTS.c.lifecycle_stage == "active"
    )
    return {row.experiment_id: row.artifact_location for row in connection.execute(active)}


def _add(connection: sqlalchemy.Connection, table: sqlalchemy.Table, rows: Rows) -> None:
    if rows:
        connection.execute(sqlalchemy.insert(table), rows)


def _run(run_id: str, record: Record, experiment: int, location: str) -> dict[str, Any]:
    artifacts: str = append_to_uri_path(  # type: ignore[no-untyped-call]
        location, run_id, "artifacts"
    )
    return {
        "run_uuid": run_id,
        "name": record.tags[RUN_NAME],
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": record.tags.get(USER, "unknown"),
        "status": record.status,
        "start_time": _milliseconds(record.started),
        "end_time": _milliseconds(record.ended),
        "source_version": "",
        "lifecycle_stage": "active",
        "artifact_uri": artifacts,
        "experiment_id": experiment,
    }


def _texts(of_runs: Mapping[str, Mapping[str, str]]) -> Rows:
    """Rows of tags or params."""
    return [
        {"run_uuid": run_id, "key": key, "value": value}
        for run_id, texts in of_runs.items()
        for key, value in texts.items()
    ]


def _points(run_id: str, record: Record) -> Rows:
    """Rows of metrics, each once."""
    rows: dict[tuple[object, ...], dict[str, Any]] = {}
    for name, value, seconds, step in _values(record):
        is_nan = isnan(value)
        number = 0.0 if is_nan else min(max(float(value), -LARGEST), LARGEST)
        row = {
            "run_uuid": run_id,
            "key": name,
            "value": number,
            "timestamp": _milliseconds(seconds),
            "step": step,
            "is_nan": is_nan,
        }
        rows.setdefault(tuple(row.values()), row)
    return list(rows.values())


def _values(record: Record) -> Iterator[tuple[str, float, float, int]]:
    """Each value of a run with its name, time and step."""
    for measurement in record.measurements:
        for name, value in measurement.values.items():
            yield name, value, measurement.time, measurement.step
    for name, value in record.summary.items():
        yield name, value, record.ended, 0


def _latest(points: Rows) -> Rows:
    """Of each metric of a run the row of the last step, then of the latest time and value."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in points:
        key = row["run_uuid"], row["key"]
        known = latest.get(key)
        if known is None or _order(row) > _order(known):
            latest[key] = row
    return list(latest.values())


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["step"], row["timestamp"], row["value"]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1e3)
