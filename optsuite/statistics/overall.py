"""Optimizers across benchmarks: ranks, and profiles of how often one is how much slower than the fastest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from optsuite.statistics.seeds import ENDS, N_RESAMPLES, interquartile_mean

Matrix = NDArray[np.float64]


def mean_ranks(scores: Sequence[Matrix]) -> tuple[Matrix, Matrix, Matrix]:
    """The mean rank of each optimizer over benchmarks, 1 being the best, and the ends of its 95 % interval, each (optimizers,).

    Each benchmark is a matrix (seeds, optimizers) of scores, lower being better; equals share their ranks. The interval is a
    stratified bootstrap: seeds are drawn again within each benchmark, the same for all optimizers. It says what other seeds
    might have given, not other benchmarks; with a single seed anywhere there is none. Source: Agarwal et al. 2021.
    """
    rng = np.random.default_rng(0)
    point = np.mean([_ranks(matrix[None]) for matrix in scores], axis=0)[0]
    if min(len(matrix) for matrix in scores) < 2:
        return point, np.full_like(point, np.nan), np.full_like(point, np.nan)
    resampled = [
        matrix[rng.integers(len(matrix), size=(N_RESAMPLES, len(matrix)))] for matrix in scores
    ]
    draws = np.mean([_ranks(matrix) for matrix in resampled], axis=0)
    low, high = np.quantile(draws, ENDS, axis=0)
    return point, low, high


def _ranks(scores: Matrix) -> Matrix:
    """The ranks (draws, optimizers) of the interquartile means of scores (draws, seeds, optimizers)."""
    means = np.asarray(interquartile_mean(scores.swapaxes(1, 2)))
    return np.asarray(stats.rankdata(means, axis=-1))


def performance_profile(steps: Matrix, ratios: Sequence[float]) -> Matrix:
    """For each optimizer and ratio, the fraction of problems that it solves in at most so many times the best one's steps.

    `steps` is (problems, optimizers), a miss infinite; problems that nobody solves are left out. Returns (optimizers, ratios).
    Source: Dolan and Moré 2002.
    """
    solved = steps[np.isfinite(steps).any(axis=1)]
    if not len(solved):
        return np.full((steps.shape[1], len(ratios)), np.nan)
    relative = solved / solved.min(axis=1, keepdims=True)
    return np.asarray((relative[:, :, None] <= np.asarray(ratios)).mean(axis=0))
