"""Reading a campaign back: runs, one row each, and their curves; from the database where there is one, else from a server."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
import sqlalchemy
from mlflow.entities import Run as MlflowRun

from optsuite.tracking.histories import histories
from optsuite.tracking.location import CAMPAIGNS
from optsuite.tracking.store import COMPARED, REFUSAL, REFUTED, REUSE, REUSED_ON, SUPERSEDED, Store

TAGS = ("kind", "arm", "benchmark", "optimizer", "campaign", "suite", "night", "outcome", "fingerprint", "error")
TEXT_PARAMS = (
    "target",
    "device",
    "machine",
    "machine_class",
    "engine",
    "engine_reason",
    "includes",
    "optsuite_version",
    "torch_version",
    "mlflow_version",
    "optuna_version",
)
PARAMS = ("lr", "eval_every", "max_steps", "n_trials", "n_tuning_seeds", "n_seeds", "tolerance", "lr_low", "lr_high", "n_tied")
COSTS = ("usage/milliseconds_per_step", "usage/state_bytes_per_parameter")
RELATIVE_TIME = "usage/relative_step_time"
SUMMARIES = (
    "initial/validation_loss",
    "initial/test_loss",
    "score",
    "best/step",
    "best/test_loss",
    "best/test_accuracy",
    "final/train_loss",
    "steps_to_target",
    "early/train_loss",
    RELATIVE_TIME,
    *COSTS,
)
MARKS = {REUSE: "reuse", REUSED_ON: "reused_on", COMPARED: "compared", REFUSAL: "refusal"}
TEXT = ("run_id", "experiment_id", "parent", "status", "commit", *TEXT_PARAMS, *TAGS, *MARKS.values())
FLAGS = ("superseded", "refuted", "at_edge")
NUMBERS = ("seed", *PARAMS, "started", "seconds", *SUMMARIES)
COLUMNS = (*TEXT, *FLAGS, *NUMBERS)
CURVES = ("run_id", "curve", "step", "value")

OTHER_TAGS = {
    "mlflow.source.git.commit": "commit",
    "optsuite.seed": "seed",
    "mlflow.parentRunId": "parent",
    SUPERSEDED: "superseded",
}
TAG_NAMES = {f"optsuite.{tag}": tag for tag in TAGS} | OTHER_TAGS | MARKS
PARAM_NAMES = (*PARAMS, *TEXT_PARAMS, "at_edge")

# The runs of a campaign in MLflow's own schema, less what has been deleted.
OF_CAMPAIGN = """
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags AS campaign ON campaign.run_uuid = runs.run_uuid
        AND campaign.key = 'optsuite.campaign' AND campaign.value = :campaign
    {join}
    WHERE runs.run_uuid BETWEEN :first AND :last
        AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
