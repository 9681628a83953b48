"""Reading a campaign back from a database or a server: its runs, one row each, and their curves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from optsuite.redact import printable
from optsuite.tracking.bulk_history import histories
from optsuite.tracking.consistency import doubles, incomplete, outdated
from optsuite.tracking.rows import CHUNK, chunks, typed
from optsuite.tracking.schema import (
    COLUMNS,
    CURVES,
    NUMBERS,
    REFUTED,
    UNFINISHED,
    metric_columns,
)
from optsuite.tracking.seal import flaw_of_seal, newer
from optsuite.tracking.soundness import Damaged, damaged, flaw
from optsuite.tracking.sql import DELETED, NUMBER, OF_RUNS, query
from optsuite.tracking.store import Store

ORDER = ["benchmark", "optimizer", "kind", "arm", "lr", "seed", "run_id"]


def read_runs(store: Store, campaign: str, *, everything: bool = False) -> pd.DataFrame:
    """The runs of a campaign with COLUMNS, sorted by ORDER.

    With `everything`, also unfinished and superseded ones. If a run lacks a value, text columns
    hold None and numbers nan. `started` is in Unix seconds, `seconds` is the run's wall-clock time.
    A damaged row is left out, and named in the log.
    """
    rows = read_rows(store, campaign)
    if everything:
        store.say(_left_out(campaign, rows.damaged))
        return rows.sound.reset_index(drop=True)
    counts = ~rows.sound["status"].isin(UNFINISHED) & ~rows.sound["superseded"]
    frame = rows.sound[counts]
    records = frame.to_dict("records")
    old = list(outdated(records))
    frame = _without(frame, [row for row, _ in old])
    left_out = [one for one in rows.damaged if not one.superseded]
    left_out += [damaged(row, reason) for row, reason in old]
    lines = [*incomplete(records), *_in_the_trash(store, campaign)]
    store.say(_left_out(campaign, left_out) + lines)
    return frame.reset_index(drop=True)


def _left_out(campaign: str, rows: Iterable[Damaged]) -> list[str]:
    return [f"Left out of campaign {campaign}: {row}" for row in rows]


def _without(frame: pd.DataFrame, rows: Iterable[Mapping[Any, Any]]) -> pd.DataFrame:
    """The frame without the runs of these rows."""
    run_ids = {row["run_id"] for row in rows}
    return frame[~frame["run_id"].isin(run_ids)]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All rows of a campaign: sound ones with COLUMNS, and damaged ones.

    Unfinished and superseded rows are included.
    """

    sound: pd.DataFrame
    damaged: tuple[Damaged, ...]


def read_rows(store: Store, campaign: str) -> Rows:
    """All rows of a campaign, the damaged ones separated; the sound ones are sorted by ORDER."""
    frames = [typed(pd.DataFrame(columns=list(COLUMNS)))]
    found: list[Damaged] = []
    for chunk in chunks(store, campaign):
        raw = chunk[chunk["kind"] != "report"]
        flawed: set[str] = set()
        for row in raw.to_dict("records"):
            reason = _flaw(row)
            if reason:
                flawed.add(row["run_id"])
                found.append(damaged(row, reason, newer=bool(newer(row))))
        frames.append(typed(raw[~raw["run_id"].isin(flawed)]))
    frame = pd.concat(frames)
    frame = frame[[*COLUMNS, *metric_columns(frame.columns)]]
    usable = frame[~frame["refuted"].astype(bool)]  # refuted runs have been trained again
    twice = list(doubles(usable.to_dict("records")))
    for double, reason in twice:
        mark = "true" if double["superseded"] else None  # as the store has it
        found.append(damaged({**double, "superseded": mark}, reason))
    frame = _without(frame, [double for double, _ in twice])
    return Rows(sound=frame.sort_values(ORDER, ignore_index=True), damaged=tuple(found))


def _flaw(row: Mapping[Any, Any]) -> str:
    """What is wrong with a row of the store; empty if nothing is."""
    if row["superseded"] == REFUTED:
        return ""  # nothing of it is used
    return newer(row) or flaw(row, (*NUMBERS, *metric_columns(row))) or flaw_of_seal(row)


def read_curves(store: Store, runs: Iterable[str], names: Iterable[str]) -> pd.DataFrame:
    """The named curves of runs, given by their ids.

    The frame has the columns CURVES and is sorted by run, curve and step.
    """
    ids, names = sorted(set(runs)), list(names)
    frames: list[pd.DataFrame] = []
    if store.is_database:
        value = NUMBER.format("metrics")
        text = f"SELECT run_uuid AS run_id, key AS curve, step, {value} {OF_RUNS}"
        for i in range(0, len(ids), CHUNK):
            frames.append(query(store, text, ids=ids[i : i + CHUNK], names=names))
    else:
        for name in names:
            frames.append(pd.DataFrame(histories(store, ids, name), columns=list(CURVES)))
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=list(CURVES))
    for name in ("step", "value"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame = frame[frame["step"].notna()]  # a damaged step that is not a number
    types = {"run_id": "object", "curve": "object", "step": "int64", "value": "float64"}
    return frame.astype(types).sort_values(["run_id", "curve", "step"], ignore_index=True)


def _in_the_trash(store: Store, campaign: str) -> list[str]:
    """A line for each deleted experiment that has runs of the campaign."""
    if not store.is_database:
        return []
    lines: list[str] = []
    for name in query(store, DELETED, campaign=campaign)["name"]:
        experiment = f"Experiment {printable(str(name))!r} and its runs are in MLflow's trash"
        lines.append(f"{experiment}; 'optsuite run' restores them")
    return lines
