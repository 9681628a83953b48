"""How far the verdicts of the default suite can be trusted: what `python -m calibrate` measured."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The summary of docs/calibration.md; shares are fractions.

    `alarms` is the share of pairs of tunings of one optimizer that were called better or worse,
    with the ends of its 95 % interval. `covered` is the share of intervals of a score that hold its
    mean over tunings.
    """

    date: str
    version: str
    n_tunings: int
    n_cells: int
    alarms: float
    low: float
    high: float
    covered: float


LAST = Calibration(
    date="2026-11-28",
    version="torch 2.15.0",
    n_tunings=8,
    n_cells=36,
    alarms=0.060,
    low=0.038,
    high=0.079,
    covered=0.93,
)