"""
NUMBER = "CASE WHEN {0}.is_nan THEN NULL ELSE {0}.value END AS value"  # MLflow stores nan as 0 with a mark
OF_RUNS = "FROM metrics WHERE run_uuid IN :ids AND key IN :names"
CHUNK = 5_000  # runs read at once: what they take until they are one row each is free again for the next
LAST = "z"  # behind all ids, which are hexadecimal


def read_runs(store: Store, campaign: str, *, everything: bool = False) -> pd.DataFrame:
    """The runs of a campaign with COLUMNS, sorted by what they are; with `everything`, unfinished and superseded ones too.

    Text columns hold None where a run has no such tag, numbers nan. `started` is in Unix seconds, `seconds` is the run's
    wall-clock time.
    """
    chunks = _chunks_of_database(store, campaign) if store.is_database else _chunks_of_server(store, campaign)
    frames = [_typed(chunk, everything=everything) for chunk in chunks]
    frame = pd.concat(frames) if frames else _typed(pd.DataFrame(), everything=everything)
    return frame.sort_values(["benchmark", "optimizer", "kind", "arm", "lr", "seed", "run_id"], ignore_index=True)


def read_campaigns(store: Store) -> list[str]:
    """The campaigns that hold runs: each has a study, or a run at a given rate."""
    if store.is_database:
        return list(_query(store, CAMPAIGNS)["value"])
    found = (run for one in ("kind` = 'study'", "arm` = 'given'") for run in store.search(f"tags.`optsuite.{one}"))
    return sorted({run.data.tags["optsuite.campaign"] for run in found})


def read_curves(store: Store, runs: Iterable[str], names: Iterable[str]) -> pd.DataFrame:
    """The named curves of runs, given by their ids, with columns CURVES, sorted by run, curve and step."""
    ids, names = sorted(set(runs)), list(names)
    if store.is_database:
        query = f"SELECT run_uuid AS run_id, key AS curve, step, {NUMBER.format('metrics')} {OF_RUNS}"
        frames = [_query(store, query, ids=ids[i : i + CHUNK], names=names) for i in range(0, len(ids), CHUNK)]
    else:
        frames = [pd.DataFrame(histories(store, ids, name), columns=list(CURVES)) for name in names]
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=list(CURVES))
    frame = frame.astype({"run_id": "object", "curve": "object", "step": "int64", "value": "float64"})
    return frame.sort_values(["run_id", "curve", "step"], ignore_index=True)


def _typed(rows: pd.DataFrame, *, everything: bool) -> pd.DataFrame:
    """The rows that are wanted, in the dtypes of the columns. Equal texts are one object: most are said over and over."""
    frame = rows.reindex(columns=list(COLUMNS))
    frame["refuted"] = frame["superseded"] == REFUTED
    frame["superseded"] = frame["superseded"].notna()
    frame["at_edge"] = frame["at_edge"] == "True"
    frame = frame[frame["kind"] != "report"]
    if not everything:
        frame = frame[~frame["status"].isin(["RUNNING", "KILLED"]) & ~frame["superseded"]]
    texts = {name: [sys.intern(text) if isinstance(text, str) else None for text in frame[name]] for name in TEXT}
    shared = {name: pd.Series(values, index=frame.index, dtype="object") for name, values in texts.items()}
    return frame.astype(dict.fromkeys(NUMBERS, "float64")).assign(**shared)


def _chunks_of_database(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    query = f"SELECT runs.run_uuid {OF_CAMPAIGN.format(join='')} ORDER BY runs.run_uuid"
    ids = _query(store, query, campaign=campaign, first="", last=LAST)["run_uuid"]
    for i in range(0, len(ids), CHUNK):
        own = ids[i : i + CHUNK]
        yield _rows_of_database(store, campaign=campaign, first=own.iloc[0], last=own.iloc[-1])


def _rows_of_database(store: Store, **where: str) -> pd.DataFrame:
    """By SQL: MLflow's search takes a millisecond a run."""
    columns = "runs.run_uuid AS run_id, runs.experiment_id, runs.status, runs.start_time, runs.end_time"
    rows = _query(store, f"SELECT {columns} {OF_CAMPAIGN.format(join='')}", **where).set_index("run_id")
    rows["experiment_id"] = rows["experiment_id"].astype(str)
    rows["started"] = rows["start_time"].astype("float64") / 1e3
    rows["seconds"] = (rows["end_time"].astype("float64") - rows["start_time"].astype("float64")) / 1e3
    parts = [rows]
    for table, names in (("tags", list(TAG_NAMES)), ("params", list(PARAM_NAMES)), ("latest_metrics", list(SUMMARIES))):
        join = f"JOIN {table} AS item ON item.run_uuid = runs.run_uuid AND item.key IN :names"
        value = NUMBER.format("item") if table == "latest_metrics" else "item.value"
        items = _query(
            store, f"SELECT item.run_uuid AS run_id, item.key, {value} {OF_CAMPAIGN.format(join=join)}", names=names, **where
        )
        parts.append(items.pivot(index="run_id", columns="key", values="value").rename(columns=TAG_NAMES))
    return pd.concat(parts, axis="columns").reset_index(names="run_id")


def _query(store: Store, text: str, **values: Any) -> pd.DataFrame:
    """The same, of a store that may have to be waited for."""
    return store.patience.call(ask, store.uri, text, **values)


def ask(uri: str, text: str, **values: Any) -> pd.DataFrame:
    """What a query finds in a database; a list among the values is expanded."""
    lists: list[sqlalchemy.BindParameter[object]] = [
        sqlalchemy.bindparam(name, expanding=True) for name, value in values.items() if isinstance(value, list)
    ]
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return pd.read_sql(sqlalchemy.text(text).bindparams(*lists), connection, params=values)


def _chunks_of_server(store: Store, campaign: str) -> Iterator[pd.DataFrame]:
    for page in store.pages(f"tags.`optsuite.campaign` = '{campaign}'"):
        yield pd.DataFrame([_row(run) for run in page])


def _row(run: MlflowRun) -> dict[str, object]:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    ended = run.info.end_time
    return (
        {column: tags.get(tag) for tag, column in TAG_NAMES.items()}
        | {name: params.get(name) for name in PARAM_NAMES}
        | {name: metrics.get(name) for name in SUMMARIES}
        | {
            "run_id": run.info.run_id,
            "experiment_id": run.info.experiment_id,
            "status": run.info.status,
            "started": run.info.start_time / 1e3,
            "seconds": None if ended is None else (ended - run.info.start_time) / 1e3,
        }
    )
