"""A seal on the stored parts of a run, which shows a reader whether any were edited since."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from optsuite.tracking.schema import (
    ENDED,
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

KNOWN = (SCHEMA_VERSION, "2")  # fingerprints have a different form in schema 2
DIGITS = 9  # a longer number is not a version
LONGEST = 500  # characters of a text that are sealed: stores truncate long texts
LARGEST = 1e30  # larger values count as this one, because their sums would overflow
LARGEST_NUMBER = 1e300  # the same for single numbers, because stores do not hold infinity
CLOSE = 1e-9  # relative: sums of curves depend on the order of their terms


@dataclass(frozen=True, kw_only=True)
class Points:
    """Sums over all points of all curves of a run: their number, steps, values, weighted values.

    `size` and `size_of_moment` are the same as `total` and `moment`, but of absolute values.
    `sql.COUNTED` computes the same.
    """

    n: int
    steps: int
    total: float
    moment: float
    size: float = 0.0
    size_of_moment: float = 0.0

    @classmethod
    def of(cls, measurements: Iterable[Measurement]) -> Self:
        """The sums over the curves of these measurements. The sizes remain 0."""
        steps: list[int] = []
        values: list[float] = []
        moments: list[float] = []
        for measurement in measurements:
            for name, value in measurement.values.items():
                # MLflow stores 0 for nan.
                stored = 0.0 if math.isnan(value) else max(min(value, LARGEST), -LARGEST)
                steps.append(measurement.step)
                values.append(stored)
                moments.append(_weight(measurement.step, name) * stored)
        return cls(
            n=len(steps), steps=sum(steps), total=math.fsum(values), moment=math.fsum(moments)
        )

    @classmethod
    def counted(cls, row: Mapping[Any, Any]) -> Self | None:
        """The sums of a row with POINTS; None if they were not counted."""
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
    """The tags that seal a run, from everything that is written to the store about it."""
    tags = {**tags, SCHEMA: SCHEMA_VERSION}
    named = {TAG_NAMES[tag]: value for tag, value in tags.items() if tag in TAG_NAMES}
    named |= params
    named |= summary
    columns: dict[str, str | None] = dict.fromkeys(SEALED)
    for name in (*SEALED, *metric_columns(named)):
        if name in named:
            columns[name] = str(named[name])
    return {SCHEMA: SCHEMA_VERSION, SEAL: seal(columns, points)}


def flaw_of_seal(row: Mapping[Any, Any]) -> str:
    """What is wrong with a row according to its seal; empty if nothing is.

    Curves are checked only in rows with POINTS. Rows that are older than seals have neither a
    schema nor a class of machine; they are not checked.
    """
    if row["status"] not in ENDED:
        return ""
    if isinstance(row["seal"], str):
        names = [*SEALED]
        if not row["seal"].startswith("2 "):  # schema 2 did not seal a benchmark's own metrics
            names += metric_columns(row)
        return broken(row["seal"], {name: row[name] for name in names}, Points.counted(row))
    if isinstance(row["schema"], str) or isinstance(row["machine_class"], str):
        return "its seal is missing"
    return ""


def newer(row: Mapping[Any, Any]) -> str:
    """The flaw of a row that a newer optsuite wrote, if its schema and seal agree; else empty."""
    schema, text = row["schema"], row["seal"]
    if not isinstance(schema, str) or not isinstance(text, str):
        return ""
    is_version = schema.isdecimal() and len(schema) <= DIGITS
    if not is_version or not text.startswith(f"{schema} ") or int(schema) <= int(SCHEMA_VERSION):
        return ""
    return f"written by a newer optsuite (schema {schema}; this one knows {SCHEMA_VERSION})"


def resealed(row: Mapping[Any, Any], fingerprint: str) -> dict[str, str]:
    """The tags that give a sound row a different fingerprint, and a new seal if it had one.

    The seal of the curves stays the same.
    """
    tags = {FINGERPRINT: fingerprint}
    if not isinstance(row["seal"], str):
        return tags
    columns = {name: row[name] for name in (*SEALED, *metric_columns(row))}
    columns |= {"fingerprint": fingerprint, "schema": SCHEMA_VERSION}
    _, _, *points = row["seal"].split(" ")
    text = " ".join((SCHEMA_VERSION, _digest(columns), *points))
    return tags | {SCHEMA: SCHEMA_VERSION, SEAL: text}


def seal(columns: Mapping[str, object], points: Points) -> str:
    """The seal of a run's texts and numbers, by column, and of its curves."""
    sums = f"{points.n} {points.steps} {points.total:.12g} {points.moment:.12g}"
    return f"{SCHEMA_VERSION} {_digest(columns)} {sums}"


def broken(text: str, columns: Mapping[str, object], points: Points | None) -> str:
    """Which parts of a run were edited after its seal; empty if none, as far as is known.

    Without points, curves are not checked.
    """
    version, *parts = text.split(" ")
    if version not in KNOWN and version.isdecimal():
        known = f"this optsuite knows version {SCHEMA_VERSION}"
        return f"its seal is of version {version[:DIGITS]}, and {known}"
    try:
        sums = _sums(parts[1:])
    except ValueError:
        return "its seal is damaged"
    if version not in KNOWN:
        return "its seal is damaged"
    if parts[0] != _digest(columns):
        return "its tags, params or summaries have been edited"
    if points is not None and not _agree(points, sums):
        return "its curves have been edited"
    return ""


def _sums(parts: Sequence[str]) -> Points:
    """The sums that a seal holds. Raises ValueError if it is damaged."""
    n, steps, total, moment = parts
    return Points(n=int(n), steps=int(steps), total=float(total), moment=float(moment))


def _agree(found: Points, said: Points) -> bool:
    """Whether the curves of a run have the sums that its seal holds."""
    if (found.n, found.steps) != (said.n, said.steps):
        return False
    if not _close(found.total, said.total, found.size):
        return False
    return _close(found.moment, said.moment, found.size_of_moment)


def _close(found: float, said: float, size: float) -> bool:
    return math.isclose(found, said, rel_tol=CLOSE, abs_tol=CLOSE * size)


def _weight(step: int, name: str) -> int:
    """The weight of a point, which differs between steps, splits and measures."""
    weight = 3
    if name.startswith("train/"):
        weight = 1
    elif name.startswith("test/"):
        weight = 2
    if name.endswith("/loss"):
        weight += 3
    return (step + 1) * weight


def _digest(columns: Mapping[str, object]) -> str:
    texts = {name: _text(value) for name, value in columns.items()}
    return digest("seal", *sorted((name, text) for name, text in texts.items() if text is not None))


def _text(value: object) -> str | None:
    """A value as text that is equal in every store; None if the value is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        number = float(str(value))
    except ValueError:
        return str(value)[:LONGEST]
    if math.isnan(number):
        return None
    clamped = max(min(number, LARGEST_NUMBER), -LARGEST_NUMBER)
    return f"{clamped + 0.0:.9g}"  # adding 0 removes the sign of -0.0, which stores do not hold
