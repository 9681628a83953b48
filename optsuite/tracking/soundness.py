"""Which rows of a campaign can be believed. One that cannot is left out and named, and trained again by the next start."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optsuite.errors import InputError, require_name
from optsuite.tracking.schema import MANUAL_ARMS
from optsuite.training.legacy_fingerprint import AnyFingerprint, names_run, read_fingerprint

Row = Mapping[Any, Any]
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
ENDED = ("FINISHED", "FAILED")
ARMS = {"trial": (None,), "evaluation": ("tuned", "default", *MANUAL_ARMS), "study": (None,)}
OUTCOMES = {"FINISHED": ("finished", "diverged"), "FAILED": ("failed",)}
SAME = ("benchmark", "optimizer", "kind", "arm", "lr", "seed")  # of two rows: they are the same run
RESULT = ("outcome", "score", "initial/validation_loss")


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A row that is not believed, and why.

    One that is not `ours` was written by another program, a `newer` one by a newer optsuite.
    """

    run_id: str
    what: str
    reason: str
    status: str
    superseded: bool = False
    ours: bool = True
    newer: bool = False

    def __str__(self) -> str:
        return f"run {self.run_id}{f' ({self.what})' if self.what else ''}: {self.reason}"


def damaged(row: Row, reason: str, *, newer: bool = False) -> Damaged:
    """What there is to say of a row that is not believed."""
    texts = [row[name] for name in ("benchmark", "optimizer") if isinstance(row[name], str)]
    seed = _number(row["seed"])
    texts += [f"seed {seed:.0f}"] if seed is not None and math.isfinite(seed) else []
    ours = any(
        isinstance(row[name], str) for name in ("kind", "benchmark", "optimizer", "fingerprint")
    )
    return Damaged(
        run_id=row["run_id"],
        what=" ".join(texts),
        reason=reason if ours else "optsuite has not written it",
        status=str(row["status"]),
        superseded=bool(isinstance(row["superseded"], str)),
        ours=ours,
        newer=newer,
    )


def require_known(campaign: str, found: Iterable[Damaged]) -> None:
    """Raise InputError if a newer optsuite wrote some of these rows: they must not be replaced."""
    reasons = [one.reason for one in found if one.newer]
    if reasons:
        what = f"campaign {campaign}: {len(reasons)} runs were {reasons[0]}"
        raise InputError(f"{what}; update optsuite, or use another --campaign")


def flaw(row: Row, numbers: Sequence[str]) -> str:
    """What is wrong with a row of texts by itself, empty where nothing is. `numbers` names what should be a number."""
    if row["status"] not in STATUSES:
        return f"its status is {row['status']!r}"
    if row["status"] not in ENDED or row["kind"] == "report":
        return ""
    return next(_flaws(row, numbers), "")


def _flaws(row: Row, numbers: Sequence[str]) -> Iterator[str]:
    kind, arm = row["kind"], _text(row["arm"])
    if not isinstance(row["fingerprint"], str):
        yield "its fingerprint is missing"
    elif read_fingerprint(row["fingerprint"]) is None:
        yield f"its fingerprint is {_shown(row['fingerprint'])}"
    for name in ("benchmark", "optimizer"):
        try:
            require_name(f"its {name}", row[name])
        except InputError as error:
            yield str(error) if _text(row[name]) is not None else f"its {name} is missing"
    if kind not in ARMS:
        yield f"its kind is {_shown(kind)}"
    elif arm not in ARMS[kind]:
        yield f"its arm is {_shown(arm)}"
    for name in numbers:
        if _text(row[name]) is not None and _number(row[name]) is None:
            yield f"its {name} is {_shown(row[name])}, which is no number"
    if row["outcome"] not in OUTCOMES[row["status"]]:
        yield f"its outcome is {_shown(row['outcome'])}, although it is {row['status']}"
    yield from _flaws_of_study(row) if kind == "study" else _flaws_of_run(row)


def _flaws_of_study(row: Row) -> Iterator[str]:
    if row["outcome"] == "finished" and not _is_rate(row["lr"]):
        yield f"its lr is {_shown(row['lr'])}"
    if _text(row["at_edge"]) not in (None, "True", "False"):
        yield f"its at_edge is {_shown(row['at_edge'])}"


