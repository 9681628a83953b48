"""The rows of a campaign as the store has them, from a database or from a server."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

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

CHUNK = 5_000  # runs read at once, to bound the memory for what is not yet one row per run
LAST = "z"  # sorts after all ids, which are hexadecimal
OF_ROWS = "runs.run_uuid AS run_id, runs.experiment_id, runs.status, runs.start_time, runs.end_time"
ITEMS = (("tags", TAG_NAMES), ("params", PARAM_NAMES), ("latest_metrics", SUMMARIES))


def chunks(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    """The rows of a campaign, some at a time, with texts as the store has them.

    The columns are COLUMNS, the metrics of the benchmarks, OF_SEALS, and POINTS, which a server
    does not count.
    """
    read = _chunks_of_database if store.is_database else _chunks_of_server
    for chunk in read(store, campaign):
        names = [*COLUMNS, *metric_columns(chunk.columns), *OF_SEALS, *POINTS]
        yield chunk.reindex(columns=names)


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the dtypes of the columns."""
    metrics = metric_columns(rows.columns)
    frame = rows.reindex(columns=[*COLUMNS, *metrics])
    frame["refuted"] = frame["superseded"] == REFUTED
    frame["superseded"] = frame["superseded"].notna()
    frame["at_edge"] = frame["at_edge"] == "True"
    columns: dict[str, pd.Series[Any]] = {}
    for name in TEXT:
        texts = [_shared(text) for text in frame[name]]
        if name == "arm":
            texts = [MANUAL_ARMS[0] if text in MANUAL_ARMS else text for text in texts]
        columns[name] = pd.Series(texts, index=frame.index, dtype="object")
    for name in (*NUMBERS, *metrics):
        columns[name] = _numbers(frame[name])
    of_study = columns["n_seeds"].notna()
    for name in ("n_confirmation_seeds", "max_seeds"):  # studies of before 0.4 had none
        columns[name] = columns[name].fillna(0.0).where(of_study)
    columns["n_evaluated"] = columns["n_evaluated"].fillna(columns["n_seeds"])
    return frame.assign(**columns)


def _shared(text: object) -> str | None:
    """The text without control characters; equal ones are one object, because most are repeated."""
    return sys.intern(printable(text)) if isinstance(text, str) else None


def _numbers(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return pd.to_numeric(column, errors="coerce").astype("float64")


def _chunks_of_database(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    text = f"SELECT runs.run_uuid {OF_CAMPAIGN.format(join='')} ORDER BY runs.run_uuid"
    ids = query(store, text, campaign=campaign, first="", last=LAST)["run_uuid"]
    for i in range(0, len(ids), CHUNK):
        own = ids[i : i + CHUNK]
        yield _rows_of_database(store, campaign=campaign, first=own.iloc[0], last=own.iloc[-1])


def _rows_of_database(store: Store, **where: str) -> pd.DataFrame:
    of_campaign = OF_CAMPAIGN.format(join="")
    rows = query(store, f"SELECT {OF_ROWS} {of_campaign}", **where).set_index("run_id")
    rows["experiment_id"] = rows["experiment_id"].astype(str)
    start, end = _numbers(rows["start_time"]), _numbers(rows["end_time"])
    rows["started"] = start / 1e3
    rows["seconds"] = (end - start) / 1e3
    counted = COUNTED.format(of_campaign=OF_CAMPAIGN.format(join=OF_CURVES))
    points = query(store, counted, **where).set_index("run_id")
    parts = [rows, points.reindex(rows.index).fillna(0)]
    for table, names in ITEMS:
        parts.append(_items_of_database(store, table, names, **where))
    return pd.concat(parts, axis="columns").reset_index(names="run_id")


def _items_of_database(
    store: Store, table: str, names: Iterable[str], **where: str
) -> pd.DataFrame:
    """A row per run, with a column for each tag, param or metric of these names."""
    wanted, value = "item.key IN :names", "item.value"
    if table == "latest_metrics":
        wanted = f"({wanted} OR item.key LIKE '{METRICS}%')"
        value = NUMBER.format("item")
    join = f"JOIN {table} AS item ON item.run_uuid = runs.run_uuid AND {wanted}"
    text = f"SELECT item.run_uuid AS run_id, item.key, {value} {OF_CAMPAIGN.format(join=join)}"
    items = query(store, text, names=list(names), **where)
    return items.pivot(index="run_id", columns="key", values="value").rename(columns=TAG_NAMES)


def _chunks_of_server(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    for page in store.pages(having(campaign=campaign)):
        yield pd.DataFrame([_row(run) for run in page])


def _row(run: MlflowRun) -> dict[str, object]:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    start, end = run.info.start_time, run.info.end_time
    row: dict[str, object] = {column: tags.get(tag) for tag, column in TAG_NAMES.items()}
    row |= {name: params.get(name) for name in PARAM_NAMES}
    row |= {name: metrics.get(name) for name in (*SUMMARIES, *metric_columns(metrics))}
    return row | {
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "status": run.info.status,
        "started": start / 1e3,
        "seconds": None if end is None else (end - start) / 1e3,
    }
