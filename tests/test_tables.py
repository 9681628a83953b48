import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optsuite.report.tables import COLUMNS as TABLE
from optsuite.report.tables import leaderboard, write
from optsuite.report.text import escape, markdown, narrowed, readable
from optsuite.statistics import bootstrap_interval, interquartile_mean
from optsuite.tracking.reading import COLUMNS, NUMBERS

NAN = math.nan


def run(optimizer: str, score: float, seed: int = 0, **change: Any) -> dict[str, Any]:
    """An evaluation at the tuned rate; a score of nan is a diverged run."""
    row = dict.fromkeys(COLUMNS) | {
        "run_id": f"{optimizer}{seed}",
        "parent": f"study {optimizer}",
        "status": "FINISHED",
        "target": "validation/loss <= 0.5",
        "kind": "evaluation",
        "arm": "tuned",
        "benchmark": "b",
        "optimizer": optimizer,
        "outcome": "diverged" if math.isnan(score) else "finished",
        "superseded": False,
        "at_edge": False,
        "seed": float(seed),
        "lr": 0.1,
        "initial/validation_loss": 9.0,
        "initial/test_loss": 10.0,
        "score": score,
        "best/step": NAN if math.isnan(score) else 50.0,
        "best/test_loss": score + 1,
        "best/test_accuracy": NAN if math.isnan(score) else 0.9,
        "steps_to_target": 20.0 if score <= 0.5 else NAN,
    }
    return row | change


def study(optimizer: str, n_seeds: int = 1, n_trials: int = 16, **change: Any) -> dict[str, Any]:
    budget = {"n_seeds": float(n_seeds), "n_trials": float(n_trials), "n_tuning_seeds": 1.0}
    own = {"run_id": f"study {optimizer}", "parent": None, "kind": "study", "arm": None, "seed": NAN}
    return run(optimizer, 1.0) | budget | own | change


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS), dtype="object")
    return frame.astype(dict.fromkeys(NUMBERS, "float64") | {"superseded": "bool", "at_edge": "bool"})


def table(*rows: dict[str, Any]) -> dict[tuple[str, str], dict[Any, Any]]:
    """The leaderboard of the rows by optimizer and arm."""
    return {(row["optimizer"], row["arm"]): row for row in leaderboard(frame(*rows)).to_dict("records")}


def test_best_first_with_the_gap_to_it() -> None:
    rows = [row for name, score in (("a", 2.0), ("b", 1.0), ("c", 1.1)) for row in (run(name, score), study(name))]
    result = leaderboard(frame(*rows))
    assert result["optimizer"].tolist() == ["b", "c", "a"]
    assert result["rank"].tolist() == [1, 2, 3]
    assert result["verdict"].tolist() == ["best", "+10.0% against best", "+100.0% against best"]
    assert list(result.columns) == list(TABLE)


def test_equal_scores_share_a_rank() -> None:
    result = table(run("a", 1.0), study("a"), run("b", 1.0), study("b"), run("c", 5.0), study("c"))
    assert [result[name, "tuned"]["rank"] for name in "abc"] == [1, 1, 3]
    assert [result[name, "tuned"]["verdict"] for name in "abc"] == ["best", "best", "5x against best"]


def test_the_default_rate_is_measured_against_the_tuned_one() -> None:
    result = table(run("a", 1.0), run("a", 1.5, arm="default", lr=0.01), study("a"))
    assert result["a", "default"]["verdict"] == "+50.0% against tuned"
    assert pd.isna(result["a", "default"]["rank"])


def test_a_diverged_run_counts_as_the_worst_of_its_benchmark() -> None:
    rows = [run("a", score, seed) for seed, score in enumerate([1.0, NAN, NAN, 1.0])]
    result = table(*rows, study("a", 4), *(run("b", 2.0, seed) for seed in range(4)), study("b", 4))
    row = result["a", "tuned"]
    assert (row["diverged"], row["seeds"], row["score"]) == (2, 4, 5.0)  # the middle half of 1, 1, 9, 9
    assert row["test_loss"] == 6.0
    assert row["test_accuracy"] == 0.45
    assert row["steps_to_target"] == math.inf
    assert result["b", "tuned"]["verdict"] == "best"


