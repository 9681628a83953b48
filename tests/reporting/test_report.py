"""The report folder on campaigns of every shape."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from support.frames import EVIL, NAN, around, frame, run, seeds, study
from support.reports import made, whole

from optsuite.analysis.leaderboard import comparison
from optsuite.analysis.learning_rates import learning_rates, trials
from optsuite.analysis.overall import overall, win_tie_loss
from optsuite.analysis.statements import headline
from optsuite.analysis.time_to_target import difficulty, profile


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "Nothing has been evaluated yet"),
        (whole(["a", "b"], n_seeds=1), "a leads, but b may be as good"),
        (whole(["a"]), "Only a is ranked"),
        ([*seeds("a", [NAN] * 3), *seeds("b", [NAN] * 3)], "Nothing is ranked yet"),
        ([study("a") | {"outcome": "failed", "status": "FAILED"}], "failed"),
        ([run("a", 1.0)], "study incomplete"),
        ([run("a", 1.0, arm="default"), run("b", 1.0, arm="default")], "study incomplete"),
        (seeds("a", [0.0] * 12) + seeds("b", [0.5] * 12), "a is best"),
        (seeds("a", [-2.0] * 12) + seeds("b", [-1.0] * 12), "50.0% worse"),
        (whole([f"o{i:02}" for i in range(40)]), "o00 is best: better than o01"),
        (whole([EVIL, "b"], [EVIL]), "&lt;script&gt;"),
        (seeds("a", [NAN, *around(1.0, 11)]) + seeds("b", around(2.0)), "1 of 12 diverged"),
    ],
    ids=[
        "nothing",
        "one seed",
        "one",
        "all diverged",
        "all failed",
        "unfinished",
        "defaults",
        "zero",
        "negative",
        "forty",
        "markup",
        "one diverged",
    ],
)
def test_report_is_written_for_any_campaign(
    tmp_path: Path, rows: list[dict[str, Any]], text: str
) -> None:
    page = made(tmp_path, *rows)
    assert text in page
    assert "Skipped d: no data" in page
    assert "<script>alert" not in page
    names = {path.name for path in tmp_path.iterdir()}
    tables = {"leaderboard.csv", "leaderboard.md", "leaderboard.tex", "learning_rates.csv"}
    tables |= {"overall.csv", "cost.csv", "verdicts.json"}
    assert names == tables | {"index.html", "figures", "manifest.json"}
    for figure in (tmp_path / "figures").iterdir():
        ElementTree.parse(figure)
    tex = (tmp_path / "leaderboard.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}")


def test_report_is_independent_of_row_order(tmp_path: Path) -> None:
    rows = whole(["a", "b", "stranger"], ["b", "c"])
    for folder in ("one", "two"):
        made(tmp_path / folder, *rows)
        np.random.default_rng(1).shuffle(rows)
    files = sorted(
        path.relative_to(tmp_path / "one")
        for path in (tmp_path / "one").rglob("*")
        if path.is_file()
    )
    assert len(files) > 15
    assert [
        f
        for f in files
        if (tmp_path / "one" / f).read_bytes() != (tmp_path / "two" / f).read_bytes()
    ] == []


def test_later_report_leaves_no_figure_of_an_earlier_one(tmp_path: Path) -> None:
    made(tmp_path, *whole(["a", "b"], ["b", "c"]))
    made(tmp_path, *whole(["a", "b"], ["b"]))
    assert not list((tmp_path / "figures").glob("c-*"))
    assert list((tmp_path / "figures").glob("b-*"))


def test_csv_has_six_digits_and_reads_back(tmp_path: Path) -> None:
    made(tmp_path, *seeds("a", [1 / 3] * 12), *seeds("b", [4.0] * 12))
    assert "0.333333," in (tmp_path / "leaderboard.csv").read_text()
    back = pd.read_csv(tmp_path / "leaderboard.csv")
    assert back["rank"].tolist() == [1, 2]
    assert back["steps_to_target"].tolist() == [20, float("inf")]


def test_learning_rates_have_their_width() -> None:
    runs = frame(*whole(["a"]))
    tried = trials(runs)
    # The diverged run counts as the loss before training.
    assert tried["score"].tolist() == [2.0, 1.5, 1.0, 9.0]
    (row,) = learning_rates(runs, tried).to_dict("records")
    assert (row["optimizer"], row["lr"]) == ("a", 0.1)
    assert row["width"] == pytest.approx(0.05 / 0.5 + 0.05 / 8)


def test_overall_table_covers_all_benchmarks() -> None:
    runs = frame(
        *whole(["a", "b"], ["x", "y"]),
        *(row | {"benchmark": "x"} for row in seeds("c", around(9.0))),
    )
    found = comparison(runs)
    table = overall(found).set_index("optimizer")
    assert table["may_be_best"].to_dict() == {"a": 2, "b": 0, "c": 0}
    assert table["benchmarks"].to_dict() == {"a": 2, "b": 2, "c": 1}  # and is not left out
    assert list(table.index) == ["a", "b", "c"]
    assert table.loc[["a"], ["median_gap", "ci_low", "ci_high"]].to_numpy().tolist() == [[0, 0, 0]]
    assert win_tie_loss(found.pairs, ["a", "b"]).to_numpy().tolist() == [
        ["", "2-0-0"],
        ["0-0-2", ""],
    ]
    shares = profile(runs[(runs["kind"] == "evaluation") & (runs["arm"] == "tuned")], ["a", "b"])
    assert shares.to_numpy()[0].tolist() == [1.0, 1.0]


def test_failure_does_not_vanish_from_the_summary() -> None:
    rows = whole(["a", "b"], ["x", "y"])
    rows += [row | {"benchmark": "x"} for row in seeds("c", around(0.1))]
    rows += [
        row | {"benchmark": "y", "run_id": "y" + row["run_id"]} for row in seeds("c", [NAN] * 12)
    ]
    rows += [
        row | {"benchmark": "alone", "run_id": "z" + row["run_id"]}
        for row in seeds("a", around(0.1))
    ]
    found = comparison(frame(*rows))
    table = overall(found).set_index("optimizer")
    assert sorted(table.index) == ["a", "b", "c"]
    # It is first on one benchmark and diverged on every seed of the other.
    row = table.loc[["c"]]
    assert row[["may_be_best", "benchmarks", "all_benchmarks"]].to_numpy().tolist() == [[1, 2, 2]]
    gaps = row[["median_gap", "ci_low", "ci_high"]].to_numpy().tolist()
    assert gaps == [[float("inf"), 0, float("inf")]]


def test_target_that_distinguishes_no_optimizers_has_note() -> None:
    easy, hard = (
        seeds(name, around(1.0), steps_to_target=steps, eval_every=20.0)
        for name, steps in (("a", 20.0), ("b", NAN))
    )
    for rows, expected in ((easy, "too_easy"), (hard, "too_hard"), (easy + hard, "")):
        runs = frame(*rows)
        table = comparison(runs).table
        assert (
            difficulty(runs[runs["kind"] == "evaluation"], table[table["rank"].notna()]) == expected
        )


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (["best", "worse", "worse"], "a is best: better than b and c."),
        (["tied", "tied", "worse"], "a and b are tied for best; c is worse."),
        (["leads", "tied", "open"], "a leads, but b and c may be as good."),
        (["leads", "open", "worse"], "a leads, but b may be as good; c is worse."),
        (["alone"], "Only a is ranked."),
        ([], "Nothing is ranked yet."),
    ],
)
def test_headline_names_the_winner(verdicts: list[str], sentence: str) -> None:
    assert (
        headline(
            [{"optimizer": name, "verdict": v} for name, v in zip("abc", verdicts, strict=False)]
        )
        == sentence
    )
