"""Confirms the best trials of a search on more seeds, because a choice by one seed is luck."""

import math
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.space import LogUniform
from optsuite.definitions.suite import Suite
from optsuite.training.results import Run, RunScore
from optsuite.tuning.search import Trial, Tuned, best_rate, edge, tied

N_FINALISTS = 4
APART = 0.1  # of the searched decades: closer rates are one cluster, which its best represents


def confirm(
    benchmark: str, spec: OptimizerSpec, suite: Suite, tuned: Tuned
) -> Generator[list[Run], list[RunScore], Tuned]:
    """Train the best rates of a search on the confirmation seeds; the lowest mean wins.

    The mean is over the tuning seeds and the confirmation seeds. Where means tie, the choice of the
    search, the middle of its plateau, wins if it is among them. Nothing is trained if a single rate
    is left, or none has finished.
    """
    rates = finalists(tuned.trials, tuned.interval)
    if suite.n_confirmation_seeds == 0 or len(rates) < 2:
        return tuned
    runs = []
    for lr in rates:
        for seed in suite.confirmation_seeds:
            run = Run(
                benchmark=benchmark, optimizer=spec.name, lr=lr, seed=seed, kind="confirmation"
            )
            runs.append(run)
    scores = yield runs
    confirmed = _confirmed(tuned.trials, rates, scores, suite)
    equal = tied(confirmed)
    best = tuned.lr if tuned.lr in equal else best_rate(confirmed)
    return replace(
        tuned,
        lr=best,
        at_edge=edge(tuned.interval, best) != 0,
        n_tied=max(1, len(equal)),
        n_confirmed=len(rates),
    )


def most_runs(suite: Suite) -> int:
    """The most runs that the confirmation of a study takes."""
    n_rates = min(N_FINALISTS, suite.n_trials)
    return n_rates * suite.n_confirmation_seeds if n_rates > 1 else 0


def finalists(trials: Sequence[Trial], interval: LogUniform) -> list[float]:
    """At most N_FINALISTS rates of trials that finished, the best first, none near another.

    Rates with equal scores are in the order of their distance from the best rate.
    """
    finished = [trial for trial in trials if not math.isnan(trial.score)]
    if not finished:
        return []
    best = best_rate(finished)
    least = APART * math.log(interval.high / interval.low)

    def order(trial: Trial) -> tuple[float, float]:
        return trial.score, abs(math.log(trial.lr / best))

    chosen: list[float] = []
    for trial in sorted(finished, key=order):
        distances = [abs(math.log(trial.lr / lr)) for lr in chosen]
        if min(distances, default=math.inf) >= least:
            chosen.append(trial.lr)
    return chosen[:N_FINALISTS]


def _confirmed(
    trials: Sequence[Trial], rates: Sequence[float], scores: Sequence[RunScore], suite: Suite
) -> list[Trial]:
    """All rates with their means over all seeds, in which a diverged run counts its initial loss.

    Rates that were not confirmed have no score: they part plateaus.
    """
    n = suite.n_confirmation_seeds
    confirmed = []
    for trial in trials:
        mean = math.nan
        if trial.lr in rates:
            own = [trial.score] * suite.n_tuning_seeds
            first = rates.index(trial.lr) * n
            for score in scores[first : first + n]:
                own.append(score.value if score.outcome == "finished" else score.initial_loss)
            mean = float(np.mean(own))
        confirmed.append(Trial(lr=trial.lr, score=mean))
    return confirmed
