"""A seal on what is written of a run: whoever reads it back can tell whether anything of it has been edited since."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from optsuite.training.identity import digest
from optsuite.training.run import Measurement

SEAL = "optsuite.seal"
VERSION = "1"  # a seal of another version says nothing to this one
LONGEST = 500  # characters of a text that count: stores cut off the end of long ones
CLOSE = 1e-6  # sums of curves differ by the order of their terms


@dataclass(frozen=True, kw_only=True)
class Points:
    """What can be counted of all curves of a run: their points, the sums of steps and of values, and how large those are."""

    n: int
    steps: int
    total: float
    size: float = 0.0

    @classmethod
    def of(cls, measurements: Iterable[Measurement]) -> Self:
        """Those of the curves that these measurements give."""
        # MLflow keeps 0 for nan.
        points = [(m.step, 0.0 if math.isnan(value) else value) for m in measurements for value in m.values.values()]
        return cls(n=len(points), steps=sum(step for step, _ in points), total=math.fsum(value for _, value in points))


def seal(columns: Mapping[str, object], points: Points) -> str:
    """The seal of what a run says of itself, by column, and of its curves."""
    return f"{VERSION} {_digest(columns)} {points.n} {points.steps} {points.total:.9g}"


def broken(text: str, columns: Mapping[str, object], points: Points | None) -> str:
    """What the seal says has been edited, empty where nothing is known to be. Without points the curves are not looked at."""
    version, *parts = text.split(" ")
    if version != VERSION and version.isdecimal():
        return ""
    try:
        own, n, steps, total = parts[0], int(parts[1]), int(parts[2]), float(parts[3])
    except (IndexError, ValueError):
        return "its seal is damaged"
    if own != _digest(columns):
        return "what it says of itself has been edited"
    if points is None:
        return ""
    close = math.isclose(points.total, total, rel_tol=CLOSE, abs_tol=CLOSE * points.size)
    return "" if (points.n, points.steps) == (n, steps) and close else "its curves have been edited"


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
    clamped = max(min(number, 1e300), -1e300) + 0.0  # stores know neither infinity nor a zero below zero
    return None if math.isnan(number) else f"{clamped:.9g}"
