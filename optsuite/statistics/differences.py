"""Optimizers compared seed by seed: does one differ from another, and how sure is that?

Scores are losses, the lower the better, in matrices (seeds, optimizers) whose rows share initial weights and batch order.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from optsuite.statistics.seeds import ENDS, N_RESAMPLES, interquartile_mean

Kind = Literal["better", "worse", "tied", "open"]

ALPHA = 0.04  # of all pairs of a benchmark together: below the 5 % we promise, see sign_flip
POWER = 0.8
EXACT_SEEDS = 14  # with more, the patterns of signs are drawn instead of enumerated
N_DRAWN = 2**14
FEWEST_SEEDS = math.ceil(1 + math.log2(1 / ALPHA))  # the smallest p of n seeds is 2^(1 - n)
CHUNK = 2**24  # numbers held at once
OPPOSITE: Mapping[Kind, Kind] = {
    "worse": "better",
    "better": "worse",
    "tied": "tied",
    "open": "open",
}

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one column compares with another: better, worse, tied, or open where the seeds cannot tell.

    `gap` is how much larger its score is, relative to the better of the two. `p` is adjusted for
    all pairs. `seeds_needed` estimates how many more seeds would settle an open pair: 0 where the
    pair is settled, None where no number would.
    """

    kind: Kind
    gap: float
    p: float
    seeds_needed: int | None = 0


def compare(scores: Matrix, tolerance: float) -> dict[tuple[int, int], Verdict]:
    """Every pair (i, j) of columns of scores (seeds, optimizers), both ways round: how i compares with j.

    They differ where the sign-flip test of all pairs says so, and the gap between their
    interquartile means exceeds the tolerance, a fraction of the better one; or, where these are alike, that between their
    means, which failures move. They are tied where the 95 % intervals of both gaps lie within the tolerance, or a difference
    is certain but smaller; else the seeds are too few to say.
    """
    n_seeds, n = scores.shape
    pairs = list(combinations(range(n), 2))
    if not pairs or not n_seeds:
        return {}
    differences = np.stack([scores[:, i] - scores[:, j] for i, j in pairs])
    adjusted = sign_flip(differences)
    draws = np.random.default_rng(0).integers(
        n_seeds, size=(N_RESAMPLES, n_seeds)
    )  # the same for all pairs
    middles, means = (
        (np.asarray(of(scores, 0)), np.asarray(of(scores[draws], 1)))
        for of in (interquartile_mean, np.mean)
    )
    found = {}
    for (i, j), row, p in zip(pairs, differences, adjusted, strict=True):
        pair = _Pair(
            gaps=[float(relative_gap(point[i], point[j])) for point, _ in (middles, means)],
            intervals=[
                _interval(relative_gap(drawn[:, i], drawn[:, j])) for _, drawn in (middles, means)
            ],
            differences=row,
            n_pairs=len(pairs),
        )
        found[i, j] = _judge(pair, float(p), tolerance)
        found[j, i] = replace(found[i, j], kind=OPPOSITE[found[i, j].kind], gap=-found[i, j].gap)
    return found


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two columns: the gaps of their interquartile means and of their means, with intervals, and their paired differences."""

    gaps: list[float]
    intervals: list[tuple[float, float]]
    differences: Matrix
    n_pairs: int


def _judge(pair: _Pair, p: float, tolerance: float) -> Verdict:
    gap, gap_of_means = pair.gaps
    direction = float(np.sign(pair.differences.mean()))
    agree = gap * direction >= 0
    if p <= ALPHA and agree:
        decisive = next((g for g in (gap, gap_of_means) if abs(g) > tolerance), None)
        if decisive is None:
            return Verdict(kind="tied", gap=gap, p=p)
        return Verdict(kind="worse" if direction > 0 else "better", gap=decisive, p=p)
    if len(pair.differences) > 1 and all(
        -tolerance <= low and high <= tolerance for low, high in pair.intervals
    ):
        return Verdict(kind="tied", gap=gap, p=p)
    found = seeds_needed(pair.differences, pair.n_pairs) if agree else None
    either = [n for n in (found, _seeds_to_tie(pair, tolerance)) if n is not None]
    return Verdict(kind="open", gap=gap, p=p, seeds_needed=min(either, default=None))


def _seeds_to_tie(pair: _Pair, tolerance: float) -> int | None:
    """About how many more seeds would shrink the intervals into the tolerance, as 1/sqrt(n); None where the gaps exceed it."""
    n, room = len(pair.differences), tolerance - max(abs(gap) for gap in pair.gaps)
    if room <= 0 or n < 2:
        return None
    half = max(
        max(gap - low, high - gap)
        for gap, (low, high) in zip(pair.gaps, pair.intervals, strict=True)
    )
    return max(1, math.ceil(n * (half / room) ** 2) - n)


def relative_gap(one: Matrix | float, other: Matrix | float) -> Matrix:
    """How much larger `one` is than `other`, relative to the smaller; infinite where that is 0 or their signs differ."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    reference = np.where(one * other > 0, np.abs(np.minimum(one, other)), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(one == other, 0.0, (one - other) / reference)


def _interval(gaps: Matrix) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of resampled gaps, which may be infinite."""
    low, high = np.quantile(gaps, ENDS, method="inverted_cdf")
    return float(low), float(high)


def sign_flip(differences: Matrix) -> Matrix:
    """The two-sided p-values (pairs,) that paired differences (pairs, n) are symmetric about 0, adjusted for all pairs.

    By flipping the signs of whole seeds: a pair's p is the share of sign patterns under which any pair looks as extreme, by
    the sum of its differences relative to their size (the largest statistic of Westfall and Young 1993). So pairs that go
    together are not paid for twice, and two optimizers or thirty need the same seeds to be told apart at all. Up to 14 seeds
    every pattern is tried (Fisher 1935); beyond, patterns are drawn, the observed one among them. Exact for a single pair,
    and for more where all differences are symmetric together: for skewed scores nearly so.
    """
    size = np.sqrt((differences**2).sum(axis=1, keepdims=True))
    scaled = np.divide(differences, size, out=np.zeros_like(differences), where=size > 0)
    largest = np.concatenate(
        [np.abs(part @ scaled.T).max(axis=1) for part in _patterns(differences.shape)]
    )
    observed = np.abs(scaled.sum(axis=1)) - 1e-12  # sums in another order differ in the last bit
    return np.asarray(1 - np.searchsorted(np.sort(largest), observed) / len(largest))


def _patterns(shape: tuple[int, ...]) -> Iterator[Matrix]:
    """Patterns of n signs (some, n) for differences (pairs, n), a pattern and its opposite being one."""
    n_pairs, n = shape
    if n <= EXACT_SEEDS:
        signs = np.where((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1, -1.0, 1.0)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(N_DRAWN, n))
        signs[0] = 1.0
    step = max(1, CHUNK // n_pairs)
    yield from (signs[start : start + step] for start in range(0, len(signs), step))


def seeds_needed(paired: Matrix, n_pairs: int) -> int | None:
    """About how many more seeds find the difference of paired scores (n,) with a power of 80 %, were it the true one.

    From the normal approximation of a paired test at alpha over the number of pairs, which asks for somewhat too many; None
    where there is no difference.
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
    """The chance that a run of `one` has a lower score than a run of `other`, (n,) and (m,); a tie counts half.

    Source: Agarwal et al. 2021; the statistic of Mann and Whitney 1947.
    """
    below, equal = one[:, None] < other, one[:, None] == other
    return float((below + 0.5 * equal).mean())
