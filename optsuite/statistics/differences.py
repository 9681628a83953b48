"""Optimizers compared seed by seed: whether two differ, and how certain that is.

Scores are losses, the lower the better, in matrices (seeds, optimizers). Runs in the same row share
initial weights and batch order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from optsuite.statistics.looks import n_evaluated, sequential_test
from optsuite.statistics.seeds import ENDS, N_RESAMPLES, interquartile_mean
from optsuite.statistics.seeds_needed import Pair, may_settle, seeds_to_settle
from optsuite.statistics.sign_flip import ALPHA, Matrix

Kind = Literal["better", "worse", "tied", "open"]

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
    all pairs and looks. `seeds_needed` estimates how many more seeds would settle an open pair: 0
    if it is settled, None if no number would.
    """

    kind: Kind
    gap: float
    p: float
    seeds_needed: int | None = 0


def compare(
    scores: Matrix, tolerance: float, looks: Sequence[int] = ()
) -> dict[tuple[int, int], Verdict]:
    """How column i of scores (seeds, optimizers) compares with column j, for every ordered pair.

    Two columns differ if the sign-flip test of all pairs rejects, and the gap between their
    interquartile means exceeds the tolerance, a fraction of the better one; or, if those are alike,
    the gap between their means, which failures move. They are tied if the 95 % intervals of both
    gaps lie within the tolerance, or if a difference is certain but smaller. Otherwise, the pair is
    open.

    `looks` are the numbers of seeds at which more seeds were decided on, by default only the number
    that there is. A column then has nan below its last seed, and a pair is judged on the seeds that
    both have. The test pays for all looks, as the intervals do: with three looks they are 98.3 %
    intervals.
    """
    n_seeds, n = scores.shape
    if n < 2 or not n_seeds:
        return {}
    found = {}
    for (i, j), pair in pairs_of(scores, looks).items():
        verdict = _judge(pair, tolerance)
        found[i, j] = verdict
        found[j, i] = replace(verdict, kind=OPPOSITE[verdict.kind], gap=-verdict.gap)
    return found


def to_continue(scores: Matrix, tolerance: float, looks: Sequence[int]) -> set[int]:
    """The columns that need the next look: those with an open pair that a later look may settle.

    Both columns of such a pair have the seeds of the present look. The chances are judged
    generously: as if the truth were OPTIMISM standard errors nearer to a verdict.
    """
    wanted: set[int] = set()
    n_seeds, n = scores.shape
    if n < 2:
        return wanted
    for (i, j), pair in pairs_of(scores, looks).items():
        is_current = len(pair.differences) == n_seeds
        is_open = is_current and _judge(pair, tolerance).kind == "open"
        if is_open and may_settle(pair, tolerance, looks[-1]):
            wanted |= {i, j}
    return wanted


def pairs_of(scores: Matrix, looks: Sequence[int] = ()) -> dict[tuple[int, int], Pair]:
    """The pairs of columns of scores (seeds, optimizers), as in `compare`."""
    looks = looks or (len(scores),)
    adjusted = sequential_test(scores, looks)
    seeds = n_evaluated(scores)
    pairs = list(combinations(range(scores.shape[1]), 2))
    averaged = {n: _averages(scores[:n]) for n in set(seeds)}
    found = {}
    for (i, j), p in zip(pairs, adjusted, strict=True):
        n_both = min(seeds[i], seeds[j])
        gaps, intervals = [], []
        for point, drawn in averaged[n_both]:
            gaps.append(float(relative_gap(point[i], point[j])))
            intervals.append(_interval(relative_gap(drawn[:, i], drawn[:, j]), len(looks)))
        found[i, j] = Pair(
            p=float(p),
            gaps=gaps,
            intervals=intervals,
            differences=scores[:n_both, i] - scores[:n_both, j],
            n_pairs=len(pairs),
        )
    return found


def _averages(scores: Matrix) -> list[tuple[Matrix, Matrix]]:
    """Interquartile means and means of the columns, each as they are and over resampled seeds."""
    n_seeds = len(scores)
    # The resampled seeds are the same for all pairs.
    seeds = np.random.default_rng(0).integers(n_seeds, size=(N_RESAMPLES, n_seeds))
    resampled = scores[seeds]
    averages = []
    for average in (interquartile_mean, np.mean):
        point, drawn = np.asarray(average(scores, 0)), np.asarray(average(resampled, 1))
        averages.append((point, drawn))
    return averages


def _judge(pair: Pair, tolerance: float) -> Verdict:
    gap, gap_of_means = pair.gaps
    if pair.p <= ALPHA and pair.agrees:
        kind: Kind = "worse" if pair.direction > 0 else "better"
        if abs(gap) > tolerance:
            return Verdict(kind=kind, gap=gap, p=pair.p)
        if abs(gap_of_means) > tolerance:
            return Verdict(kind=kind, gap=gap_of_means, p=pair.p)
        return Verdict(kind="tied", gap=gap, p=pair.p)
    inside = all(-tolerance <= low and high <= tolerance for low, high in pair.intervals)
    if inside and len(pair.differences) > 1:
        return Verdict(kind="tied", gap=gap, p=pair.p)
    return Verdict(kind="open", gap=gap, p=pair.p, seeds_needed=seeds_to_settle(pair, tolerance))


def relative_gap(one: Matrix | float, other: Matrix | float) -> Matrix:
    """How much larger `one` is than `other`, relative to the smaller.

    Infinite if the smaller is 0 or their signs differ.
    """
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    reference = np.where(one * other > 0, np.abs(np.minimum(one, other)), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(one == other, 0.0, (one - other) / reference)


def _interval(gaps: Matrix, n_looks: int) -> tuple[float, float]:
    """The percentile bootstrap interval of resampled gaps, which may be infinite.

    95 % for one look, and for more so wide that all together err in 5 % (Bonferroni).
    """
    ends = [ENDS[0] / n_looks, 1 - (1 - ENDS[1]) / n_looks]
    low, high = np.quantile(gaps, ends, method="inverted_cdf")
    return float(low), float(high)


def probability_of_improvement(one: Matrix, other: Matrix) -> float:
    """The chance that a run of `one` (n,) scores lower than one of `other` (m,); ties count half.

    Source: Agarwal et al. 2021; the statistic of Mann and Whitney 1947.
    """
    below, equal = one[:, None] < other, one[:, None] == other
    return float((below + 0.5 * equal).mean())
