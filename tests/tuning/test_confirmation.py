"""The best trial is confirmed: rates around it on more seeds, and a curve through them."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from suites import tiny

from optsuite import OPTIMIZERS, LogUniform
from optsuite.training.results import Run, RunScore
from optsuite.tuning.confirmation import around, confirm, lowest, most_runs
from optsuite.tuning.search import Trial, Tuned, best_rate

ADAM = OPTIMIZERS["adam"]
SUITE = replace(tiny.SUITE, n_trials=16, n_confirmation_seeds=4)
INTERVAL = LogUniform(low=1e-5, high=1e-1)
FINISHED = RunScore(outcome="finished", value=1.0, initial_loss=3.0)
DIVERGED = RunScore(outcome="diverged", value=math.nan, initial_loss=3.0)
SCORES = {1e-3: 0.1, 1e-4: 0.3}
AROUND = [5.01e-4, 7.94e-4, 1.26e-3, 2e-3]  # 0.3 decades to each side of 0.001


def trials(scores: dict[float, float]) -> tuple[Trial, ...]:
    return tuple(Trial(lr=lr, score=score) for lr, score in scores.items())


def confirmed(
    scores: dict[float, float], answer: Callable[[Run], RunScore], **protocol: Any
) -> tuple[list[Run], Tuned]:
    """What a search with these scores has confirmed, and its result."""
    found = trials(scores)
    tuned = Tuned(lr=best_rate(found), interval=INTERVAL, at_edge=False, trials=found, n_tied=2)
    generator = confirm("b", ADAM, replace(SUITE, **protocol), tuned)
    runs: list[Run] = []
    try:
        runs = next(generator)
        generator.send([answer(run) for run in runs])
    except StopIteration as stop:
        return runs, stop.value
    raise AssertionError


def valley(lowest_at: float) -> Callable[[Run], RunScore]:
    """Scores with their lowest point at a rate, and a level for each seed that hides it."""

    def answer(run: Run) -> RunScore:
        depth = 2.0 * math.log10(run.lr / lowest_at) ** 2
        return replace(FINISHED, value=math.exp(depth + 3.0 * (run.seed % 3)))

    return answer


def test_rates_around_the_best_trial_are_trained_on_all_confirmation_seeds() -> None:
    runs, tuned = confirmed(SCORES, valley(1e-3))
    assert {(run.kind, run.arm) for run in runs} == {("confirmation", None)}
    assert [(run.lr, run.seed) for run in runs] == [
        (lr, seed) for lr in AROUND for seed in (1001, 1002, 1003, 1004)
    ]
    assert (tuned.n_confirmed, tuned.n_tied) == (4, 1)
    assert tuned.trials == trials(SCORES)  # confirmations are no trials


@pytest.mark.parametrize("rate", [6e-4, 8e-4, 1e-3, 1.3e-3, 1.8e-3])
def test_lowest_point_between_the_rates_wins_whatever_the_level_of_a_seed(rate: float) -> None:
    _, tuned = confirmed(SCORES, valley(rate))
    assert tuned.lr == pytest.approx(rate, rel=0.01)
    assert tuned.lr == float(f"{tuned.lr:.2e}")


@pytest.mark.parametrize(("rate", "expected"), [(1e-5, AROUND[0]), (1e-1, AROUND[-1])])
def test_nothing_beyond_the_confirmed_rates_wins(rate: float, expected: float) -> None:
    assert confirmed(SCORES, valley(rate))[1].lr == expected


def test_diverged_runs_lead_away_from_their_rates() -> None:
    def answer(run: Run) -> RunScore:
        return DIVERGED if run.lr > 1e-3 and run.seed > 1002 else FINISHED

    assert confirmed(SCORES, answer)[1].lr < 1e-3


def test_scores_that_are_not_positive_are_fitted_as_they_are() -> None:
    def answer(run: Run) -> RunScore:
        return replace(FINISHED, value=math.log10(run.lr / 1.2e-3) ** 2 - 5.0)

    assert confirmed(SCORES, answer)[1].lr == pytest.approx(1.2e-3, rel=0.01)


def test_where_all_scores_tie_the_choice_of_the_search_stays() -> None:
    _, tuned = confirmed(SCORES, lambda run: replace(FINISHED, value=0.0))
    assert (tuned.lr, tuned.n_tied, tuned.n_confirmed) == (1e-3, 2, 4)


def test_rate_that_wins_at_the_edge_is_flagged() -> None:
    assert not confirmed(SCORES, valley(1e-3))[1].at_edge
    assert confirmed({1e-1: 0.1, 1e-3: 0.2}, valley(1e-1))[1].at_edge


@pytest.mark.parametrize("best", [1e-5, 1.01e-5, 1e-4, 9.9e-2, 1e-1])
@pytest.mark.parametrize("decades", [0.01, 1, 4, 5])
def test_rates_around_the_best_are_distinct_and_within_the_interval(
    best: float, decades: float
) -> None:
    interval = LogUniform(low=best / 10**decades, high=best)
    for edge in (LogUniform(low=best, high=best * 10**decades), interval):
        rates = around(best, edge)
        assert len(set(rates)) == 4
        assert rates == sorted(rates)
        assert rates[0] >= edge.low * 0.95
        assert rates[-1] <= edge.high * 1.02  # three digits, made distinct by the last one


def test_one_seed_is_fitted_and_more_average() -> None:
    losses = np.array([[1.0, 1.2, 0.9, 1.1], [0.8, 1.0, 1.0, 0.9], [1.2, 0.8, 1.1, 1.0]])
    rates = [1e-3, 2e-3, 4e-3]
    assert lowest(rates, losses[:, :1]) == pytest.approx(1.78e-3, rel=0.02)
    assert rates[0] <= lowest(rates, losses) <= rates[-1]


def test_regret_is_lower_than_that_of_the_search() -> None:
    rng = np.random.default_rng(0)
    chosen, fitted = [], []
    for _ in range(200):
        best = 1e-3 * 10 ** rng.normal(0, 0.15)  # by the luck of one seed; the lowest is at 0.001
        rates = around(best, INTERVAL)
        depths = 2.0 * np.log10(np.array(rates) / 1e-3) ** 2
        losses = np.exp(depths[:, None] + rng.normal(0, 0.08, (4, 6)) + rng.normal(0, 0.1, 6))
        chosen.append(math.log10(best / 1e-3) ** 2)
        fitted.append(math.log10(lowest(rates, losses) / 1e-3) ** 2)
    assert np.mean(fitted) < 0.3 * np.mean(chosen)


@pytest.mark.parametrize(
    ("scores", "protocol"),
    [
        (SCORES, {"n_confirmation_seeds": 0}),
        ({1e-2: 0.1}, {"n_trials": 1}),
        ({1e-2: math.nan, 1e-3: math.nan}, {}),
    ],
    ids=["no seeds", "one trial", "all diverged"],
)
def test_nothing_is_trained_where_nothing_can_be_confirmed(
    scores: dict[float, float], protocol: dict[str, int]
) -> None:
    runs, tuned = confirmed(scores, lambda run: FINISHED, **protocol)
    assert (runs, tuned.lr, tuned.n_tied) == ([], best_rate(trials(scores)), 2)
    assert tuned.n_confirmed == 0


def test_most_runs_are_those_of_four_rates() -> None:
    assert most_runs(SUITE) == 16
    assert most_runs(replace(SUITE, n_trials=1)) == 0  # there is no choice
    assert most_runs(replace(SUITE, n_confirmation_seeds=0)) == 0
