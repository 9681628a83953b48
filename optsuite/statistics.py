"""Statistics over seeds: pure functions on arrays, seeded where they draw random numbers."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

N_RESAMPLES = 2_000
CONFIDENCE = 0.95


Values = Sequence[float] | NDArray[np.float64]


def interquartile_mean(values: Values, axis: int = -1) -> float:
    """The mean of the middle half of the values (n,), robust as a median but more efficient; nan without any.

    Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".
    """
    return stats.trim_mean(values, 0.25, axis=axis) if len(values) else np.nan


def bootstrap_interval(values: Values) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the interquartile mean of values (n,); nan without a second value."""
    if len(values) < 2:
        return np.nan, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # equal values: the interval is that value
        result = stats.bootstrap(
            (np.asarray(values),),
            interquartile_mean,
            n_resamples=N_RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
