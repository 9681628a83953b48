"""Confirms the best rate of a search on more seeds, because a choice by one seed is luck."""

import math
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.space import LogUniform
from optsuite.definitions.suite import Suite
from optsuite.statistics.sign_flip import Matrix
from optsuite.training.results import Run, RunScore, penalized
from optsuite.tuning.search import Tuned, distinct, edge

# What confirms a rate: raise the number when this module chooses another one.
CONFIRMATION = "2"
# Of what we tried with the noise of real runs, these had the least regret for their number of runs:
# see docs/method.md.
N_RATES = 4
REACH = 0.075  # of the searched decades, to each side of the best trial: a factor of two in four
N_FITTED = 121  # rates among which the lowest of the fitted curve is chosen


def confirm(
    benchmark: str, spec: OptimizerSpec, suite: Suite, tuned: Tuned
) -> Generator[list[Run], list[RunScore], Tuned]:
    """Train rates around the best of a search on the confirmation seeds, and fit a curve to them.

    The rate at the lowest point of the curve wins. If all scores tie, the choice of the search
    does, the middle of its plateau. Nothing is trained after a single trial, or if none has
    finished.
    """
    n_seeds = suite.n_confirmation_seeds
    has_finished = any(not math.isnan(trial.score) for trial in tuned.trials)
    if n_seeds == 0 or suite.n_trials < 2 or not has_finished:
        return tuned
    rates = around(tuned.lr, tuned.interval)
    runs = []
    for lr in rates:
        for seed in suite.confirmation_seeds:
            run = Run(
                benchmark=benchmark, optimizer=spec.name, lr=lr, seed=seed, kind="confirmation"
            )
            runs.append(run)
    scores = yield runs
    best = tuned.lr
    losses = np.array(penalized(scores)).reshape(len(rates), n_seeds)
    if (losses != losses[0, 0]).any():
        (best,) = distinct([lowest(rates, losses)], taken=())
        tuned = replace(tuned, n_tied=1)
    at_edge = edge(tuned.interval, best) != 0
    return replace(tuned, lr=best, at_edge=at_edge, n_confirmed=len(rates))


def most_runs(suite: Suite) -> int:
    """The runs that the confirmation of a study takes."""
    return N_RATES * suite.n_confirmation_seeds if suite.n_trials > 1 else 0


def around(best: float, interval: LogUniform) -> list[float]:
    """N_RATES log-spaced rates with the best one in their middle, all within the interval."""
    decades = math.log10(interval.high / interval.low)
    reach = REACH * decades
    middle = math.log10(best)
    low = max(middle - reach, math.log10(interval.low))
    high = min(low + 2 * reach, math.log10(interval.high))
    low = max(high - 2 * reach, math.log10(interval.low))
    rates = list(np.logspace(low, high, N_RATES))
    return sorted(distinct(rates, taken=(), most=interval.high))


def lowest(rates: Sequence[float], losses: Matrix) -> float:
    """The rate at the lowest point of a parabola, among rates from the first to the last.

    It is fitted to the losses (rates, seeds) over the logarithm of the rate, with a level for each
    seed: to their logarithms, unless a loss is not positive.
    """
    values = losses
    if (losses > 0).all():
        values = np.log(losses)
    # The levels drop out of deviations from each seed's own mean, because all have the same rates.
    deviations = (values - values.mean(axis=0)).mean(axis=1)
    middle = np.log(rates).mean()
    positions = np.log(rates) - middle
    parabola = np.polynomial.Polynomial.fit(positions, deviations, deg=2)
    candidates = np.linspace(positions[0], positions[-1], N_FITTED)
    found = candidates[np.argmin(parabola(candidates))]
    return float(np.exp(found + middle))