def test_all_diverged_is_never_best() -> None:
    result = table(run("a", NAN), study("a"))
    assert result["a", "tuned"]["verdict"] == "diverged on every seed"
    assert pd.isna(result["a", "tuned"]["rank"])
    assert result["a", "tuned"]["score"] == 9.0
    assert markdown(leaderboard(frame(run("a", NAN), study("a"))), "c", []).count("diverged on every seed") == 1


def test_collapse_is_counted() -> None:
    row = table(run("a", 9.0) | {"best/step": 0.0}, study("a"))["a", "tuned"]
    assert row["collapsed"] == 1


def test_failures_are_counted_and_leave_the_ranking() -> None:
    failed = run("a", NAN, 1) | {"outcome": "failed"}
    row = table(run("a", 1.0), failed, study("a", 2))["a", "tuned"]
    assert (row["failed"], row["seeds"], row["score"], row["verdict"]) == (1, 1, 1.0, "1 failed")
    assert pd.isna(row["rank"])
    only = table(failed)["a", "tuned"]
    assert math.isnan(only["score"])


def test_a_study_that_failed_while_tuning_has_a_row() -> None:
    failed = study("a") | {"outcome": "failed", "status": "FAILED"}
    result = table(failed, run("b", 2.0), study("b"), run("c", 3.0), study("c"))
    assert (result["a", "tuned"]["verdict"], result["a", "tuned"]["failed"]) == ("failed", 1)
    assert result["b", "tuned"]["verdict"] == "best"
    assert table(failed)["a", "tuned"]["verdict"] == "failed"
    assert "failed" in markdown(leaderboard(frame(failed)), "c", [])


def test_a_narrow_terminal_gets_the_columns_that_matter() -> None:
    text = readable(leaderboard(frame(run("a", 1.0), study("a"), run("b", 2.0), study("b"))))
    assert narrowed(text, 200) is text
    narrow = narrowed(text, 60)
    assert {"rank", "optimizer", "lr", "score", "verdict"} <= set(narrow.columns) < set(text.columns)


def test_an_unfinished_study_is_not_ranked() -> None:
    result = table(run("a", 1.0), run("b", 2.0), study("b"), run("c", 3.0), study("c"))
    assert result["a", "tuned"]["verdict"] == "study incomplete"
    assert result["b", "tuned"]["verdict"] == "best"
    half = table(run("a", 1.0), run("a", 2.0, arm="default"), study("a", 2))
    assert {row["verdict"] for row in half.values()} == {"study incomplete"}


def test_only_the_same_budget_is_compared_and_that_of_most() -> None:
    common = (run("b", 2.0), study("b"), run("c", 3.0), study("c"))
    for other in (study("a", n_trials=4), study("a", n_trials=99), study("a", n_tuning_seeds=5.0)):
        result = table(run("a", 1.0), other, *common)
        assert result["a", "tuned"]["verdict"].startswith("not ranked: ")
        assert pd.isna(result["a", "tuned"]["rank"])
        assert result["b", "tuned"]["verdict"] == "best"


def test_one_alone_is_not_the_best() -> None:
    assert table(run("a", 1.0), study("a"))["a", "tuned"]["verdict"] == "nothing to compare with"


def test_only_the_evaluations_of_the_finished_study_count() -> None:
    again = [run("a", 0.1, seed, lr=0.2, parent="later study") for seed in range(3)]
    result = leaderboard(frame(run("a", 1.0), study("a"), *again, run("b", 2.0), study("b")))
    assert result[["optimizer", "lr", "seeds"]].to_numpy().tolist() == [["a", 0.1, 1], ["b", 0.1, 1]]
    unfinished = leaderboard(frame(run("a", 1.0), *again))
    assert unfinished[["lr", "seeds", "verdict"]].to_numpy().tolist() == [[0.2, 3, "study incomplete"]]


