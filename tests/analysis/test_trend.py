"""The trend of nights: on nights typed in by hand, in a browser, and after real ones."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import InlinePool, opened
from suites import tiny
from support.frames import EVIL, NAN, around, frame, seeds
from torch import nn

from optsuite import Suite
from optsuite.analysis.trend import History, change_points, environments, lines
from optsuite.campaign.prepare import prepare
from optsuite.campaign.session import Session
from optsuite.cli.console import console
from optsuite.cli.nightly import show_night
from optsuite.cli.results import EXIT_CODES
from optsuite.execution.options import ExecutionOptions
from optsuite.nights.night import run_night
from optsuite.reporting.nightly_page import page
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.nights import ORDINARY, TUNED, Night
from optsuite.tracking.schema import RELATIVE_TIME

NIGHTS = tuple(f"nightly-2026-11-{day:02}" for day in range(1, 31))


def night(
    place: int, *rows: dict[str, Any], passed: bool | None = True, **change: Any
) -> tuple[Night, pd.DataFrame]:
    """The night of this place and its rows, changed."""
    kind = TUNED if place == 0 else ORDINARY
    one = Night(
        campaign=NIGHTS[place],
        started=1.8e9 + 86_400 * place,
        kind=kind,
        passed=passed,
        study_runs=(),
    )
    return one, frame(*(row | {"max_steps": 100.0} | change for row in rows))


def own(
    optimizer: str, scores: list[float], takes: float = 2.0, benchmark: str = "b"
) -> list[dict[str, Any]]:
    """An optimizer's study, with the time of its step, and evaluations."""
    rows = seeds(optimizer, scores)
    return [
        row | {"benchmark": benchmark, RELATIVE_TIME: takes if row["kind"] == "study" else NAN}
        for row in rows
    ]


def broken(
    broke: int, slowed: int, n: int = 6, benchmark: str = "b", names: tuple[str, str] = ("a", "z")
) -> History:
    """Nights of two optimizers: scores of the first rise by a tenth, steps of the second slow."""
    history = []
    for i in range(n):
        rows = own(names[0], around(1.1 if i >= broke else 1.0), benchmark=benchmark)
        rows += own(names[1], around(3.0), 4.0 if i >= slowed else 2.0, benchmark=benchmark)
        commit = f"{i >= broke:040}"
        history.append(night(i, *rows, passed=i < broke, commit=commit, machine="m", device="cpu"))
    return history


def test_lines_are_relative_to_the_first_night_and_have_gaps() -> None:
    history = [
        night(0, *own("a", [2.0] * 12, 2.0), *own("b", [-1.0] * 12)),
        night(1, *own("a", [NAN, NAN, *[3.0] * 10], 1.0)),
        night(2, *own("b", [-2.0] * 12), *own("late", [0.0] * 12, NAN)),
        night(
            3, *own("a", [NAN] * 12)[:-1], *own("late", [1.0] * 12)
        ),  # the study of a has not ended
    ]
    table = lines(history).set_index(["optimizer", "night"])
    assert table.index.to_list() == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 2),
        ("late", 2),
        ("late", 3),
    ]
    assert table["score"].to_list() == [2, 3, -1, -2, 0, 1]
    assert table["score_change"].to_list()[:5] == [0, 0.5, 0, -1, 0]
    assert math.isnan(table["score_change"].to_list()[5])  # no multiple of 0
    assert table["time_change"].to_list()[:4] == [0, -0.5, 0, 0]
    assert table["diverged"].to_list() == [0, 2, 0, 0, 0, 0]
    assert lines([]).empty
    assert lines([night(0)]).empty


def test_night_that_changed_something_is_a_change_point_and_later_ones_are_not() -> None:
    history = broken(broke=3, slowed=4)
    points = change_points(history).set_index("night")
    assert points[["optimizer", "quantity", "kind"]].to_records().tolist() == [
        (3, "a", "score", "worse"),
        (4, "z", "step_time", "worse"),
    ]
    assert environments(history)[3] == [("commit", "0" * 40, "0" * 39 + "1")]
    assert [name for name, *_ in environments(history)[0]] == ["commit", "machine", "device"]
    assert environments(history)[4] == []


