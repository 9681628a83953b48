"""Ranks and verdicts of a leaderboard: best, tied, open, and what is not ranked."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from support.frames import NAN, around, frame, run, seeds, study
from support.reports import table

from optsuite.analysis.columns import columns_for
from optsuite.analysis.leaderboard import leaderboard
from optsuite.analysis.statements import verdict
from optsuite.reporting.text import markdown


def said(result: pd.DataFrame) -> list[str]:
    """The statements of the verdicts."""
    return [verdict(row) for row in result.to_dict("records")]


def test_leaderboard_puts_best_first_with_gap() -> None:
    rows = [*seeds("a", around(2.5)), *seeds("b", around(1.0)), *seeds("c", around(1.1))]
    result = leaderboard(frame(*rows))
    assert result["optimizer"].tolist() == ["b", "c", "a"]
    assert result["rank"].tolist() == [1, 2, 3]
    assert result["verdict"].tolist() == ["best", "worse", "worse"]
    assert said(result) == ["best", "10.0% worse", "2.5x worse"]
    assert result["gap"].round(3).tolist() == [0, 0.1, 1.5]
    assert result["prob_improvement"].tolist() == [0.5, 0, 0]
    assert list(result.columns) == [column.name for column in columns_for(["accuracy"])]


def test_optimizer_entered_twice_shares_its_rank() -> None:
    rng = np.random.default_rng(0)
    scores = list(rng.lognormal(size=12))
    result = table(*seeds("a", scores), *seeds("b", scores), *seeds("c", [s * 30 for s in scores]))
    assert [result[name, "tuned"]["rank"] for name in "abc"] == [1, 1, 3]
    assert [result[name, "tuned"]["verdict"] for name in "ab"] == ["tied"] * 2
    assert verdict(result["c", "tuned"]) == "30x worse"
    exclusive = table(*seeds("a", scores), *seeds("b", scores))
    assert {row["verdict"] for row in exclusive.values()} == {"tied"}


def test_certain_difference_below_the_tolerance_is_a_tie() -> None:
    rows = [
        *seeds("a", around(1.0)),
        *seeds("b", [1.005 * score for score in around(1.0)]),
        *seeds("c", around(2.0)),
    ]
    result = table(*rows)
    assert [verdict(result[name, "tuned"]) for name in "abc"] == [
        "tied with best",
        "tied with best",
        "2x worse",
    ]
    strict = [row | {"tolerance": 0.001} for row in rows]
    assert verdict(table(*strict)["b", "tuned"]) == "0.5% worse"


def test_uncertain_verdict_is_open_and_names_remedy() -> None:
    rng = np.random.default_rng(1)
    noisy = [
        *seeds("a", list(rng.normal(1.0, 0.2, 12))),
        *seeds("b", list(rng.normal(1.05, 0.2, 12))),
    ]
    result = table(*noisy)
    assert sorted(row["verdict"] for row in result.values()) == ["leads", "open"]
    opened = next(row for row in result.values() if row["verdict"] == "open")
    assert re.fullmatch(r"open: [0-9.]+% worse \(.*more seeds.*\)", verdict(opened))
    assert opened["p"] > 0.04
    assert pd.isna(opened["seeds_needed"]) or opened["seeds_needed"] > 0
    few = table(*seeds("a", around(1.0, 4)), *seeds("b", around(2.0, 4)))
    assert verdict(few["b", "tuned"]) == "open: 2x worse (needs at least 6 seeds, not 4)"
    assert {row["rank"] for row in few.values()} == {1}


def test_diverged_run_counts_as_the_worst_of_its_benchmark() -> None:
    rows = [run("a", score, seed) for seed, score in enumerate([1.0, NAN, NAN, 1.0])]
    result = table(*rows, study("a", 4), *(run("b", 2.0, seed) for seed in range(4)), study("b", 4))
    row = result["a", "tuned"]
    assert (row["diverged"], row["seeds"]) == (2, 4)
    assert row["score"] == 5.0  # the middle half of 1, 1, 9, 9
    assert row["test_loss"] == 6.0
    assert row["test_accuracy"] == 0.45
    assert row["steps_to_target"] == math.inf
    assert result["b", "tuned"]["verdict"] == "leads"


def test_optimizer_that_always_diverges_is_never_best() -> None:
    result = table(run("a", NAN), study("a"))
    assert result["a", "tuned"]["verdict"] == "diverged"
    assert pd.isna(result["a", "tuned"]["rank"])
    assert result["a", "tuned"]["score"] == 9.0
    assert (
        markdown(leaderboard(frame(run("a", NAN), study("a"))), "c", []).count(
            "diverged on every seed"
        )
        == 1
    )


def test_runs_that_never_improve_are_counted() -> None:
    row = table(run("a", 9.0) | {"best/step": 0.0}, study("a"))["a", "tuned"]
    assert row["never_improved"] == 1


def test_failed_runs_are_counted_and_not_ranked() -> None:
    failed = run("a", NAN, 1) | {"outcome": "failed"}
    row = table(run("a", 1.0), failed, study("a", 2))["a", "tuned"]
    assert (row["failed"], row["seeds"], row["score"], verdict(row)) == (1, 1, 1.0, "1 failed")
    assert pd.isna(row["rank"])
    only = table(failed)["a", "tuned"]
    assert math.isnan(only["score"])


def test_study_that_failed_while_tuning_has_a_row() -> None:
    failed = study("a") | {"outcome": "failed", "status": "FAILED"}
    result = table(failed, run("b", 2.0), study("b"), run("c", 3.0), study("c"))
    assert (result["a", "tuned"]["verdict"], result["a", "tuned"]["failed"]) == ("failed", 1)
    assert result["b", "tuned"]["verdict"] == "leads"
    assert table(failed)["a", "tuned"]["verdict"] == "failed"
    assert "failed" in markdown(leaderboard(frame(failed)), "c", [])


def test_unfinished_study_is_not_ranked() -> None:
    result = table(run("a", 1.0), run("b", 2.0), study("b"), run("c", 3.0), study("c"))
    assert result["a", "tuned"]["verdict"] == "incomplete"
    assert result["b", "tuned"]["verdict"] == "leads"
    half = table(run("a", 1.0), run("a", 2.0, arm="default"), study("a", 2))
    assert {row["verdict"] for row in half.values()} == {"incomplete"}


def test_only_studies_with_most_common_budget_are_ranked() -> None:
    common = (run("b", 2.0), study("b"), run("c", 3.0), study("c"))
    for other in (study("a", n_trials=4), study("a", n_trials=99), study("a", n_tuning_seeds=5.0)):
        result = table(run("a", 1.0), other, *common)
        assert result["a", "tuned"]["verdict"] == "other_budget"
        assert verdict(result["a", "tuned"]).startswith("not ranked: ")
        assert pd.isna(result["a", "tuned"]["rank"])
        assert result["b", "tuned"]["verdict"] == "leads"


def test_single_optimizer_is_not_called_best() -> None:
    assert table(run("a", 1.0), study("a"))["a", "tuned"]["verdict"] == "alone"


def test_only_the_evaluations_of_the_finished_study_count() -> None:
    again = [run("a", 0.1, seed, lr=0.2, parent="later study") for seed in range(3)]
    result = leaderboard(frame(run("a", 1.0), study("a"), *again, run("b", 2.0), study("b")))
    assert result[["optimizer", "lr", "seeds"]].to_numpy().tolist() == [
        ["a", 0.1, 1],
        ["b", 0.1, 1],
    ]
    unfinished = leaderboard(frame(run("a", 1.0), *again))
    assert unfinished[["lr", "seeds", "verdict"]].to_numpy().tolist() == [[0.2, 3, "incomplete"]]


def test_manual_runs_change_no_other_number() -> None:
    rows = [
        run("a", NAN),
        run("a", 1.0, 1),
        study("a", 2),
        run("b", 2.0),
        run("b", 2.0, 1),
        study("b", 2),
    ]
    wild = run("a", NAN, arm="manual", parent=None) | {"initial/validation_loss": 1000.0}
    assert str(table(*rows)["a", "tuned"]) == str(table(*rows, wild)["a", "tuned"])  # nan is nan
    assert table(*rows, wild)["a", "manual"]["score"] == 1000.0


@pytest.mark.parametrize("n", [1, 2, 40])
def test_leaderboard_with_many_optimizers_is_complete(n: int) -> None:
    rows = [row for i in range(n) for row in seeds(f"o{i:02}", around(1.1**i, 20))]
    assert leaderboard(frame(*rows))["rank"].tolist() == list(range(1, n + 1))