def test_given_runs_move_no_other_number() -> None:
    rows = [run("a", NAN), run("a", 1.0, 1), study("a", 2), run("b", 2.0), run("b", 2.0, 1), study("b", 2)]
    wild = run("a", NAN, arm="given", parent=None) | {"initial/validation_loss": 1000.0}
    assert table(*rows)["a", "tuned"] == table(*rows, wild)["a", "tuned"]
    assert table(*rows, wild)["a", "given"]["score"] == 1000.0


def test_a_target_that_is_missed_and_none_at_all() -> None:
    rows = [run("a", score, seed) for seed, score in enumerate([0.4, 0.4, 3.0])]
    assert table(*rows)["a", "tuned"]["steps_to_target"] == 20
    assert table(*rows[1:], run("a", 4.0, 5))["a", "tuned"]["steps_to_target"] == math.inf
    assert math.isnan(table(run("a", 1.0, target=None))["a", "tuned"]["steps_to_target"])


def test_one_seed_has_no_interval_and_nothing_has_a_table() -> None:
    row = table(run("a", 1.0), study("a"))["a", "tuned"]
    assert math.isnan(row["ci_low"])
    assert list(leaderboard(frame()).columns) == list(TABLE)
    assert "Nothing has been evaluated yet" in markdown(leaderboard(frame()), "c", [])


def test_the_order_of_reading_changes_no_byte(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [run(name, float(rng.lognormal()), seed) for name in "ab" for seed in range(12)] + [study("a", 12), study("b", 12)]
    for folder in ("one", "two"):
        write(leaderboard(frame(*rows)), tmp_path / folder, campaign="c", notes=["Skipped c: no data"])
        rng.shuffle(rows)
    for name in ("leaderboard.csv", "leaderboard.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"leaderboard.csv", "leaderboard.md"}
    assert "Skipped c: no data" in (tmp_path / "one" / "leaderboard.md").read_text()


def test_the_csv_has_six_digits_and_reads_back(tmp_path: Path) -> None:
    write(leaderboard(frame(run("a", 1 / 3), study("a"), run("b", 4.0, seed=0), study("b"))), tmp_path, campaign="c")
    text = (tmp_path / "leaderboard.csv").read_text()
    assert "0.333333," in text
    back = pd.read_csv(tmp_path / "leaderboard.csv")
    assert back["rank"].tolist() == [1, 2]
    assert back["steps_to_target"].tolist() == [20, math.inf]


def test_names_that_could_be_markup_stay_names() -> None:
    name = "<script>alert('x')</script> | [red]"
    text = markdown(leaderboard(frame(run(name, 1.0), study(name))), "c", [])
    assert "<script>" not in text.replace("\\<", "")
    assert escape("a|b") == "a\\|b"


def test_readable_rows_put_the_default_beside_the_tuned_rate() -> None:
    rows = [run("a", 1.0), study("a", at_edge=True), run("a", 3.0, arm="default", lr=0.01), run("b", 9.0), study("b")]
    line, _ = readable(leaderboard(frame(*rows))).to_dict("records")
    assert line == {
        "rank": "1",
        "optimizer": "a",
        "lr": "0.1!",
        "score": "1",
        "test loss": "2",
        "test acc.": "90.0%",
        "steps": "never",
        "verdict": "best",
        "at default lr": "0.01: 3x",
    }


def test_interquartile_mean_is_the_mean_of_the_middle_half() -> None:
    assert interquartile_mean([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -100.0]) == 3.5
    assert interquartile_mean([7.0]) == 7.0
    assert math.isnan(interquartile_mean([]))


def test_intervals_are_repeatable_and_hold_the_estimate() -> None:
    values = np.random.default_rng(1).normal(size=12)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert low < interquartile_mean(values) < high
    assert bootstrap_interval([2.0] * 5) == (2.0, 2.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    covered = sum(low < 0 < high for low, high in (bootstrap_interval(rng.normal(size=12)) for _ in range(200)))
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("n", [1, 2, 40])
def test_many_optimizers(n: int) -> None:
    rows = [row for i in range(n) for row in (run(f"o{i:02}", 1.0 + i), study(f"o{i:02}"))]
    assert leaderboard(frame(*rows))["rank"].tolist() == list(range(1, n + 1))
