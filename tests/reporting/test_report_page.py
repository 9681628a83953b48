"""The page of a report in a real browser, and its links into MLflow."""

import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import InlinePool, opened
from suites import tiny
from support.frames import EVIL
from support.reports import made, whole

from optsuite.analysis.leaderboard import comparison
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import run_campaign, studies_of
from optsuite.tracking.links import Links
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    made(folder, *whole(["sgd", "adam", EVIL], ["digits mlp", EVIL]))
    return folder / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_in_browser_works(page: Path, browser: Any, scheme: str, width: int) -> None:
    tab, trouble = opened(browser, page, scheme, width)
    assert tab.locator("h1").inner_text() == "Which optimizer is best at its best learning rate?"
    assert "sgd is best: better than adam and" in tab.locator("#overall").inner_text()

    board = tab.locator("#benchmark-digits-20-mlp table").first
    column = board.locator("thead th").all_inner_texts().index("score")
    for direction in ("ascending", "descending"):
        board.locator("thead button").nth(column).click()
        shown = [
            float(text)
            for text in board.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        ]
        assert shown == sorted(shown, reverse=direction == "descending")
        assert board.locator("thead th").nth(column).get_attribute("aria-sort") == direction
    anchors = tab.eval_on_selector_all(
        "a[href^='#']", "links => links.map(a => a.getAttribute('href'))"
    )
    assert anchors
    assert all(
        tab.evaluate("id => document.getElementById(id) !== null", anchor[1:]) for anchor in anchors
    )
    others = set(tab.eval_on_selector_all("a:not([href^='#'])", "links => links.map(a => a.href)"))
    assert all(
        re.match(r"http://127\.0\.0\.1:5000/#/experiments/1/runs[?/]", link) for link in others
    )
    assert trouble == []
    tab.close()


def test_links_lead_to_the_runs_in_mlflow(folder: Path, browser: Any) -> None:
    suite = replace(tiny.SUITE, n_trials=8, n_seeds=2)
    pool = InlinePool()
    pool.load(suite)
    studies = studies_of(suite, prepare(suite, device="cpu")[0], device="cpu")
    list(
        run_campaign(
            studies, uri=tracking_uri(), campaign="c", suite="tiny", pool=pool, stop=lambda: False
        )
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "optsuite", "ui", "--campaign", "c", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            charts = next(
                line.partition(": ")[2].strip()
                for line in server.stdout
                if line.startswith("tiny_line")
            )
            runs = read_runs(open_store(tracking_uri()), "c")
            links = Links(runs, comparison(runs).evaluations, "c", f"http://127.0.0.1:{port}")
            assert links.benchmark("tiny_line") == charts
            tab = browser.new_page(viewport={"width": 1600, "height": 900})
            for link, texts in (  # a list of runs is shown with their parent
                (charts, ("sgd", "sign", "2 matching runs")),
                (links.study("tiny_line", "sgd"), ("sgd", "optsuite.fingerprint")),
                (links.runs("tiny_line", "sgd", arm="tuned"), ("3 matching runs",)),
                (links.runs("tiny_line", "sign", kind="trial"), ("9 matching runs",)),
            ):
                tab.goto(link)
                for text in texts:
                    tab.get_by_text(text).first.wait_for(state="attached", timeout=60_000)
            tab.close()
        finally:
            server.terminate()
