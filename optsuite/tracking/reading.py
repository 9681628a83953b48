"""Reading a campaign back: runs, one row each, and their curves; from the database where there is one, else from a server."""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy
from mlflow.entities import Run as MlflowRun

from optsuite.redact import printable
from optsuite.tracking.histories import histories
from optsuite.tracking.location import CAMPAIGNS
from optsuite.tracking.queries import COUNTED, DELETED, NUMBER, OF_CAMPAIGN, OF_CURVES, OF_RUNS
from optsuite.tracking.schema import COMPARED, REFUSAL, REFUTED, REUSE, REUSED_ON, SUPERSEDED
from optsuite.tracking.seal import SEAL, Points, broken, seal
from optsuite.tracking.soundness import Damaged, damaged, doubles, flaw, incomplete, outdated
from optsuite.tracking.store import Store

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
SEALED = sorted({*TAGS, "seed", *PARAMS, *TEXT_PARAMS, "at_edge", *SUMMARIES} - {RELATIVE_TIME, *COSTS})  # once for all
POINTS = ("n_points", "sum_of_steps", "sum_of_values", "sum_of_sizes")  # of all curves of a run; nan where nobody has counted
CURVES = ("run_id", "curve", "step", "value")

OTHER_TAGS = {
    "mlflow.source.git.commit": "commit",
    "optsuite.seed": "seed",
    "mlflow.parentRunId": "parent",
    SUPERSEDED: "superseded",
    SEAL: "seal",
}
TAG_NAMES = {f"optsuite.{tag}": tag for tag in TAGS} | OTHER_TAGS | MARKS
PARAM_NAMES = (*PARAMS, *TEXT_PARAMS, "at_edge")

CHUNK = 5_000  # runs read at once: what they take until they are one row each is free again for the next
LAST = "z"  # behind all ids, which are hexadecimal


def read_runs(store: Store, campaign: str, *, everything: bool = False) -> pd.DataFrame:
    """The runs of a campaign with COLUMNS, sorted by what they are; with `everything`, unfinished and superseded ones too.

    Text columns hold None where a run has no such tag, numbers nan. `started` is in Unix seconds, `seconds` is the run's
    wall-clock time. A row that cannot be believed is left out, and named in the log.
    """
    rows = read_rows(store, campaign)
    left_out = [one for one in rows.damaged if everything or not one.superseded]
    frame = rows.sound
    if not everything:
        frame = frame[~frame["status"].isin(["RUNNING", "SCHEDULED", "KILLED"]) & ~frame["superseded"]]
        records = frame.to_dict("records")
        old = list(outdated(records))
        left_out += [damaged(row, reason) for row, reason in old]
        frame = frame[~frame["run_id"].isin({row["run_id"] for row, _ in old})]
        lines = [*incomplete(records), *_in_the_trash(store, campaign)]
    else:
        lines = []
    store.say([f"Left out of campaign {campaign}: {one}" for one in left_out] + lines)
    return frame.reset_index(drop=True)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All rows of a campaign: the sound ones with COLUMNS, unfinished and superseded ones among them, and the others."""

    sound: pd.DataFrame
    damaged: tuple[Damaged, ...]


def read_rows(store: Store, campaign: str) -> Rows:
    """The rows of a campaign as the store holds them, those apart that cannot be believed."""
    chunks = _chunks_of_database(store, campaign) if store.is_database else _chunks_of_server(store, campaign)
    frames, found = [_typed(pd.DataFrame(columns=[*COLUMNS, "seal"]))], list[Damaged]()
    for chunk in chunks:
        raw = chunk.reindex(columns=[*COLUMNS, "seal", *POINTS])
        raw = raw[raw["kind"] != "report"]
        reasons = {str(row["run_id"]): (row, _flaw(row)) for row in raw.to_dict("records")}
        found += [damaged(row, reason) for row, reason in reasons.values() if reason]
        frames.append(_typed(raw[[not reasons[run_id][1] for run_id in raw["run_id"]]]))
    frame = pd.concat(frames)
    usable = frame[~frame["refuted"].astype(bool)]  # refuted runs have been trained again
    twice = list(doubles(usable.to_dict("records")))
    found += [damaged({**row, "superseded": "true" if row["superseded"] else None}, reason) for row, reason in twice]
    frame = frame[~frame["run_id"].isin({row["run_id"] for row, _ in twice})]
    order = ["benchmark", "optimizer", "kind", "arm", "lr", "seed", "run_id"]
    return Rows(sound=frame.sort_values(order, ignore_index=True), damaged=tuple(found))


def seal_of(tags: Mapping[str, object], params: Mapping[str, object], summary: Mapping[str, float], points: Points) -> str:
    """The seal of a run from all that the store is told of it."""
    named = {TAG_NAMES[tag]: value for tag, value in tags.items() if tag in TAG_NAMES} | dict(params) | dict(summary)
    return seal({name: None if name not in named else str(named[name]) for name in SEALED}, points)


def _flaw(row: Mapping[Any, Any]) -> str:
    """What is wrong with a row as the store has it, empty where nothing is."""
    if row["superseded"] == REFUTED:
        return ""  # nothing of it is used
    reason = flaw(row, NUMBERS)
    if reason or row["status"] not in ("FINISHED", "FAILED") or not isinstance(row["seal"], str):
        return reason
    points = None
    if not math.isnan(row["n_points"]):
        n, steps = int(row["n_points"]), int(row["sum_of_steps"])
        points = Points(n=n, steps=steps, total=row["sum_of_values"], size=row["sum_of_sizes"])
    return broken(row["seal"], {name: row[name] for name in SEALED}, points)


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
    frame = frame.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in ("step", "value")})
    frame = frame[frame["step"].notna()]  # a step that is no number has no place
    frame = frame.astype({"run_id": "object", "curve": "object", "step": "int64", "value": "float64"})
    return frame.sort_values(["run_id", "curve", "step"], ignore_index=True)


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the dtypes of the columns. Equal texts are one object: most are said over and over."""
    frame = rows.reindex(columns=list(COLUMNS))
    frame["refuted"] = frame["superseded"] == REFUTED
    frame["superseded"] = frame["superseded"].notna()
    frame["at_edge"] = frame["at_edge"] == "True"
    texts = {name: [sys.intern(printable(text)) if isinstance(text, str) else None for text in frame[name]] for name in TEXT}
    shared = {name: pd.Series(values, index=frame.index, dtype="object") for name, values in texts.items()}
    numbers = {name: pd.to_numeric(frame[name], errors="coerce").astype("float64") for name in NUMBERS}
    return frame.assign(**shared, **numbers)


def _in_the_trash(store: Store, campaign: str) -> list[str]:
    """Which experiments with runs of the campaign have been deleted, in a line each."""
    if not store.is_database:
        return []
    names = _query(store, DELETED, campaign=campaign)["name"]
    return [
        f"The experiment {printable(str(n))!r} is in MLflow's trash, and its runs with it; a run brings them back"
        for n in names
    ]


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
    start, end = (pd.to_numeric(rows[name], errors="coerce").astype("float64") for name in ("start_time", "end_time"))
    rows["started"], rows["seconds"] = start / 1e3, (end - start) / 1e3
    points = _query(store, COUNTED.format(of_campaign=OF_CAMPAIGN.format(join=OF_CURVES)), **where).set_index("run_id")
    parts = [rows, points.reindex(rows.index).fillna(0)]
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
