"""Looks: seeds are added where a verdict is open, and the test pays for looking more than once.

A look is a number of seeds, counted from the first. Scores are losses in matrices (seeds,
optimizers) whose rows are in the order of the seeds; nan below the last seed of an optimizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from optsuite.statistics.sign_flip import (
    ALPHA,
    Matrix,
    largest_sums,
    observed_sums,
    patterns,
    relative_to_size,
)

# Of the family of Kim and DeMets (1987), which spends alpha as a power of the share of the seeds:
# with 3, the last of three looks has nearly the power of a test that looks once.
POWER_OF_SPENDING = 3


def looks_at(first: int, most: int) -> tuple[int, ...]:
    """The numbers of seeds to look at: multiples of the first, then the most; the first if alone.

    12 and 36 give 12, 24 and 36. A `most` that is not above the first means a single look.
    """
    return (*range(first, max(first, most), first), max(first, most))


def spent(looks: Sequence[int]) -> list[float]:
    """The share of alpha that is spent up to each look; 1 at the last."""
    return [(n / looks[-1]) ** POWER_OF_SPENDING for n in looks]


def n_evaluated(scores: Matrix) -> list[int]:
    """How many seeds each optimizer has."""
    return [int(n) for n in (~np.isnan(scores)).sum(axis=0)]


@dataclass(frozen=True, kw_only=True)
class _Crossed:
    """An earlier look: its differences, relative to their size, and the sum that is significant."""

    scaled: Matrix
    boundary: float


def sequential_test(scores: Matrix, looks: Sequence[int]) -> Matrix:
    """Two-sided p-values of all pairs in the order of `combinations`, adjusted for pairs and looks.

    A pair is certain if its p is at most ALPHA. At each look the pairs whose optimizers both have
    as many seeds are tested by `sign_flip.sign_flip`, and count as extreme also those patterns of
    signs that an earlier look would have called significant (alpha spending: Lan and DeMets 1983).
    Who has stopped has no later seeds: where only some pairs are left, the chance is multiplied by
    the number of all pairs over theirs (Bonferroni), since they were chosen by their scores. The p
    of a pair is the lowest over its looks, each relative to the share of alpha that is spent up to
    it. With a single look, this is the sign-flip test.
    """
    pairs = list(combinations(range(scores.shape[1]), 2))
    seeds = n_evaluated(scores)
    found = np.ones(len(pairs))
    earlier: list[_Crossed] = []
    for look, share in zip(looks, spent(looks), strict=True):
        present = [k for k, pair in enumerate(pairs) if min(seeds[i] for i in pair) >= look]
        if not present:
            break
        one, other = np.array([pairs[k] for k in present]).T
        scaled = relative_to_size((scores[:look, one] - scores[:look, other]).T)
        n_times = len(pairs) / len(present)
        p, crossed = _look(scaled, earlier, n_times=n_times, alpha=ALPHA * share)
        found[present] = np.minimum(found[present], p / share)
        earlier.append(crossed)
    return np.minimum(found, 1.0)


def _look(
    scaled: Matrix, earlier: Sequence[_Crossed], *, n_times: float, alpha: float
) -> tuple[Matrix, _Crossed]:
    """The p-values of the pairs of a look, and what is significant there at this alpha.

    `n_times` is how many times as many pairs there are in all.
    """
    parts = []
    for signs in patterns(scaled.shape):
        largest = largest_sums(signs, scaled)
        for look in earlier:
            n = look.scaled.shape[1]
            largest[largest_sums(signs[:, :n], look.scaled) >= look.boundary] = np.inf
        parts.append(largest)
    largest = np.concatenate(parts)
    n_patterns = len(largest)
    before = float(np.isinf(largest).mean())
    later = np.sort(largest[np.isfinite(largest)])
    observed = observed_sums(scaled)
    more = (len(later) - np.searchsorted(later, observed)) / n_patterns
    n_allowed = int((alpha - before) / n_times * n_patterns + 1e-9)
    boundary = later[-n_allowed] - 1e-12 if n_allowed > 0 else np.inf
    return before + n_times * more, _Crossed(scaled=scaled, boundary=float(boundary))
