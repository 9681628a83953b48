"""Optimizers across benchmarks: median gaps to the best, and performance profiles."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optsuite.statistics.differences import relative_gap
from optsuite.statistics.seeds import ENDS, N_RESAMPLES, interquartile_mean

Matrix = NDArray[np.float64]


def median_gaps(scores: Sequence[Matrix]) -> tuple[Matrix, Matrix, Matrix]:
    """The median over benchmarks of each optimizer's gap to the best, and the 95 % interval.

    Each result has shape (optimizers,). A gap is how much higher a score is than the lowest of its
    benchmark, relative to it. Each benchmark is a matrix (seeds, optimizers) of scores, the lower
    the better, with nan for an optimizer that was not compared there, and infinity for one that
    diverged on every seed. The interval is a bootstrap that resamples benchmarks, and seeds within
    each, the same for all optimizers. With one benchmark it covers other seeds alone. It is nan if
    a benchmark has a single seed.
    """
    point = _median(np.stack([_gaps(matrix[None]) for matrix in scores]))[0]
    if min(map(len, scores)) < 2:
        return point, np.full_like(point, np.nan), np.full_like(point, np.nan)
    rng = np.random.default_rng(0)
    drawn = []
    for matrix in scores:
        n_seeds = len(matrix)
        seeds = rng.integers(n_seeds, size=(N_RESAMPLES, n_seeds))
        drawn.append(_gaps(matrix[seeds]))
    gaps = np.stack(drawn)
    chosen = rng.integers(len(scores), size=(len(scores), N_RESAMPLES))
    medians = _median(gaps[chosen, np.arange(N_RESAMPLES)])
    # Infinite gaps cannot be interpolated between.
    low, high = np.nanquantile(medians, ENDS, axis=0, method="inverted_cdf")
    return point, low, high


def _gaps(scores: Matrix) -> Matrix:
    """The gaps (draws, optimizers) of scores (draws, seeds, optimizers)."""
    means = np.asarray(interquartile_mean(scores.swapaxes(1, 2)))
    gaps = relative_gap(means, np.nanmin(means, axis=1, keepdims=True))
    return np.where(np.isposinf(means), np.inf, gaps)


def _median(gaps: Matrix) -> Matrix:
    """The median (draws, optimizers) of gaps (benchmarks, draws, optimizers) without nan."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all are nan: not compared in this draw
        return np.asarray(np.nanmedian(gaps, axis=0))


def performance_profile(steps: Matrix, ratios: Sequence[float]) -> Matrix:
    """The fraction of problems that each optimizer solves within each multiple of the fewest steps.

    `steps` is (problems, optimizers), infinite for a miss; problems that no optimizer solves are
    ignored. Returns (optimizers, ratios). Source: Dolan and Moré 2002.
    """
    solved = steps[np.isfinite(steps).any(axis=1)]
    if not len(solved):
        return np.full((steps.shape[1], len(ratios)), np.nan)
    relative = solved / solved.min(axis=1, keepdims=True)
    return np.asarray((relative[:, :, None] <= np.asarray(ratios)).mean(axis=0))
