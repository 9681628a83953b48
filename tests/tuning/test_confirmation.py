"""The best trials of a search are confirmed on more seeds, and the lowest mean wins."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from suites import tiny

from optsuite import OPTIMIZERS, LogUniform
from optsuite.training.results import Run, RunScore
from optsuite.tuning.confirmation import confirm, finalists, most_runs
from optsuite.tuning.search import Trial, Tuned, best_rate

ADAM = OPTIMIZERS["adam"]
SUITE = replace(tiny.SUITE, n_trials=16, n_confirmation_seeds=4)
INTERVAL = LogUniform(low=1e-5, high=1e-1)  # rates are apart by 0.4 decades, a factor of 2.5
FINISHED = RunScore(outcome="finished", value=1.0, initial_loss=3.0)


def trials(scores: dict[float, float]) -> tuple[Trial, ...]:
    return tuple(Trial(lr=lr, score=score) for lr, score in scores.items())


def confirmed(
    scores: dict[float, float], answer: Callable[[Run], RunScore], **protocol: Any
) -> tuple[list[Run], Tuned]:
    """What a search with these scores has confirmed, and its result."""
    found = trials(scores)
    lr = best_rate(found)
    tuned = Tuned(lr=lr, interval=INTERVAL, at_edge=False, trials=found, n_tied=2)
    generator = confirm("b", ADAM, replace(SUITE, **protocol), tuned)
    runs: list[Run] = []
    try:
        runs = next(generator)
        generator.send([answer(run) for run in runs])
    except StopIteration as stop:
        return runs, stop.value
    raise AssertionError


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({1e-2: 0.1, 1.01e-2: 0.11, 1e-3: 0.3, 2.6e-3: 0.2}, [1e-2, 2.6e-3, 1e-3]),
        ({1e-2: 0.2, 1.01e-2: 0.1, 2.4e-2: 0.15}, [1.01e-2]),
        ({1e-5: 5, 1e-4: 4, 1e-3: 3, 1e-2: 2, 1e-1: 1}, [1e-1, 1e-2, 1e-3, 1e-4]),
        ({1e-3: math.nan, 1e-2: 0.2}, [1e-2]),
        ({1e-3: math.nan, 1e-2: math.nan}, []),
        # Of equals, the middle of the plateau comes first, then its neighbors.
        ({1e-4: 0, 1e-3: 0, 1e-2: 0, 1e-1: 9}, [1e-3, 1e-4, 1e-2, 1e-1]),
        ({1e-4: -1.0, 1e-3: -2.0}, [1e-3, 1e-4]),
    ],
    ids=["clusters", "better of a cluster", "four", "diverged", "none", "plateau", "negative"],
)
def test_finalists_are_the_best_of_each_cluster(
    scores: dict[float, float], expected: list[float]
) -> None:
    found = finalists(trials(scores), INTERVAL)
    assert found[0] == expected[0] if expected else not found
    assert sorted(found) == sorted(expected)


def test_lowest_mean_over_all_seeds_wins() -> None:
    def answer(run: Run) -> RunScore:
        return replace(FINISHED, value={1e-2: 0.50, 1e-3: 0.40}[run.lr])

    runs, tuned = confirmed({1e-2: 0.1, 1e-3: 0.3}, answer)
    assert {run.kind for run in runs} == {"confirmation"}
    assert {run.arm for run in runs} == {None}
    assert [(run.lr, run.seed) for run in runs] == [
        (lr, seed) for lr in (1e-2, 1e-3) for seed in (1001, 1002, 1003, 1004)
    ]
    assert (tuned.lr, tuned.n_tied) == (1e-3, 1)  # (0.3 + 4 * 0.4) / 5 < (0.1 + 4 * 0.5) / 5
    _, lucky = confirmed({1e-2: 0.1, 1e-3: 0.6}, answer)
    assert lucky.lr == 1e-2  # (0.1 + 4 * 0.5) / 5 < (0.6 + 4 * 0.4) / 5


def test_trials_on_several_seeds_weigh_as_much_as_their_seeds() -> None:
    def answer(run: Run) -> RunScore:
        return replace(FINISHED, value={1e-2: 0.50, 1e-3: 0.40}[run.lr])

    scores = {1e-2: 0.3, 1e-3: 0.35}
    assert confirmed(scores, answer, n_confirmation_seeds=1)[1].lr == 1e-3
    runs, tuned = confirmed(scores, answer, n_confirmation_seeds=1, n_tuning_seeds=3)
    assert tuned.lr == 1e-2
    assert {run.seed for run in runs} == {1003}


def test_diverged_run_counts_as_its_initial_loss() -> None:
    def answer(run: Run) -> RunScore:
        if (run.lr, run.seed) == (1e-2, 1002):
            return RunScore(outcome="diverged", value=math.nan, initial_loss=3.0)
        return replace(FINISHED, value={1e-2: 0.1, 1e-3: 0.6}[run.lr])

    assert confirmed({1e-2: 0.1, 1e-3: 0.6}, answer)[1].lr == 1e-3
    assert confirmed({1e-2: 0.1, 1e-3: 0.8}, answer)[1].lr == 1e-3  # 0.64 < 0.68
    assert confirmed({1e-2: 0.1, 1e-3: 1.1}, answer)[1].lr == 1e-2  # 0.70 > 0.68


def test_where_means_tie_the_middle_of_the_plateau_wins() -> None:
    scores = {1e-4: 0.0, 1e-3: 0.0, 1e-2: 0.0, 1e-1: 1.0}
    _, tuned = confirmed(scores, lambda run: replace(FINISHED, value=float(run.lr == 1e-1)))
    assert (tuned.lr, tuned.n_tied, tuned.n_confirmed) == (1e-3, 3, 4)
    assert tuned.trials == trials(scores)  # confirmations are no trials


def test_choice_of_the_search_wins_a_tie_on_a_plateau_of_more_rates_than_are_confirmed() -> None:
    grid = [1e-4, 3.73e-4, 1.39e-3, 5.18e-3, 1.93e-2, 7.2e-2, 2.68e-1, 1.0]
    scores = {lr: float(lr < 1e-3) for lr in grid}
    runs, tuned = confirmed(scores, lambda run: replace(FINISHED, value=0.0))
    assert len({run.lr for run in runs}) == 4
    assert tuned.lr == best_rate(trials(scores)) == 7.2e-2


def test_rates_on_both_sides_of_worse_ones_are_no_plateau() -> None:
    scores = {1e-4: 0.0, 1e-3: 2.0, 1e-2: -1.0, 1e-1: 1.0}

    def answer(run: Run) -> RunScore:
        # The choice of the search, 0.01, turns out to be worse; the others tie.
        value = {1e-4: 1.0, 1e-3: 0.5, 1e-2: 9.0, 1e-1: 0.75}[run.lr]
        return replace(FINISHED, value=value)

    _, tuned = confirmed(scores, answer)
    assert tuned.n_tied == 3
    assert tuned.lr == 1e-4  # of 0.0001 to 0.001 and 0.1, the wider plateau; the smaller of two


def test_rate_that_wins_at_the_edge_is_flagged() -> None:
    def answer(run: Run) -> RunScore:
        return replace(FINISHED, value=1 - run.lr)

    assert confirmed({1e-2: 0.1, 1e-1: 0.2}, answer)[1].at_edge


@pytest.mark.parametrize(
    ("scores", "protocol"),
    [
        ({1e-2: 0.1, 1e-3: 0.3}, {"n_confirmation_seeds": 0}),
        ({1e-2: 0.1}, {}),
        ({1e-2: math.nan, 1e-3: math.nan}, {}),
    ],
    ids=["no seeds", "one rate", "all diverged"],
)
def test_nothing_is_trained_where_nothing_can_be_confirmed(
    scores: dict[float, float], protocol: dict[str, int]
) -> None:
    runs, tuned = confirmed(scores, lambda run: FINISHED, **protocol)
    assert (runs, tuned.lr, tuned.n_tied) == ([], best_rate(trials(scores)), 2)
    assert tuned.n_confirmed == 0


def test_most_runs_are_those_of_four_rates_or_of_all_trials() -> None:
    assert most_runs(SUITE) == 16
    assert most_runs(replace(SUITE, n_trials=3)) == 12
    assert most_runs(replace(SUITE, n_trials=1)) == 0  # there is no choice
    assert most_runs(replace(SUITE, n_confirmation_seeds=0)) == 0
