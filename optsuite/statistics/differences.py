"""Optimizers compared seed by seed: whether two differ, and how certain that is.

Scores are losses, the lower the better, in matrices (seeds, optimizers). Runs in the same row share
initial weights and batch order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

from optsuite.statistics.seeds import ENDS, N_RESAMPLES, interquartile_mean
from optsuite.statistics.sign_flip import ALPHA, Matrix, sign_flip

Kind = Literal["better", "worse", "tied", "open"]

POWER = 0.8
FEWEST_SEEDS = math.ceil(1 + math.log2(1 / ALPHA))  # the smallest p of n seeds is 2^(1 - n)
OPPOSITE: Mapping[Kind, Kind] = {
    "worse": "better",
    "better": "worse",
    "tied": "tied",
    "open": "open",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one column compares with another: better, worse, tied, or open if seeds are too few.

    `gap` is how much larger its score is, relative to the better of the two. `p` is adjusted for
    all pairs. `seeds_needed` estimates how many more seeds would settle an open pair: 0 if it is
    settled, None if no number would.
    """

    kind: Kind
    gap: float
    p: float
    seeds_needed: int | None = 0


def compare(scores: Matrix, tolerance: float) -> dict[tuple[int, int], Verdict]:
    """How column i of scores (seeds, optimizers) compares with column j, for every ordered pair.

    Two columns differ if the sign-flip test of all pairs rejects, and the gap between their
    interquartile means exceeds the tolerance, a fraction of the better one; or, if those are alike,
    the gap between their means, which failures move. They are tied if the 95 % intervals of both
    gaps lie within the tolerance, or if a difference is certain but smaller. Otherwise, the pair is
    open.
    """
    n_seeds, n = scores.shape
    pairs = list(combinations(range(n), 2))
    if not pairs or not n_seeds:
        return {}
    differences = np.stack([scores[:, i] - scores[:, j] for i, j in pairs])
    adjusted = sign_flip(differences)
    # The resampled seeds are the same for all pairs.
    seeds = np.random.default_rng(0).integers(n_seeds, size=(N_RESAMPLES, n_seeds))
    resampled = scores[seeds]
    averages = []
    for average in (interquartile_mean, np.mean):
        point, drawn = np.asarray(average(scores, 0)), np.asarray(average(resampled, 1))
        averages.append((point, drawn))
    found = {}
    for (i, j), row, p in zip(pairs, differences, adjusted, strict=True):
        gaps, intervals = [], []
        for point, drawn in averages:
            gaps.append(float(relative_gap(point[i], point[j])))
            intervals.append(_interval(relative_gap(drawn[:, i], drawn[:, j])))
        pair = _Pair(gaps=gaps, intervals=intervals, differences=row, n_pairs=len(pairs))
        verdict = _judge(pair, float(p), tolerance)
        found[i, j] = verdict
        found[j, i] = replace(verdict, kind=OPPOSITE[verdict.kind], gap=-verdict.gap)
    return found


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two columns: the gaps of their interquartile means and of their means, with intervals.

    `differences` (seeds,) are those of the paired scores.
    """

    gaps: list[float]
    intervals: list[tuple[float, float]]
    differences: Matrix
    n_pairs: int


def _judge(pair: _Pair, p: float, tolerance: float) -> Verdict:
    gap, gap_of_means = pair.gaps
    direction = float(np.sign(pair.differences.mean()))
    agree = gap * direction >= 0
    if p <= ALPHA and agree:
        kind: Kind = "worse" if direction > 0 else "better"
        if abs(gap) > tolerance:
            return Verdict(kind=kind, gap=gap, p=p)
        if abs(gap_of_means) > tolerance:
            return Verdict(kind=kind, gap=gap_of_means, p=p)
        return Verdict(kind="tied", gap=gap, p=p)
    inside = all(-tolerance <= low and high <= tolerance for low, high in pair.intervals)
    if inside and len(pair.differences) > 1:
        return Verdict(kind="tied", gap=gap, p=p)
    to_differ = seeds_needed(pair.differences, pair.n_pairs) if agree else None
    to_tie = _seeds_to_tie(pair, tolerance)
    either = [n for n in (to_differ, to_tie) if n is not None]
    return Verdict(kind="open", gap=gap, p=p, seeds_needed=min(either, default=None))


def _seeds_to_tie(pair: _Pair, tolerance: float) -> int | None:
    """About how many more seeds would shrink the intervals into the tolerance.

    They shrink as 1/sqrt(n). None if the gaps exceed the tolerance.
    """
    n = len(pair.differences)
    room = tolerance - max(map(abs, pair.gaps))
    if room <= 0 or n < 2:
        return None
    distances: list[float] = []
    for gap, (low, high) in zip(pair.gaps, pair.intervals, strict=True):
        distances += (gap - low, high - gap)
    half = max(distances)
    return max(1, math.ceil(n * (half / room) ** 2) - n)


def relative_gap(one: Matrix | float, other: Matrix | float) -> Matrix:
    """How much larger `one` is than `other`, relative to the smaller.

    Infinite if the smaller is 0 or their signs differ.
    """
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    reference = np.where(one * other > 0, np.abs(np.minimum(one, other)), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(one == other, 0.0, (one - other) / reference)


def _interval(gaps: Matrix) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of resampled gaps, which may be infinite."""
    low, high = np.quantile(gaps, ENDS, method="inverted_cdf")
    return float(low), float(high)


def seeds_needed(paired: Matrix, n_pairs: int) -> int | None:
    """About how many more seeds would detect the mean of paired differences (n,) with 80 % power.

    From the normal approximation of a paired test at alpha over the number of pairs, which slightly
    overestimates. None if there is no difference.
    """
    n = len(paired)
    least = max(1, FEWEST_SEEDS - n)
    if n < 2:
        return least
    spread, mean = float(paired.std(ddof=1)), abs(float(paired.mean()))
    if mean <= 1e-12 * float(np.abs(paired).max()):
        return None
    z = stats.norm.ppf(1 - ALPHA / n_pairs / 2) + stats.norm.ppf(POWER)
    return max(least, math.ceil((z * spread / mean) ** 2) - n)


def probability_of_improvement(one: Matrix, other: Matrix) -> float:
    """The chance that a run of `one` (n,) scores lower than one of `other` (m,); ties count half.

    Source: Agarwal et al. 2021; the statistic of Mann and Whitney 1947.
    """
    below, equal = one[:, None] < other, one[:, None] == other
    return float((below + 0.5 * equal).mean())
