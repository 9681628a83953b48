import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from frames import NAN, around, frame, run, seeds, study

from optsuite.analysis.columns import columns_for, columns_of
from optsuite.analysis.leaderboard import leaderboard
from optsuite.analysis.statements import default_rate, verdict, warnings
from optsuite.reporting.text import escape, markdown, narrowed, readable


def table(*rows: dict[str, Any]) -> dict[tuple[str, str], dict[Any, Any]]:
    """The leaderboard of the rows by optimizer and arm."""
    return {
        (row["optimizer"], row["arm"]): row for row in leaderboard(frame(*rows)).to_dict("records")
    }


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


def test_a_certain_difference_below_the_tolerance_is_a_tie() -> None:
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


def test_misleading_rows_have_warnings() -> None:
    result = table(
        *seeds("a", [1.0] * 6 + [5.0] * 6),
        study("b", at_edge=True),
        run("b", 1.0),
        run("c", NAN),
        study("c"),
    )
    assert [result[name, "tuned"]["warnings"] for name in "abc"] == [
        "bimodal",
        "at_edge",
        "diverged",
    ]
    words = [warnings(result[name, "tuned"]) for name in "abc"]
    assert words == ["two groups of seeds", "rate at the edge", "1 of 1 diverged"]
    trial = run("a", 0.5, 1000, kind="trial", arm=None)
    lucky = table(trial, *seeds("a", around(1.0)))["a", "tuned"]
    assert (lucky["warnings"], warnings(lucky)) == ("lucky_seed", "tuned on a lucky seed (+100%)")


def test_optimizer_beaten_by_its_special_case_has_warning() -> None:
    def momentum(score: float) -> list[dict[str, Any]]:
        return [
            row | ({"includes": '["sgd", "absent"]'} if row["kind"] == "study" else {})
            for row in seeds("momentum", around(score))
        ]

    sgd = seeds("sgd", around(1.0))
    outdone = table(*sgd, *momentum(1.2))
    assert (
        warnings(outdone["momentum", "tuned"])
        == "worse than sgd, a special case of it: tuning budget too small"
    )
    assert outdone["sgd", "tuned"]["warnings"] == ""
    for score in (0.8, 1.0, 1.001):
        assert table(*sgd, *momentum(score))["momentum", "tuned"]["warnings"] == ""


def test_the_default_rate_is_measured_against_the_tuned_one() -> None:
    tuned = seeds("a", around(1.0))
    for factor, words in (
        (1.5, "50.0% worse than tuned"),
        (0.5, "2x better than tuned"),
        (1.0, "as good as tuned"),
    ):
        default = [
            run("a", factor * score, i, arm="default", lr=0.01)
            for i, score in enumerate(around(1.0))
        ]
        result = table(*tuned, *default)
        assert verdict(result["a", "default"]) == words
        assert (
            default_rate(result["a", "tuned"])
            == f"0.01: {words.removesuffix(' than tuned').removesuffix(' as tuned')}"
        )
    noisy = [run("a", score, i, arm="default", lr=0.01) for i, score in enumerate([0.5, 1.6] * 6)]
    result = table(*tuned, *noisy)
    assert verdict(result["a", "default"]) == "not told apart from tuned"
    assert pd.isna(result["a", "default"]["rank"])


def test_a_diverged_run_counts_as_the_worst_of_its_benchmark() -> None:
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


def test_a_study_that_failed_while_tuning_has_a_row() -> None:
    failed = study("a") | {"outcome": "failed", "status": "FAILED"}
    result = table(failed, run("b", 2.0), study("b"), run("c", 3.0), study("c"))
    assert (result["a", "tuned"]["verdict"], result["a", "tuned"]["failed"]) == ("failed", 1)
    assert result["b", "tuned"]["verdict"] == "leads"
    assert table(failed)["a", "tuned"]["verdict"] == "failed"
    assert "failed" in markdown(leaderboard(frame(failed)), "c", [])


def test_narrow_terminal_shows_important_columns() -> None:
    rows = leaderboard(frame(run("a", 1.0), study("a"), run("b", 2.0), study("b")))
    text = readable(rows)
    assert list(narrowed(rows, 200).columns) == list(text.columns)
    narrow = narrowed(rows, 60)
    assert (
        {"rank", "optimizer", "lr", "score", "verdict"} <= set(narrow.columns) < set(text.columns)
    )


def test_an_unfinished_study_is_not_ranked() -> None:
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


def test_missed_target_is_infinite_and_absent_target_nan() -> None:
    rows = [run("a", score, seed) for seed, score in enumerate([0.4, 0.4, 3.0])]
    assert table(*rows)["a", "tuned"]["steps_to_target"] == 20
    assert table(*rows[1:], run("a", 4.0, 5))["a", "tuned"]["steps_to_target"] == math.inf
    assert math.isnan(table(run("a", 1.0, target=None))["a", "tuned"]["steps_to_target"])


def test_one_seed_has_no_interval_and_no_runs_give_empty_table() -> None:
    row = table(run("a", 1.0), study("a"))["a", "tuned"]
    assert math.isnan(row["ci_low"])
    assert list(leaderboard(frame()).columns) == [column.name for column in columns_for([])]
    assert "Nothing has been evaluated yet" in markdown(leaderboard(frame()), "c", [])


def test_names_that_could_be_markup_stay_names() -> None:
    name = "<script>alert('x')</script> | [red]"
    text = markdown(leaderboard(frame(run(name, 1.0), study(name))), "c", [])
    assert "<script>" not in text.replace("\\<", "")
    assert escape("a|b") == "a\\|b"


def test_readable_rows_put_the_default_beside_the_tuned_rate() -> None:
    rows = [
        run("a", 1.0),
        study("a", at_edge=True),
        run("a", 3.0, arm="default", lr=0.01),
        run("b", 9.0),
        study("b"),
    ]
    line, _ = readable(leaderboard(frame(*rows))).to_dict("records")
    assert line == {
        "rank": "1",
        "optimizer": "a",
        "lr": "0.1!",
        "score": "1",
        "test loss": "2",
        "test acc.": "90.0%",
        "steps": "never",
        "verdict": "best so far",
        "default lr (score)": "0.01: not told apart",
        "warnings": "rate at the edge",
    }


@pytest.mark.parametrize("n", [1, 2, 40])
def test_leaderboard_with_many_optimizers_is_complete(n: int) -> None:
    rows = [row for i in range(n) for row in seeds(f"o{i:02}", around(1.1**i, 20))]
    assert leaderboard(frame(*rows))["rank"].tolist() == list(range(1, n + 1))


def test_metric_of_a_benchmark_has_a_column_wherever_there_is_one() -> None:
    rows = [
        row | {"best/test_f1": 0.5, "best/test_accuracy": NAN}
        for row in (run("a", 1.0), run("b", 2.0))
    ]
    runs = pd.concat([frame(*rows), frame(study("a"), study("b"))], ignore_index=True)
    runs["best/test_f1"] = [0.5, 0.25, NAN, NAN]
    result = leaderboard(runs)
    assert result["test_f1"].tolist() == [0.5, 0.25]
    assert "test_accuracy" not in result
    assert readable(result)["test f1"].tolist() == ["0.5", "0.25"]
    assert "test_f1" in [column.name for column in columns_of(result)]
    runs.loc[1, ["outcome", "best/test_f1"]] = "diverged", NAN
    assert leaderboard(runs)["test_f1"].isna().tolist() == [False, True]
