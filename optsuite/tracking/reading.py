"""Reading a campaign back: runs, one row each, and their curves; from the database where there is one, else from a server."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import sqlalchemy
from mlflow.entities import Run as MlflowRun

from optsuite.tracking.store import SUPERSEDED, Store

TAGS = ("kind", "arm", "benchmark", "optimizer", "campaign", "suite", "night", "outcome", "fingerprint", "error")
TEXT_PARAMS = (
    "target",
    "device",
    "machine",
    "engine",
    "includes",
    "optsuite_version",
    "torch_version",
    "mlflow_version",
    "optuna_version",
)
PARAMS = ("lr", "eval_every", "max_steps", "n_trials", "n_tuning_seeds", "n_seeds", "tolerance", "lr_low", "lr_high")
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
TEXT = ("run_id", "experiment_id", "parent", "status", "commit", *TEXT_PARAMS, *TAGS)
FLAGS = ("superseded", "at_edge")
NUMBERS = ("seed", *PARAMS, "started", "seconds", *SUMMARIES)
COLUMNS = (*TEXT, *FLAGS, *NUMBERS)
CURVES = ("run_id", "curve", "step", "value")

OTHER_TAGS = {
    "mlflow.source.git.commit": "commit",
    "optsuite.seed": "seed",
    "mlflow.parentRunId": "parent",
    SUPERSEDED: "superseded",
}
TAG_NAMES = {f"optsuite.{tag}": tag for tag in TAGS} | OTHER_TAGS
PARAM_NAMES = (*PARAMS, *TEXT_PARAMS, "at_edge")

# The runs of a campaign in MLflow's own schema, less what has been deleted.
OF_CAMPAIGN = """
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags AS campaign ON campaign.run_uuid = runs.run_uuid
        AND campaign.key = 'optsuite.campaign' AND campaign.value = :campaign
    {join}
    WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
"""
NUMBER = "CASE WHEN {0}.is_nan THEN NULL ELSE {0}.value END AS value"  # MLflow stores nan as 0 with a mark


def read_runs(store: Store, campaign: str, *, everything: bool = False) -> pd.DataFrame:
    """The runs of a campaign with COLUMNS, sorted by what they are; with `everything`, unfinished and superseded ones too.

    Text columns hold None where a run has no such tag, numbers nan. `started` is in Unix seconds, `seconds` is the run's
    wall-clock time.
    """
    rows = _rows_of_database(store.uri, campaign) if store.is_database else _rows_of_server(store, campaign)
    frame = rows.reindex(columns=list(COLUMNS))
    frame["superseded"] = frame["superseded"].notna()
    frame["at_edge"] = frame["at_edge"] == "True"
    frame = frame.astype(dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(TEXT, "object"))
    text = list(TEXT)
    frame[text] = frame[text].where(frame[text].notna(), None)
    frame = frame[frame["kind"] != "report"]
    if not everything:
        frame = frame[(frame["status"] != "RUNNING") & (frame["status"] != "KILLED") & ~frame["superseded"]]
    return frame.sort_values(["benchmark", "optimizer", "kind", "arm", "lr", "seed", "run_id"], ignore_index=True)


def read_curves(store: Store, campaign: str, names: Iterable[str], *, arm: str = "tuned") -> pd.DataFrame:
    """The named curves of a campaign's evaluations in one arm, with columns CURVES, sorted by run, curve and step."""
    names = list(names)
    if store.is_database:
        join = """JOIN metrics ON metrics.run_uuid = runs.run_uuid AND metrics.key IN :names
                  JOIN tags AS arm ON arm.run_uuid = runs.run_uuid AND arm.key = 'optsuite.arm' AND arm.value = :arm"""
        columns = f"metrics.run_uuid AS run_id, metrics.key AS curve, metrics.step, {NUMBER.format('metrics')}"
        frame = _query(store.uri, f"SELECT {columns} {OF_CAMPAIGN.format(join=join)}", campaign=campaign, names=names, arm=arm)
    else:
        runs = store.search(f"tags.`optsuite.campaign` = '{campaign}' AND tags.`optsuite.arm` = '{arm}'")
        rows = [
            (run.info.run_id, name, step, value)
            for run in runs
            for name, curve in store.curves(run.info.run_id, names).items()
            for step, value in curve.items()
        ]
        frame = pd.DataFrame(rows, columns=list(CURVES))
    frame = frame.astype({"run_id": "object", "curve": "object", "step": "int64", "value": "float64"})
    return frame.sort_values(["run_id", "curve", "step"], ignore_index=True)


def _rows_of_database(uri: str, campaign: str) -> pd.DataFrame:
    """By SQL: MLflow's search takes a millisecond a run."""
    columns = "runs.run_uuid AS run_id, runs.experiment_id, runs.status, runs.start_time, runs.end_time"
    rows = _query(uri, f"SELECT {columns} {OF_CAMPAIGN.format(join='')}", campaign=campaign).set_index("run_id")
    rows["experiment_id"] = rows["experiment_id"].astype(str)
    rows["started"] = rows["start_time"].astype("float64") / 1e3
    rows["seconds"] = (rows["end_time"].astype("float64") - rows["start_time"].astype("float64")) / 1e3
    parts = [rows]
    for table, names in (("tags", list(TAG_NAMES)), ("params", list(PARAM_NAMES)), ("latest_metrics", list(SUMMARIES))):
        join = f"JOIN {table} AS item ON item.run_uuid = runs.run_uuid AND item.key IN :names"
        value = NUMBER.format("item") if table == "latest_metrics" else "item.value"
        query = f"SELECT item.run_uuid AS run_id, item.key, {value} {OF_CAMPAIGN.format(join=join)}"
        items = _query(uri, query, campaign=campaign, names=names)
        parts.append(items.pivot(index="run_id", columns="key", values="value").rename(columns=TAG_NAMES))
    return pd.concat(parts, axis="columns").reset_index(names="run_id")


def _query(uri: str, query: str, **values: Any) -> pd.DataFrame:
    """What a query finds; a list among the values is expanded."""
    lists: list[sqlalchemy.BindParameter[object]] = [
        sqlalchemy.bindparam(name, expanding=True) for name, value in values.items() if isinstance(value, list)
    ]
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return pd.read_sql(sqlalchemy.text(query).bindparams(*lists), connection, params=values)


def _rows_of_server(store: Store, campaign: str) -> pd.DataFrame:
    return pd.DataFrame([_row(run) for run in store.search(f"tags.`optsuite.campaign` = '{campaign}'")])


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
