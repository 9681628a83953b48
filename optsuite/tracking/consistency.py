"""Which rows of a campaign contradict each other: duplicates, replaced runs, incomplete studies.

In the rows, numbers are numbers and flags are flags, unlike in `soundness`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from optsuite.tracking.soundness import Row

SAME = ("benchmark", "optimizer", "kind", "arm", "lr", "seed")  # equal for the same run
RESULT = ("outcome", "score", "initial/validation_loss")


def doubles(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """The finished rows that duplicate another by fingerprint, each with a reason.

    If duplicates contradict each other, all of them.
    """
    children = Counter(row["parent"] for row in rows)
    by_fingerprint: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "FINISHED":
            by_fingerprint.setdefault(row["fingerprint"], []).append(row)
    for same in by_fingerprint.values():
        same.sort(key=lambda row: (row["superseded"], -children[row["run_id"]], row["run_id"]))
        first, *others = same
        results = {_result(row) for row in same}
        if len(results) > 1:
            yield first, _contradicts(others[0])
            for row in others:
                yield row, _contradicts(first)
        else:
            for row in others:
                yield row, f"it is a duplicate of run {first['run_id']}"


def _result(row: Row) -> tuple[str, ...]:
    """What is equal for duplicates, as text, because nan differs from itself."""
    return tuple(repr(row[name]) for name in (*SAME, *RESULT))


def _contradicts(other: Row) -> str:
    return f"it contradicts run {other['run_id']}, which has the same fingerprint"


def outdated(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """The rows that count although a later row is the same run under another definition."""
    latest: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: (row["started"], row["run_id"])):
        if row["status"] != "FINISHED" or row["superseded"] or row["kind"] == "study":
            continue
        key = tuple(row[name] for name in SAME)
        if key in latest:
            yield latest[key], f"run {row['run_id']} has replaced it"
        latest[key] = row


def incomplete(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each study that lacks runs, which are damaged or in MLflow's trash."""
    yield from _unfinished(rows)
    n_runs: dict[str, Counter[str]] = {}
    for row in rows:
        if row["kind"] != "study" and row["parent"]:
            n_runs.setdefault(row["parent"], Counter())[row["arm"] or row["kind"]] += 1
    for row in rows:
        if row["kind"] != "study" or row["status"] != "FINISHED" or math.isnan(row["n_seeds"]):
            continue
        found = n_runs.get(row["run_id"], Counter())
        wanted = {
            "tuned": row["n_evaluated"],
            "default": row["n_seeds"],
            "trial": row["n_trials"] * row["n_tuning_seeds"],
            "confirmation": row["n_confirmed"] * row["n_confirmation_seeds"],
        }
        for name, n in wanted.items():
            if n > found[name] and (name in ("tuned", "confirmation") or found[name]):
                of = f"{name}s" if name in ("trial", "confirmation") else f"{name} evaluations"
                has = f"{row['benchmark']} {row['optimizer']} has {found[name]} of {n:.0f} {of}"
                yield f"{has}; 'optsuite run' trains the missing ones"


def _unfinished(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each study that has evaluations, but no row."""
    studied = {(row["benchmark"], row["optimizer"]) for row in rows if row["kind"] == "study"}
    tuned = {(row["benchmark"], row["optimizer"]) for row in rows if row["arm"] == "tuned"}
    for benchmark, optimizer in sorted(tuned - studied):
        has = f"{benchmark} {optimizer} has evaluations of an unfinished study"
        yield f"{has}; 'optsuite run' completes it"
