"""Columns of a leaderboard: warnings, default rates, targets, metrics, and how they are shown."""

import math
from typing import Any

import pandas as pd
from support.frames import NAN, around, frame, run, seeds, study
from support.reports import table

from optsuite.analysis.columns import columns_for, columns_of
from optsuite.analysis.leaderboard import leaderboard
from optsuite.analysis.statements import default_rate, verdict, warnings
from optsuite.reporting.text import escape, markdown, narrowed, readable


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


def test_default_rate_is_measured_against_the_tuned_one() -> None:
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


def test_narrow_terminal_shows_important_columns() -> None:
    rows = leaderboard(frame(run("a", 1.0), study("a"), run("b", 2.0), study("b")))
    text = readable(rows)
    assert list(narrowed(rows, 200).columns) == list(text.columns)
    narrow = narrowed(rows, 60)
    assert (
        {"rank", "optimizer", "lr", "score", "verdict"} <= set(narrow.columns) < set(text.columns)
    )


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
