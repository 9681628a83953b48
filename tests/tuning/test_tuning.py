import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from suites import tiny

from optsuite import OPTIMIZERS, LogUniform, OptimizerSpec
from optsuite.training.results import Run, RunScore
from optsuite.tuning.protocol import default_runs, tuned_runs
from optsuite.tuning.search import (
    Proposals,
    Trial,
    Tuned,
    best_rate,
    distinct,
    edge,
    initial_rates,
    propose,
    round_sizes,
    tune,
    widen,
)

ADAM = OPTIMIZERS["adam"]  # searched from 1e-5 to 1e-1
SUITE = replace(tiny.SUITE, n_trials=16, n_tuning_seeds=1)


def answer(optimum: float, cliff: float = math.inf) -> Callable[[Run], RunScore]:
    """A loss that is a parabola over the decades, and diverges above the cliff."""

    def score(run: Run) -> RunScore:
        if run.lr > cliff:
            return RunScore(outcome="diverged", value=math.nan, initial_loss=3.0)
        loss = 0.1 + 0.2 * math.log10(run.lr / optimum) ** 2
        return RunScore(outcome="finished", value=loss, initial_loss=3.0)

    return score


def study(
    answer: Callable[[Run], RunScore], spec: OptimizerSpec = ADAM, n_trials: int = 16
) -> tuple[list[list[Run]], Tuned]:
    """The rounds that the study requested, and what it found."""
    generator = tune("b", spec, replace(SUITE, n_trials=n_trials), Proposals())
    rounds = [next(generator)]
    while True:
        try:
            rounds.append(generator.send([answer(run) for run in rounds[-1]]))
        except StopIteration as stop:
            return rounds, stop.value


def test_rounds_are_of_eight_and_four_and_sum_to_n_trials() -> None:
    rounds, tuned = study(answer(3e-3))
    assert [len(runs) for runs in rounds] == [8, 4, 4]
    assert len(tuned.trials) == 16
    assert [len(runs) for runs in study(answer(3e-3), n_trials=10)[0]] == [8, 2]
    assert [len(runs) for runs in study(answer(3e-3), n_trials=3)[0]] == [3]
    assert [round_sizes(n) for n in (1, 8, 10, 16)] == [[1], [8], [8, 2], [8, 4, 4]]


def test_initial_rates_contain_the_default() -> None:
    for n in (1, 2, 5, 8):
        assert ADAM.default_lr in initial_rates(ADAM.lr, n, ADAM.default_lr)
    assert initial_rates(LogUniform(low=0.01, high=1.0), 3, None) == [0.01, 0.1, 1.0]
    assert initial_rates(LogUniform(low=0.01, high=1.0), 1, None) == [0.1]
    assert initial_rates(LogUniform(low=0.01, high=1.0), 3, 50.0) == [0.01, 0.1, 1.0]


def test_study_finds_the_optimum() -> None:
    _, tuned = study(answer(2.5e-3, cliff=2e-2))
    assert tuned.lr == pytest.approx(2.5e-3, rel=0.1)
    assert not tuned.at_edge


def test_replay_requests_the_same_runs() -> None:
    assert study(answer(2.5e-3)) == study(answer(2.5e-3))


def test_rates_are_distinct_and_have_three_digits() -> None:
    rounds, _ = study(answer(2.5e-3))
    rates = [run.lr for runs in rounds for run in runs]
    assert len(set(rates)) == 16
    assert all(float(f"{rate:.3g}") == rate for rate in rates)
    assert distinct([0.1, 0.1001, 0.0999], taken=[0.101]) == [0.1, 0.102, 0.0999]
    assert distinct([9.99e-3, 9.99e-3], taken=[]) == [9.99e-3, 1.01e-2]
    assert distinct([0.1, 0.1], taken=[0.1], most=0.1) == [0.099, 0.098]


def test_search_with_the_best_rate_at_the_edge_goes_a_decade_further() -> None:
    rounds, tuned = study(answer(0.8))
    assert max(run.lr for run in rounds[0]) == 0.1
    assert max(run.lr for runs in rounds for run in runs) > 0.1
    assert tuned.lr == pytest.approx(0.8, rel=0.2)
    assert tuned.interval.high > 0.1
    assert len(tuned.trials) == 16
    low, _ = study(answer(1e-6))
    assert min(run.lr for runs in low for run in runs) < 1e-5


