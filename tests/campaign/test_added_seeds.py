"""Where a verdict is open, campaigns add seeds: few at a time, alike in every start."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import InlinePool
from suites import tiny
from support.campaigns import go, write_tiny_suite
from support.commands import Call
from support.stores import everything

import optsuite
from optsuite import OPTIMIZERS, Suite
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign.events import Ready, SeedsAdded
from optsuite.errors import InputError

# sgd and rmsprop differ by less than their noise; sign is far behind.
SGD, SIGN = tiny.SUITE.optimizers
SUITE = replace(
    tiny.SUITE,
    n_trials=6,
    n_seeds=12,
    max_seeds=24,
    optimizers=(SGD, OPTIMIZERS["rmsprop"], SIGN),
)
N_FIRST = 3 * (6 + 12) + 2 * 12  # sign has no default rate
N_MORE = 2 * 12


def test_seeds_are_added_where_a_verdict_is_open(folder: Path, pool: InlinePool) -> None:
    events = go(pool, SUITE)
    (added,) = [event for event in events if isinstance(event, SeedsAdded)]
    assert added.optimizers == ("sgd", "rmsprop")
    assert (added.n_seeds, added.n_runs) == (24, N_MORE)
    assert pool.n_trained == N_FIRST + N_MORE
    runs = optsuite.runs("c")
    tuned = runs[runs["arm"] == "tuned"].groupby("optimizer")["seed"].agg(["min", "max", "size"])
    assert tuned["size"].to_dict() == {"sgd": 24, "rmsprop": 24, "sign": 12}
    assert (tuned["max"] == tuned["size"] - 1).all()
    table = leaderboard(runs)
    own = table[table["arm"] == "tuned"].set_index("optimizer")
    assert own["seeds"].to_dict() == tuned["size"].to_dict()
    assert set(own["shared_seeds"]) == {12}
    assert own.loc[["sgd", "rmsprop"], "verdict"].tolist() == ["leads", "open"]
    assert own.loc["sign", "verdict"] == "worse"
    first = runs[(runs["arm"] == "tuned") & (runs["optimizer"] == "sgd") & (runs["seed"] < 12)]
    assert own.loc["sgd", "score"] == pytest.approx(first["score"].sort_values()[3:9].mean())


def test_finished_looks_are_repeated_from_the_store(folder: Path, pool: InlinePool) -> None:
    go(pool, SUITE)
    expected = leaderboard(optsuite.runs("c"))
    pool.n_trained = 0
    events = go(pool, SUITE)
    (ready,) = [event for event in events if isinstance(event, Ready)]
    assert (pool.n_trained, set(ready.missing.values())) == (0, {0})
    assert any(isinstance(event, SeedsAdded) for event in events)
    assert leaderboard(optsuite.runs("c")).equals(expected)


@pytest.mark.parametrize("at", [N_FIRST - 3, N_FIRST + 1])
def test_campaign_that_was_interrupted_at_a_look_ends_with_the_same_table(
    folder: Path, pool: InlinePool, at: int
) -> None:
    go(pool, SUITE, stop=lambda: pool.n_trained >= at)
    assert "RUNNING" not in set(everything()["status"])
    pool.clear()
    go(pool, SUITE)
    table = leaderboard(optsuite.runs("c"))
    assert len(optsuite.runs("c").query("kind != 'study'")) == N_FIRST + N_MORE
    go(pool, SUITE, campaign="whole")
    assert leaderboard(optsuite.runs("whole")).equals(table)


def test_other_optimizers_change_who_gets_more_seeds(folder: Path, pool: InlinePool) -> None:
    few = replace(SUITE, optimizers=(SGD, SIGN))
    go(pool, few)
    assert set(optsuite.runs("c").query("kind == 'study'")["n_evaluated"]) == {12}
    go(pool, SUITE)
    grown = leaderboard(optsuite.runs("c"))
    studies = optsuite.runs("c").query("kind == 'study'").set_index("optimizer")
    assert studies["n_evaluated"].to_dict() == {"sgd": 24, "rmsprop": 24, "sign": 12}
    children = optsuite.runs("c").query("arm == 'tuned' and optimizer == 'sgd'")
    assert set(children["parent"]) == {studies.loc["sgd", "run_id"]}
    go(pool, SUITE, campaign="whole")
    assert leaderboard(optsuite.runs("whole")).equals(grown)
    pool.n_trained = 0
    go(pool, few)
    assert pool.n_trained == 0
    # What the campaign holds of the others decides too.
    assert leaderboard(optsuite.runs("c")).equals(grown)
    go(pool, SUITE)
    assert pool.n_trained == 0
    assert leaderboard(optsuite.runs("c")).equals(grown)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"max_seeds": 12}, "0, or more than n_seeds, 12"),
        ({"max_seeds": -1}, "max_seeds"),
        ({"first_seed": 985}, "no seed of 1000 to 1000, on which rates are tuned"),
    ],
)
def test_unusable_looks_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        replace(SUITE, **change)


def test_command_adds_seeds_within_a_range(empty: Path, call: Call) -> None:
    write_tiny_suite(empty, "n_trials=2, max_seeds=5")
    run = ("run", "--suite", "suite.py", "--workers", "1")
    code, out, _ = call("list", "--suite", "suite.py")
    assert "3 evaluation seeds, up to 5 where a verdict is open" in out
    code, out, err = call(*run, "--seeds", "4..8")
    assert code == 0, err
    assert "open, so up to 8 seeds of sgd, sign" in out
    page = Path("mlruns/report/index.html").read_text()
    assert "4 fresh seeds, the same for all; up to 8 where a verdict was open" in page
    assert set(optsuite.leaderboard().query("arm == 'tuned'")["seeds"]) == {8}
    for text in ("4..2", "0..3", "3..", "many", "5..9999"):
        code, _, err = call(*run, "--seeds", text)
        assert (code, err.count("\n")) == (2, 1)
        assert "--seeds" in err
    code, out, err = call(*run, "--seeds", "2", "--dry-run")
    assert code == 0, err
    assert "0 runs to train" in out
    code, out, err = call(*run, "--seeds", "4..8", "--dry-run")
    assert code == 0, err
    assert "0 runs to train" in out
    assert "Seeds: 4, and where a verdict is open up to 8" in out


def test_night_has_a_fixed_number_of_seeds(empty: Path) -> None:
    suite = Suite(
        name="tiny",
        benchmarks=tiny.SUITE.benchmarks,
        optimizers=tiny.SUITE.optimizers,
        n_trials=2,
        n_confirmation_seeds=0,
        n_seeds=2,
        max_seeds=4,
    )
    night = optsuite.nightly(suite)
    assert night.outcome == "done"
    assert set(optsuite.runs(night.campaign)["n_evaluated"].dropna()) == {2}
