"""The rows of a campaign as the store has them: from the database where there is one, else from a server."""

import sys
from collections.abc import Iterator

import pandas as pd
from mlflow.entities import Run as MlflowRun

from optsuite.redact import printable
from optsuite.tracking.schema import (
    COLUMNS,
    MANUAL_ARMS,
    METRICS,
    NUMBERS,
    OF_SEALS,
    PARAM_NAMES,
    POINTS,
    REFUTED,
    SUMMARIES,
    TAG_NAMES,
    TEXT,
    having,
    metric_columns,
)
from optsuite.tracking.sql import COUNTED, NUMBER, OF_CAMPAIGN, OF_CURVES, query
from optsuite.tracking.store import Store

CHUNK = 5_000  # runs read at once: what they take until they are one row each is free again for the next
LAST = "z"  # behind all ids, which are hexadecimal


def chunks(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    """The rows of a campaign, some at a time: texts as the store has them, and POINTS where it can count them.

    Each has COLUMNS, its benchmark's metrics, and OF_SEALS.
    """
    read = _chunks_of_database if store.is_database else _chunks_of_server
    for chunk in read(store, campaign):
        names = [*COLUMNS, *metric_columns(chunk.columns), *OF_SEALS, *POINTS]
        yield chunk.reindex(columns=names)


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the dtypes of the columns. Equal texts are one object: most are said over and over."""
    metrics = metric_columns(rows.columns)
    frame = rows.reindex(columns=[*COLUMNS, *metrics])
    frame["refuted"] = frame["superseded"] == REFUTED
    frame["superseded"] = frame["superseded"].notna()
    frame["at_edge"] = frame["at_edge"] == "True"
    texts = {
        name: [
            sys.intern(printable(text)) if isinstance(text, str) else None for text in frame[name]
        ]
        for name in TEXT
    }
    texts["arm"] = [MANUAL_ARMS[0] if arm in MANUAL_ARMS else arm for arm in texts["arm"]]
    shared = {
        name: pd.Series(values, index=frame.index, dtype="object") for name, values in texts.items()
    }
    numbers = {
        name: pd.to_numeric(frame[name], errors="coerce").astype("float64")
        for name in (*NUMBERS, *metrics)
    }
    return frame.assign(**shared, **numbers)


def _chunks_of_database(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    text = f"SELECT runs.run_uuid {OF_CAMPAIGN.format(join='')} ORDER BY runs.run_uuid"
    ids = query(store, text, campaign=campaign, first="", last=LAST)["run_uuid"]
    for i in range(0, len(ids), CHUNK):
        own = ids[i : i + CHUNK]
        yield _rows_of_database(store, campaign=campaign, first=own.iloc[0], last=own.iloc[-1])


def _rows_of_database(store: Store, **where: str) -> pd.DataFrame:
    """By SQL: MLflow's search takes a millisecond a run."""
    columns = (
        "runs.run_uuid AS run_id, runs.experiment_id, runs.status, runs.start_time, runs.end_time"
    )
    rows = query(store, f"SELECT {columns} {OF_CAMPAIGN.format(join='')}", **where).set_index(
        "run_id"
    )
    rows["experiment_id"] = rows["experiment_id"].astype(str)
    start, end = (
        pd.to_numeric(rows[name], errors="coerce").astype("float64")
        for name in ("start_time", "end_time")
    )
    rows["started"], rows["seconds"] = start / 1e3, (end - start) / 1e3
    points = query(
        store, COUNTED.format(of_campaign=OF_CAMPAIGN.format(join=OF_CURVES)), **where
    ).set_index("run_id")
    parts = [rows, points.reindex(rows.index).fillna(0)]
    for table, names in (
        ("tags", list(TAG_NAMES)),
        ("params", list(PARAM_NAMES)),
        ("latest_metrics", list(SUMMARIES)),
    ):
        wanted, value = "item.key IN :names", "item.value"
        if table == "latest_metrics":
            wanted = f"({wanted} OR item.key LIKE '{METRICS}%')"
            value = NUMBER.format("item")
        join = f"JOIN {table} AS item ON item.run_uuid = runs.run_uuid AND {wanted}"
        items = query(
            store,
            f"SELECT item.run_uuid AS run_id, item.key, {value} {OF_CAMPAIGN.format(join=join)}",
            names=names,
            **where,
        )
        parts.append(
            items.pivot(index="run_id", columns="key", values="value").rename(columns=TAG_NAMES)
        )
    return pd.concat(parts, axis="columns").reset_index(names="run_id")


def _chunks_of_server(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    for page in store.pages(having(campaign=campaign)):
        yield pd.DataFrame([_row(run) for run in page])


def _row(run: MlflowRun) -> dict[str, object]:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    ended = run.info.end_time
    return (
        {column: tags.get(tag) for tag, column in TAG_NAMES.items()}
        | {name: params.get(name) for name in PARAM_NAMES}
        | {name: metrics.get(name) for name in (*SUMMARIES, *metric_columns(metrics))}
        | {
            "run_id": run.info.run_id,
            "experiment_id": run.info.experiment_id,
            "status": run.info.status,
            "started": run.info.start_time / 1e3,
            "seconds": None if ended is None else (ended - run.info.start_time) / 1e3,
        }
    )