def test_page_names_the_night() -> None:
    text = page("s", broken(broke=3, slowed=4), n_older=2)
    assert "6 nights,\nnightly-2026-11-01 to nightly-2026-11-06; 2 earlier not shown" in text
    worse = "The last to make something worse was nightly-2026-11-05: z on b."
    assert f"nightly-2026-11-06, failed. {worse}" in text
    assert "commit 0000000000 → 0000000000" in text
    assert "3 (+" not in text
    assert "1.1 (+10.0%)" in text
    assert text.count("<svg") == 2 + 2
    assert "<script" not in text


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([], "nothing to compare yet"),
        ([night(0, *own("a", around(1.0)))], "nothing to compare yet"),
        ([night(0), night(1, passed=None)], "has not been judged"),
        (
            [night(0, *own("a", around(1.0))), night(1, *own("a", around(1.0)))],
            "Nothing changed from any night to the next",
        ),
        ([night(0, *own("a", around(1.0))), night(1, *own("b", around(1.0)))], "evaluations"),
        ([night(0, *own("a", around(1.0))), night(1, *own("a", [NAN] * 12))], "a on b: 12 of 12"),
        (
            [night(0, *own("a", [0.0] * 12, NAN)), night(1, *own("a", around(1.0), NAN))],
            "▲ worse",
        ),
        (broken(1, 1, benchmark=EVIL, names=(EVIL, "z")), "&lt;script&gt;"),
    ],
    ids=["none", "one", "empty", "calm", "lost", "diverged", "from zero", "markup"],
)
def test_page_is_written_for_any_nights(history: History, words: str) -> None:
    text = page(EVIL, history)
    assert words in text
    assert "<script" not in text


def test_page_is_independent_of_row_order() -> None:
    history, rng = broken(2, 3), np.random.default_rng(0)
    shuffled = [(one, runs.iloc[rng.permutation(len(runs))]) for one, runs in history]
    assert page("s", history) == page("s", shuffled)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_in_browser_works(tmp_path: Path, browser: Any, scheme: str, width: int) -> None:
    (tmp_path / "nights.html").write_text(
        page(EVIL, broken(17, 12, n=30, benchmark=EVIL, names=(EVIL, "a" * 60)))
    )
    tab, trouble = opened(browser, tmp_path / "nights.html", scheme, width)
    assert (
        "The last to make something worse was nightly-2026-11-18"
        in tab.locator("header").inner_text()
    )
    groups = tab.locator("#changes th[scope=rowgroup]").all_inner_texts()
    assert [text.partition(",")[0] for text in groups] == [
        "nightly-2026-11-18",
        "nightly-2026-11-13",
    ]
    labels = tab.locator("figure svg").first.locator("text").all_text_contents()
    assert {f"{day:02}" for day in range(1, 31)} <= set(labels)  # what the names share is said once
    assert tab.locator("#nights tbody tr").count() == 30
    assert tab.locator("script, img, link[rel=stylesheet]").count() == 0
    assert trouble == []
    tab.close()


class Slow(tiny.SignDescent):
    """The same steps, many times as slow."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        time.sleep(0.002)
        super().step()


def slow(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    return Slow(model.parameters(), lr)


def test_real_nights_write_the_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = InlinePool()

    def nights(suite: Suite, campaign: str, keep: int | None = None) -> tuple[int, str, str]:
        """A night: its exit code, what it printed, and the page."""
        pool.load(suite)
        problems, skipped = prepare(suite, device="cpu")
        session = Session(
            suite=suite,
            campaign=campaign,
            uri=tracking_uri(),
            pool=pool,
            problems=problems,
            skipped=skipped,
            options=ExecutionOptions(),
        )
        result = run_night(session, retune=False, keep=keep, folder=Path("mlruns/report"))
        show_night(console(), result)
        code = EXIT_CODES[result.outcome]
        return code, capsys.readouterr().out, (folder / "mlruns/report/nights.html").read_text()

    suite = replace(tiny.SUITE, n_trials=2)
    code, out, text = nights(suite, "one")
    assert code == 0
    assert (
        out.index("Report:  ")
        < out.index("there is nothing to compare with")
        < out.index("Trend:   mlruns/report/nights.html")
    )
    assert "There is nothing to compare yet" in text
    sgd, sign = suite.optimizers
    code, out, text = nights(replace(suite, optimizers=(sgd, replace(sign, build=slow))), "two")
    assert code == 1
    assert out.index("two against one") < out.index("Trend:   ")
    assert "The last night, two, failed. The last to make something worse was two:" in text
    assert "sign on tiny_line" in text
    assert text.count("<svg") == 4
    _, out, text = nights(suite, "three", keep=1)
    assert "Deleted two." in out
    assert "2 nights,\none to three." in text
