"""A seal on what is written of a run: whoever reads it back can tell whether anything of it has been edited since."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from optsuite.tracking.schema import (
    FINGERPRINT,
    SCHEMA,
    SCHEMA_VERSION,
    SEAL,
    SEALED,
    TAG_NAMES,
    metric_columns,
)
from optsuite.training.identity import digest
from optsuite.training.results import Measurement

KNOWN = (SCHEMA_VERSION, "2")  # fingerprints have another form in schema 2
DIGITS = 9  # a longer number is not a version
LONGEST = 500  # characters of a text that count: stores cut off the end of long ones
LARGEST = 1e30  # larger values count as this one: sums of them overflow
CLOSE = 1e-9  # sums of curves differ by the order of their terms
SEALED_STATUSES = ("FINISHED", "FAILED")


@dataclass(frozen=True, kw_only=True)
class Points:
    """What can be counted of all curves of a run: their points, and the sums of steps, of values, and of weighted values.

    The sizes are those sums over absolute values. `queries.COUNTED` counts the same.
    """

    n: int
    steps: int
    total: float
    moment: float
    size: float = 0.0
    size_of_moment: float = 0.0

    @classmethod
    def of(cls, measurements: Iterable[Measurement]) -> Self:
        """Those of the curves that these measurements give."""
        # MLflow keeps 0 for nan.
        points = [
            (
                m.step,
                _weight(m.step, name),
                0.0 if math.isnan(value) else max(min(value, LARGEST), -LARGEST),
            )
            for m in measurements
            for name, value in m.values.items()
        ]
        return cls(
            n=len(points),
            steps=sum(step for step, _, _ in points),
            total=math.fsum(value for _, _, value in points),
            moment=math.fsum(weight * value for _, weight, value in points),
        )

    @classmethod
    def counted(cls, row: Mapping[Any, Any]) -> Self | None:
        """Those that a row with POINTS names; None where nobody has counted."""
        if math.isnan(row["n_points"]):
            return None
        return cls(
            n=int(row["n_points"]),
            steps=int(row["sum_of_steps"]),
            total=row["sum_of_values"],
            moment=row["sum_of_moments"],
            size=row["sum_of_sizes"],
            size_of_moment=row["sum_of_sizes_of_moments"],
        )


def sealed(
    tags: Mapping[str, object],
    params: Mapping[str, object],
    summary: Mapping[str, float],
    points: Points,
) -> dict[str, str]:
    """The tags that seal a run, from all that the store is told of it."""
    tags = {**tags, SCHEMA: SCHEMA_VERSION}
    named = (
        {TAG_NAMES[tag]: value for tag, value in tags.items() if tag in TAG_NAMES}
        | dict(params)
        | dict(summary)
    )
    columns = {
        name: None if name not in named else str(named[name])
        for name in (*SEALED, *metric_columns(named))
    }
    return {SCHEMA: SCHEMA_VERSION, SEAL: seal(columns, points)}


def flaw_of_seal(row: Mapping[Any, Any]) -> str:
    """What is wrong with a row by its seal, empty where nothing is. Without POINTS its curves are not looked at.

    Rows from before there were seals have neither a schema nor a class of machine; they are believed as they are.
    """
    if row["status"] not in SEALED_STATUSES:
        return ""
    if isinstance(row["seal"], str):
        is_former = row["seal"].startswith("2 ")  # which did not cover a benchmark's own metrics
        names = SEALED if is_former else (*SEALED, *metric_columns(row))
        return broken(row["seal"], {name: row[name] for name in names}, Points.counted(row))
    return (
        "its seal is missing"
        if any(isinstance(row[name], str) for name in ("schema", "machine_class"))
        else ""
    )


def newer(row: Mapping[Any, Any]) -> str:
    """What to say of a row that a newer optsuite wrote, if schema and seal agree; else empty."""
    schema, text = row["schema"], row["seal"]
    if not (isinstance(schema, str) and isinstance(text, str) and schema.isdecimal()):
        return ""
    if (
        len(schema) > DIGITS
        or not text.startswith(f"{schema} ")
        or int(schema) <= int(SCHEMA_VERSION)
    ):
        return ""
    return f"written by a newer optsuite (schema {schema}; this one knows {SCHEMA_VERSION})"


def resealed(row: Mapping[Any, Any], fingerprint: str) -> dict[str, str]:
    """The tags that give a sound row another fingerprint, and a new seal if it had one.

    The part of the seal that covers the curves is kept.
    """
    tags = {FINGERPRINT: fingerprint}
    if not isinstance(row["seal"], str):
        return tags
    columns = {name: row[name] for name in (*SEALED, *metric_columns(row))}
    columns |= {"fingerprint": fingerprint, "schema": SCHEMA_VERSION}
    _, _, *points = row["seal"].split(" ")
    return tags | {
        SCHEMA: SCHEMA_VERSION,
        SEAL: " ".join((SCHEMA_VERSION, _digest(columns), *points)),
    }


def seal(columns: Mapping[str, object], points: Points) -> str:
    """The seal of what a run says of itself, by column, and of its curves."""
    return f"{SCHEMA_VERSION} {_digest(columns)} {points.n} {points.steps} {points.total:.12g} {points.moment:.12g}"


def broken(text: str, columns: Mapping[str, object], points: Points | None) -> str:
    """What the seal says has been edited, empty where nothing is known to be. Without points the curves are not looked at."""
    version, *parts = text.split(" ")
    if version not in KNOWN and version.isdecimal():
        return f"its seal is of version {version[:9]}, and this optsuite knows version {SCHEMA_VERSION}"
    try:
        own, n, steps, total, moment = (
            parts[0],
            int(parts[1]),
            int(parts[2]),
            float(parts[3]),
            float(parts[4]),
        )
    except (IndexError, ValueError):
        return "its seal is damaged"
    if version not in KNOWN or len(parts) != 5:
        return "its seal is damaged"
    if own != _digest(columns):
        return "what it says of itself has been edited"
    if points is None:
        return ""
    close = _close(points.total, total, points.size) and _close(
        points.moment, moment, points.size_of_moment
    )
    return "" if (points.n, points.steps) == (n, steps) and close else "its curves have been edited"


def _close(found: float, said: float, size: float) -> bool:
    return math.isclose(found, said, rel_tol=CLOSE, abs_tol=CLOSE * size)


def _weight(step: int, name: str) -> int:
    """What tells a point from others: of another step, split or measure."""
    split = 1 if name.startswith("train/") else 2 if name.startswith("test/") else 3
    return (step + 1) * (split + (3 if name.endswith("/loss") else 0))


def _digest(columns: Mapping[str, object]) -> str:
    texts = {name: _text(value) for name, value in columns.items()}
    return digest("seal", *sorted((name, text) for name, text in texts.items() if text is not None))


def _text(value: object) -> str | None:
    """A value as it reads the same from every store; None where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        number = float(str(value))
    except ValueError:
        return str(value)[:LONGEST]
    clamped = (
        max(min(number, 1e300), -1e300) + 0.0
    )  # stores know neither infinity nor a zero below zero
    return None if math.isnan(number) else f"{clamped:.9g}"
