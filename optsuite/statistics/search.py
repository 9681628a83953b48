"""The results of tuning: the value of smaller budgets, and how forgiving the learning rate is."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def expected_best(scores: Values) -> Values:
    """The expected lowest of k scores drawn with replacement from all trials (n,), for k = 1 ... n.

    Source: Dodge et al. 2019, "Show your work". Trials proposed by a model are better than random
    ones, so this describes our search rather than a random one.
    """
    ordered = np.sort(scores)
    n = len(ordered)
    k = np.arange(1, n + 1)
    # (rank, k): the chance that all k draws have this rank or a later one
    at_least = ((n - np.arange(n)[:, None]) / n) ** k
    later = np.vstack([at_least[1:], np.zeros(n)])
    return np.asarray(((at_least - later) * ordered[:, None]).sum(axis=0))


def width(rates: Values, scores: Values, within: float = 0.05) -> float:
    """How many decades of learning rate give a score within 5 % of the best; nan without any.

    `rates` and `scores` have shape (n,). Between the rates tried, the score is assumed to be linear
    in the logarithm of the rate; outside of them nothing counts.
    """
    if not len(rates):
        return float("nan")
    order = np.argsort(rates, kind="stable")
    x, y = np.log10(rates[order]), scores[order]
    limit = y.min() + within * abs(y.min())
    total = 0.0
    for i in range(len(x) - 1):
        low, high = sorted((y[i], y[i + 1]))
        if high <= limit:
            total += x[i + 1] - x[i]
        elif low <= limit:
            total += (x[i + 1] - x[i]) * (limit - low) / (high - low)
    return float(total)
