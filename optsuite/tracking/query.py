"""Reading a campaign back: runs, one row each, and their curves; from the database where there is one, else from a server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from optsuite.redact import printable
from optsuite.tracking.bulk_history import histories
from optsuite.tracking.location import CAMPAIGNS
from optsuite.tracking.rows import CHUNK, chunks, typed
from optsuite.tracking.schema import (
    CAMPAIGN,
    COLUMNS,
    CURVES,
    MANUAL_ARMS,
    NUMBERS,
    REFUTED,
    having,
    metric_columns,
)
from optsuite.tracking.seal import flaw_of_seal, newer
from optsuite.tracking.soundness import Damaged, damaged, doubles, flaw, incomplete, outdated
from optsuite.tracking.sql import DELETED, NUMBER, OF_RUNS, query
from optsuite.tracking.store import Store


def read_runs(store: Store, campaign: str, *, everything: bool = False) -> pd.DataFrame:
    """The runs of a campaign with COLUMNS, sorted by what they are; with `everything`, unfinished and superseded ones too.

    Text columns hold None where a run has no such tag, numbers nan. `started` is in Unix seconds, `seconds` is the run's
    wall-clock time. A row that cannot be believed is left out, and named in the log.
    """
    rows = read_rows(store, campaign)
    left_out = [one for one in rows.damaged if everything or not one.superseded]
    frame = rows.sound
    if not everything:
        frame = frame[
            ~frame["status"].isin(["RUNNING", "SCHEDULED", "KILLED"]) & ~frame["superseded"]
        ]
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
    frames, found = [typed(pd.DataFrame(columns=list(COLUMNS)))], list[Damaged]()
    for chunk in chunks(store, campaign):
        raw = chunk[chunk["kind"] != "report"]
        reasons = {str(row["run_id"]): (row, _flaw(row)) for row in raw.to_dict("records")}
        for row, reason in reasons.values():
            if reason:
                found.append(damaged(row, reason, newer=bool(newer(row))))
        frames.append(typed(raw[[not reasons[run_id][1] for run_id in raw["run_id"]]]))
    frame = pd.concat(frames)
    frame = frame[[*COLUMNS, *metric_columns(frame.columns)]]
    usable = frame[~frame["refuted"].astype(bool)]  # refuted runs have been trained again
    twice = list(doubles(usable.to_dict("records")))
    found += [
        damaged({**row, "superseded": "true" if row["superseded"] else None}, reason)
        for row, reason in twice
    ]
    frame = frame[~frame["run_id"].isin({row["run_id"] for row, _ in twice})]
    order = ["benchmark", "optimizer", "kind", "arm", "lr", "seed", "run_id"]
    return Rows(sound=frame.sort_values(order, ignore_index=True), damaged=tuple(found))


def _flaw(row: Mapping[Any, Any]) -> str:
    """What is wrong with a row as the store has it, empty where nothing is."""
    if row["superseded"] == REFUTED:
        return ""  # nothing of it is used
    return newer(row) or flaw(row, (*NUMBERS, *metric_columns(row))) or flaw_of_seal(row)


def read_campaigns(store: Store) -> list[str]:
    """The campaigns that hold runs: each has a study, or a run at a given rate."""
    if store.is_database:
        return list(query(store, CAMPAIGNS)["value"])
    conditions = (having(kind="study"), *(having(arm=arm) for arm in MANUAL_ARMS))
    found = (run for condition in conditions for run in store.search(condition))
    return sorted({run.data.tags[CAMPAIGN] for run in found})


def read_curves(store: Store, runs: Iterable[str], names: Iterable[str]) -> pd.DataFrame:
    """The named curves of runs, given by their ids, with columns CURVES, sorted by run, curve and step."""
    ids, names = sorted(set(runs)), list(names)
    if store.is_database:
        text = (
            f"SELECT run_uuid AS run_id, key AS curve, step, {NUMBER.format('metrics')} {OF_RUNS}"
        )
        frames = [
            query(store, text, ids=ids[i : i + CHUNK], names=names)
            for i in range(0, len(ids), CHUNK)
        ]
    else:
        frames = [pd.DataFrame(histories(store, ids, name), columns=list(CURVES)) for name in names]
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=list(CURVES))
    frame = frame.assign(
        **{name: pd.to_numeric(frame[name], errors="coerce") for name in ("step", "value")}
    )
    frame = frame[frame["step"].notna()]  # a step that is no number has no place
    frame = frame.astype(
        {"run_id": "object", "curve": "object", "step": "int64", "value": "float64"}
    )
    return frame.sort_values(["run_id", "curve", "step"], ignore_index=True)


def _in_the_trash(store: Store, campaign: str) -> list[str]:
    """Which experiments with runs of the campaign have been deleted, in a line each."""
    if not store.is_database:
        return []
    names = query(store, DELETED, campaign=campaign)["name"]
    return [
        f"The experiment {printable(str(n))!r} is in MLflow's trash, and its runs with it; a run brings them back"
        for n in names
    ]
