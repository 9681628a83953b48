"""How many more seeds an open pair needs."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from optsuite.statistics.sign_flip import ALPHA, Matrix

POWER = 0.8
FEWEST_SEEDS = math.ceil(1 + math.log2(1 / ALPHA))  # the smallest p of n seeds is 2^(1 - n)
# Standard errors by which the truth may lie nearer to a verdict than the estimate. Of differences
# of 0.7 standard deviations, 1.0 found 74 %, 1.5 77 %, and looking to the end at every pair 78 %
# (simulated: looks at 12, 24 and 36, normal noise, six optimizers, 400 draws).
OPTIMISM = 1.2


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two columns: the gaps of their interquartile means and of their means, with intervals.

    `p` is that of the test, `differences` (seeds,) are those of the paired scores, and `n_pairs` is
    the number of all pairs that were tested.
    """

    p: float
    gaps: list[float]
    intervals: list[tuple[float, float]]
    differences: Matrix
    n_pairs: int

    @property
    def direction(self) -> float:
        """The sign of the mean difference."""
        return float(np.sign(self.differences.mean()))

    @property
    def agrees(self) -> bool:
        """Whether the gap of the interquartile means has the direction of the mean difference."""
        return self.gaps[0] * self.direction >= 0

    @property
    def half_width(self) -> float:
        """The largest distance of an end of an interval from its gap."""
        distances: list[float] = []
        for gap, (low, high) in zip(self.gaps, self.intervals, strict=True):
            distances += (gap - low, high - gap)
        return max(distances)


def seeds_to_settle(pair: Pair, tolerance: float) -> int | None:
    """About how many more seeds would settle an open pair; None if no number would."""
    to_differ = seeds_needed(pair.differences, pair.n_pairs) if pair.agrees else None
    to_tie = _seeds_to_tie(pair, tolerance)
    either = [n for n in (to_differ, to_tie) if n is not None]
    return min(either, default=None)


def may_settle(pair: Pair, tolerance: float, most: int) -> bool:
    """Whether an open pair may be settled with at most this many seeds in all."""
    n = len(pair.differences)
    if n < 2:
        return True
    more = seeds_needed(pair.differences, pair.n_pairs, OPTIMISM) if pair.agrees else None
    if more is not None and n + more <= most:
        return True
    gap, half = max(map(abs, pair.gaps)), pair.half_width
    if not math.isfinite(gap) or not math.isfinite(half):
        return False
    room = tolerance - max(0.0, gap - OPTIMISM * half / 2)  # half an interval: 2 standard errors
    return half * math.sqrt(n / most) <= room


def _seeds_to_tie(pair: Pair, tolerance: float) -> int | None:
    """About how many more seeds would shrink the intervals into the tolerance.

    They shrink as 1/sqrt(n). None if the gaps exceed the tolerance.
    """
    n = len(pair.differences)
    room = tolerance - max(map(abs, pair.gaps))
    if room <= 0 or n < 2:
        return None
    return max(1, math.ceil(n * (pair.half_width / room) ** 2) - n)


def seeds_needed(paired: Matrix, n_pairs: int, optimism: float = 0.0) -> int | None:
    """About how many more seeds would detect the mean of paired differences (n,) with 80 % power.

    From the normal approximation of a paired test at alpha over the number of pairs, which slightly
    overestimates. The mean counts as `optimism` standard errors larger. None if there is no
    difference.
    """
    n = len(paired)
    least = max(1, FEWEST_SEEDS - n)
    if n < 2:
        return least
    spread, mean = float(paired.std(ddof=1)), abs(float(paired.mean()))
    mean += optimism * spread / math.sqrt(n)
    if mean <= 1e-12 * float(np.abs(paired).max()):
        return None
    z = stats.norm.ppf(1 - ALPHA / n_pairs / 2) + stats.norm.ppf(POWER)
    return max(least, math.ceil((z * spread / mean) ** 2) - n)