def test_best_rate_still_at_the_edge_is_flagged() -> None:
    assert study(answer(1e6))[1].at_edge
    assert study(answer(0.1), n_trials=8)[1].at_edge
    interval = LogUniform(low=1e-4, high=1.0)
    rates = (1e-4, 2.4e-4, 2.6e-4, 0.39, 0.41, 1.0)
    assert [edge(interval, lr) for lr in rates] == [-1, -1, 0, 0, 1, 1]
    assert widen(interval, 1.0) == LogUniform(low=1e-4, high=10.0)
    assert widen(interval, 1e-4) == LogUniform(low=1e-5, high=1.0)
    assert widen(interval, 1e-2) == interval


def test_study_after_divergence_proposes_smaller_rates() -> None:
    rounds, tuned = study(answer(1e-3, cliff=1.5e-3))
    later = [run.lr for runs in rounds[1:] for run in runs]
    assert sum(lr > 1.5e-3 for lr in later) <= 3
    assert tuned.lr < 1.5e-3
    assert sum(math.isnan(trial.score) for trial in tuned.trials) >= 3


def test_study_in_which_all_runs_diverge_chooses_the_smallest_rate() -> None:
    _, tuned = study(answer(1e-3, cliff=0.0))
    assert tuned.lr == min(trial.lr for trial in tuned.trials)


def test_score_of_a_trial_is_the_mean_over_its_seeds_and_nan_if_one_diverged() -> None:
    spec = replace(ADAM, default_lr=None)
    suite = replace(SUITE, n_trials=2, n_tuning_seeds=2)
    generator = tune("b", spec, suite, Proposals())
    pairs = [(run.lr, run.seed) for run in next(generator)]
    assert pairs == [(1e-5, 1000), (1e-5, 1001), (0.1, 1000), (0.1, 1001)]
    scores = [
        RunScore(outcome="finished", value=1.0, initial_loss=9.0),
        RunScore(outcome="finished", value=3.0, initial_loss=9.0),
        RunScore(outcome="finished", value=1.0, initial_loss=9.0),
        RunScore(outcome="diverged", value=math.nan, initial_loss=9.0),
    ]
    with pytest.raises(StopIteration) as stop:
        generator.send(scores)
    found = [trial.score for trial in stop.value.value.trials]
    assert found == pytest.approx([2.0, math.nan], nan_ok=True)


def test_best_rate_of_two_equals_is_the_smaller() -> None:
    trials = [
        Trial(lr=0.1, score=1.0),
        Trial(lr=0.01, score=1.0),
        Trial(lr=0.001, score=math.nan),
    ]
    assert best_rate(trials) == 0.01


def test_proposals_beside_trials_outside_the_interval_stay_inside() -> None:
    interval = LogUniform(low=1e-3, high=1e-1)
    trials = [Trial(lr=lr, score=abs(math.log10(lr))) for lr in (9.99e-4, 1e-3, 1e-2, 1.01e-1)]
    assert all(9.99e-4 <= lr <= 0.102 for lr in propose(trials, 9.0, interval, 4, seed=1))


def test_evaluations_use_fresh_seeds_at_the_tuned_and_the_default_rate() -> None:
    tuned = [(run.arm, run.lr, run.seed) for run in tuned_runs("b", ADAM, SUITE, 0.02)]
    assert tuned == [("tuned", 0.02, seed) for seed in range(3)]
    default = [(run.arm, run.lr, run.seed) for run in default_runs("b", ADAM, SUITE)]
    assert default == [("default", 0.001, seed) for seed in range(3)]
    assert default_runs("b", tiny.SUITE.optimizers[1], SUITE) == []


def test_proposals_are_read_back_unless_their_text_was_altered() -> None:
    proposals = Proposals({"a": [1e-3, 0.25], "b": [4.0]})
    text = proposals.text()
    assert Proposals.read(text) == proposals
    for position in range(len(text)):
        assert Proposals.read(text[:position] + "7" + text[position + 1 :]) in ({}, proposals)
    assert not Proposals.read("")
    assert not Proposals().text()
    assert Proposals({str(i): [0.1] for i in range(1000)}).text() == ""
