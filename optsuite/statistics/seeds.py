"""One optimizer on one benchmark: statistics of a score over seeds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

N_RESAMPLES = 2_000
ENDS = (0.025, 0.975)  # the quantiles at the ends of a 95 % interval
MODE = 2  # the fewest seeds of a mode: a single one is an outlier
FEWEST_FOR_MODES = 8  # with fewer, such gaps are common in one normal distribution

Values = Sequence[float] | NDArray[np.float64]


def interquartile_mean(values: Values, axis: int = -1) -> float:
    """The mean of the middle half of the values (n,); nan without any.

    It is as robust as a median but more efficient. Source: Agarwal et al. 2021, "Deep reinforcement
    learning at the edge of the statistical precipice".
    """
    return stats.trim_mean(values, 0.25, axis=axis) if len(values) else np.nan


def bootstrap_interval(values: Values) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the interquartile mean of values (n,).

    nan with fewer than two values.
    """
    values = np.asarray(values)
    if len(values) < 2:
        return np.nan, np.nan
    draws = np.random.default_rng(0).integers(len(values), size=(N_RESAMPLES, len(values)))
    low, high = np.quantile(interquartile_mean(values[draws]), ENDS)
    return float(low), float(high)


def is_bimodal(values: Values) -> bool:
    """Whether at least 8 values (n,) fall into two groups.

    That is a gap above half their range, with at least two values on either side. The rule is ours:
    for 12 values from one normal distribution it holds in less than 1 of 100 samples. A dip test
    has almost no power with so few values.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if len(ordered) < FEWEST_FOR_MODES:
        return False
    gaps = np.diff(ordered)[MODE - 1 : len(ordered) - MODE]
    return bool(len(gaps)) and bool(gaps.max() > (ordered[-1] - ordered[0]) / 2)
