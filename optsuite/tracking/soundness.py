"""Which rows of a campaign are sound by themselves; texts are as the store has them.

A damaged row is left out of reports and named, and the next start trains its run again.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optsuite.errors import InputError, require_name
from optsuite.tracking.schema import ENDED, MANUAL_ARMS, UNFINISHED
from optsuite.training.legacy_fingerprint import AnyFingerprint, names_run, read_fingerprint

Row = Mapping[Any, Any]
ARMS = {
    "trial": (None,),
    "confirmation": (None,),
    "evaluation": ("tuned", "default", *MANUAL_ARMS),
    "study": (None,),
}
OUTCOMES = {"FINISHED": ("finished", "diverged"), "FAILED": ("failed",)}
WRITTEN = ("kind", "benchmark", "optimizer", "fingerprint")  # every run of optsuite has one of them
OF_FINISHED = ("score", "initial/validation_loss", "best/step")


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A row that is not used, and why.

    `ours` is False if another program wrote it, `newer` is True if a newer optsuite did.
    """

    run_id: str
    what: str
    reason: str
    status: str
    superseded: bool = False
    ours: bool = True
    newer: bool = False

    def __str__(self) -> str:
        what = f" ({self.what})" if self.what else ""
        return f"run {self.run_id}{what}: {self.reason}"


def damaged(row: Row, reason: str, *, newer: bool = False) -> Damaged:
    """The description of a row that is not used."""
    texts = [row[name] for name in ("benchmark", "optimizer") if isinstance(row[name], str)]
    seed = _number(row["seed"])
    if seed is not None and math.isfinite(seed):
        texts.append(f"seed {seed:.0f}")
    ours = any(isinstance(row[name], str) for name in WRITTEN)
    return Damaged(
        run_id=row["run_id"],
        what=" ".join(texts),
        reason=reason if ours else "it was not written by optsuite",
        status=str(row["status"]),
        superseded=isinstance(row["superseded"], str),
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
    """What is wrong with a row of texts by itself; empty if nothing is.

    `numbers` are the names of the columns that must hold numbers.
    """
    if row["status"] not in (*ENDED, *UNFINISHED):
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
            is_missing = _text(row[name]) is None
            yield f"its {name} is missing" if is_missing else str(error)
    if kind not in ARMS:
        yield f"its kind is {_shown(kind)}"
    elif arm not in ARMS[kind]:
        yield f"its arm is {_shown(arm)}"
    for name in numbers:
        if _text(row[name]) is not None and _number(row[name]) is None:
            yield f"its {name} is {_shown(row[name])}, which is not a number"
    if row["outcome"] not in OUTCOMES[row["status"]]:
        yield f"its outcome is {_shown(row['outcome'])}, although it is {row['status']}"
    if kind == "study":
        yield from _flaws_of_study(row)
    else:
        yield from _flaws_of_run(row)


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
    if row["outcome"] == "finished":
        for name in OF_FINISHED:
            value = _number(row[name])
            if value is None or not math.isfinite(value):
                yield f"its {name} is missing"
    if row["outcome"] == "diverged" and _number(row["score"]) is not None:
        yield "it has a score although it diverged"


def _fits(own: AnyFingerprint, row: Row, *, seed: int) -> bool:
    """Whether the fingerprint belongs to the run of the row."""
    return names_run(
        own,
        lr=str(row["lr"]),
        seed=seed,
        kind=row["kind"],
        arm=_text(row["arm"]),
        engine=_text(row["engine"]),
    )


def _is_rate(value: object) -> bool:
    number = _number(value)
    return number is not None and math.isfinite(number) and number > 0


def _number(value: object) -> float | None:
    """The value as a number; None if it is missing or not a number."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def _text(value: object) -> str | None:
    """The value as text; None if it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value)


def _shown(value: object) -> str:
    text = _text(value)
    return "missing" if text is None else repr(text[:60])
