"""Campaigns confirm the best trials: such runs are stored, reused, counted and reported."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import InlinePool
from suites import tiny
from support.campaigns import go, write_tiny_suite
from support.commands import Call
from support.stores import everything, prepared

import optsuite
from optsuite import LogUniform
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign.events import Ready, StudyEnded
from optsuite.campaign.runner import studies_of
from optsuite.errors import InputError
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import open_store

SUITE = replace(tiny.SUITE, n_trials=9, n_seeds=2, n_confirmation_seeds=3)
N_CONFIRMATIONS = 4 * 3
N_RUNS = (9 + 2 + 2 + N_CONFIRMATIONS) + (9 + 2 + N_CONFIRMATIONS)


def test_confirmations_are_runs_of_their_own_kind_on_seeds_of_their_own(
    folder: Path, pool: InlinePool
) -> None:
    go(pool, SUITE)
    runs = optsuite.runs("c")
    counts = runs.groupby(["optimizer", "kind"]).size().unstack()
    assert counts["confirmation"].tolist() == [N_CONFIRMATIONS] * 2
    assert counts["trial"].tolist() == [9, 9]
    assert pool.n_trained == N_RUNS
    for _, own in runs.groupby("optimizer"):
        confirmed = own[own["kind"] == "confirmation"]
        assert set(confirmed["seed"]) == {1001, 1002, 1003}
        assert confirmed["arm"].isna().all()
        trials = own[own["kind"] == "trial"]
        best = trials.sort_values("score")["lr"].iloc[0]
        assert confirmed["lr"].min() < best < confirmed["lr"].max()
        assert confirmed.groupby("lr").size().tolist() == [3] * 4
        (tuned,) = set(own.loc[own["arm"] == "tuned", "lr"])
        assert confirmed["lr"].min() <= tuned <= confirmed["lr"].max()
    table = leaderboard(runs).set_index(["optimizer", "arm"])
    assert table.loc[("sgd", "tuned"), "confirmation_seeds"] == 3


def test_finished_confirmations_are_reused_and_other_seeds_tune_anew(
    folder: Path, pool: InlinePool
) -> None:
    go(pool, SUITE)
    expected = leaderboard(optsuite.runs("c"))
    pool.n_trained = 0
    (ready,) = [event for event in go(pool, SUITE) if isinstance(event, Ready)]
    assert (pool.n_trained, set(ready.missing.values())) == (0, {0})
    go(pool, replace(SUITE, n_confirmation_seeds=0))
    assert pool.n_trained == 4  # evaluations at other rates
    pool.n_trained = 0
    go(pool, SUITE)
    assert pool.n_trained == 0
    assert leaderboard(optsuite.runs("c")).equals(expected)
    again = replace(SUITE, first_seed=500, first_tuning_seed=700)
    go(pool, again)
    assert pool.n_trained == N_RUNS
    runs = optsuite.runs("c")
    assert set(runs.loc[runs["kind"] == "evaluation", "seed"]) == {500, 501}
    assert set(runs.loc[runs["kind"] == "trial", "seed"]) == {700}
    assert set(everything()["seed"]) >= {0, 1, 1000}  # superseded, not deleted


def test_suite_that_confirms_nothing_has_the_identity_of_before(
    folder: Path, pool: InlinePool
) -> None:
    (former, *_) = studies_of(tiny.SUITE, prepared(tiny.SUITE), device="cpu")
    numbers = {"n_trials": 10, "n_tuning_seeds": 1, "n_seeds": 3, "tolerance": 0.01}
    assert former.own_task(former.budget()) == former.own_task(numbers)
    changes = ("n_confirmation_seeds", "max_seeds", "first_seed", "first_tuning_seed")
    for change in ({name: 99} for name in changes):
        assert former.own_task(former.budget() | change) != former.own_task(numbers)


def test_lost_confirmations_are_told(
    folder: Path, pool: InlinePool, caplog: pytest.LogCaptureFixture
) -> None:
    go(pool, SUITE)
    store = open_store(tracking_uri())
    lost = optsuite.runs("c").query("kind == 'confirmation' and optimizer == 'sgd'")["run_id"]
    store.delete(lost.iloc[0])
    optsuite.runs("c")
    assert "tiny_line sgd has 11 of 12 confirmations; 'optsuite run' trains" in caplog.text
    pool.n_trained = 0
    go(pool, SUITE)
    assert pool.n_trained == 1


def test_campaigns_without_a_seed_in_common_are_not_compared(
    folder: Path, pool: InlinePool
) -> None:
    go(pool, SUITE, campaign="one")
    go(pool, replace(SUITE, first_seed=50), campaign="two")
    with pytest.raises(InputError, match="evaluated no seed in common"):
        optsuite.compare("one", "two")


@pytest.mark.parametrize("at", [10, 17, 22, 25, 31])
def test_campaign_that_was_interrupted_while_confirming_ends_with_the_same_table(
    folder: Path, pool: InlinePool, at: int
) -> None:
    go(pool, SUITE, stop=lambda: pool.n_trained >= at)
    pool.clear()
    go(pool, SUITE)
    table = leaderboard(optsuite.runs("c"))
    assert len(optsuite.runs("c").query("kind != 'study'")) == N_RUNS
    go(pool, SUITE, campaign="whole")
    assert leaderboard(optsuite.runs("whole")).equals(table)


def test_study_without_anything_to_confirm_says_how_many_runs_it_did_without(
    folder: Path, pool: InlinePool
) -> None:
    wild = replace(SUITE.optimizers[0], lr=LogUniform(low=1e5, high=1e7))
    events = go(pool, replace(SUITE, optimizers=(wild,), n_trials=2))
    (n_unneeded,) = (e.n_unneeded for e in events if isinstance(e, StudyEnded))
    assert n_unneeded == N_CONFIRMATIONS  # both trials diverge
    assert optsuite.runs("c").query("kind == 'confirmation'").empty


def test_command_tells_how_rates_are_confirmed(empty: Path, call: Call) -> None:
    write_tiny_suite(empty, "n_trials=3, n_confirmation_seeds=2")
    run = ("run", "--suite", "suite.py", "--workers", "1")
    code, out, _ = call("list", "--suite", "suite.py")
    assert "3 trials on 1 tuning seed, confirmed around the best on 2 more, 3 eval" in out
    code, out, err = call(*run, "--first-seed", "40", "--first-tuning-seed", "60")
    assert code == 0, err
    page = Path("mlruns/report/index.html").read_text()
    assert "data, confirmed by the rates around the best on 2 more seeds, and 3 fresh seeds" in page
    assert ">confirmation</td>" in page  # in the table of runs
    assert set(optsuite.runs("default").query("kind == 'evaluation'")["seed"]) == {40, 41, 42}
    code, _, err = call(*run, "--first-seed", "60", "--first-tuning-seed", "60")
    assert (code, "on which rates are tuned" in err) == (2, True)