def _flaws_of_run(row: Row) -> Iterator[str]:
    lr, seed, own = row["lr"], _number(row["seed"]), read_fingerprint(row["fingerprint"])
    if not _is_rate(lr):
        yield f"its lr is {_shown(lr)}"
    if seed is None or not (math.isfinite(seed) and seed >= 0 and seed == int(seed)):
        yield f"its seed is {_shown(row['seed'])}"
    elif own and _is_rate(lr) and not _fits(own, row, seed=int(seed)):
        yield "its fingerprint is that of another run"
    for name in (
        ("score", "initial/validation_loss", "best/step") if row["outcome"] == "finished" else ()
    ):
        value = _number(row[name])
        if value is None or not math.isfinite(value):
            yield f"its {name} is missing"
    if row["outcome"] == "diverged" and _number(row["score"]) is not None:
        yield "it has a score although it diverged"


def _fits(own: AnyFingerprint, row: Row, *, seed: int) -> bool:
    return names_run(
        own,
        lr=str(row["lr"]),
        seed=seed,
        kind=row["kind"],
        arm=_text(row["arm"]),
        engine=_text(row["engine"]),
    )


def doubles(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Which of the finished rows are there twice, by fingerprint; all where they disagree. Values are numbers here."""
    children = Counter(row["parent"] for row in rows)
    by_fingerprint: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "FINISHED":
            by_fingerprint.setdefault(row["fingerprint"], []).append(row)
    for same in by_fingerprint.values():
        same.sort(key=lambda row: (row["superseded"], -children[row["run_id"]], row["run_id"]))
        differ = (
            len({tuple(map(repr, (row[name] for name in (*SAME, *RESULT)))) for row in same}) > 1
        )
        for row in same if differ else same[1:]:
            other = same[1 if row is same[0] else 0]["run_id"]
            yield (
                row,
                f"it disagrees with run {other}, which is the same"
                if differ
                else f"it is there twice, as run {other} too",
            )


def outdated(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Which of the rows that count are older than another of the same run under another definition."""
    latest: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: (row["started"], row["run_id"])):
        if row["status"] != "FINISHED" or row["superseded"] or row["kind"] == "study":
            continue
        key = tuple(row[name] for name in SAME)
        if key in latest:
            yield latest[key], f"run {row['run_id']} has replaced it"
        latest[key] = row


def incomplete(rows: Sequence[Row]) -> Iterator[str]:
    """Which finished studies lack runs, in a line each: they are in MLflow's trash, or damaged."""
    own: dict[str, Counter[str]] = {}
    for row in rows:
        if row["kind"] != "study" and row["parent"]:
            own.setdefault(row["parent"], Counter())[row["arm"] or "trial"] += 1
    studied = {(row["benchmark"], row["optimizer"]) for row in rows if row["kind"] == "study"}
    tuned = {(row["benchmark"], row["optimizer"]) for row in rows if row["arm"] == "tuned"}
    for benchmark, optimizer in sorted(tuned - studied):
        yield f"{benchmark} {optimizer} has evaluations of a study that has not ended; 'optsuite run' ends it"
    for row in rows:
        if row["kind"] != "study" or row["status"] != "FINISHED" or math.isnan(row["n_seeds"]):
            continue
        found = own.get(row["run_id"], Counter())
        wanted = {
            "tuned": row["n_seeds"],
            "default": row["n_seeds"],
            "trial": row["n_trials"] * row["n_tuning_seeds"],
        }
        for name, n in wanted.items():
            if n > found[name] and (name == "tuned" or found[name]):
                of = "trials" if name == "trial" else f"{name} evaluations"
                said = f"{row['benchmark']} {row['optimizer']} has {found[name]} of {n:.0f} {of}"
                yield f"{said}; 'optsuite run' trains the others"


def _is_rate(value: object) -> bool:
    number = _number(value)
    return number is not None and math.isfinite(number) and number > 0


def _number(value: object) -> float | None:
    """The value as a number; None where it is none, or missing."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def _text(value: object) -> str | None:
    """The value as text; None where it is missing."""
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _shown(value: object) -> str:
    text = _text(value)
    return "missing" if text is None else repr(text[:60])
