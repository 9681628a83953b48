"""Optimizers across benchmarks: mean ranks, and performance profiles."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from optsuite.statistics.seeds import ENDS, N_RESAMPLES, interquartile_mean

Matrix = NDArray[np.float64]


def mean_ranks(scores: Sequence[Matrix]) -> tuple[Matrix, Matrix, Matrix]:
    """The mean rank of each optimizer over benchmarks, and the ends of its 95 % interval.

    Each result has shape (optimizers,); rank 1 is the best. Each benchmark is a matrix (seeds,
    optimizers) of scores, the lower the better; equal scores share their ranks. The interval is a
    stratified bootstrap, which resamples seeds within each benchmark, the same for all optimizers.
    It covers other seeds, not other benchmarks, and is nan if a benchmark has a single seed.
    Source: Agarwal et al. 2021.
    """
    rng = np.random.default_rng(0)
    point = np.mean([_ranks(matrix[None]) for matrix in scores], axis=0)[0]
    if min(map(len, scores)) < 2:
        return point, np.full_like(point, np.nan), np.full_like(point, np.nan)
    resampled = []
    for matrix in scores:
        n_seeds = len(matrix)
        seeds = rng.integers(n_seeds, size=(N_RESAMPLES, n_seeds))
        resampled.append(_ranks(matrix[seeds]))
    draws = np.mean(resampled, axis=0)
    low, high = np.quantile(draws, ENDS, axis=0)
    return point, low, high


def _ranks(scores: Matrix) -> Matrix:
    """The ranks (draws, optimizers) of interquartile means of scores (draws, seeds, optimizers)."""
    means = np.asarray(interquartile_mean(scores.swapaxes(1, 2)))
    return np.asarray(stats.rankdata(means, axis=-1))


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
