"""A name may be odd: it leads nowhere else, and is shown as it is."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY
from markdown_it import MarkdownIt
from rich.console import Console
from suites import tiny
from support.commands import Call

from optsuite.campaign.events import Prepared, Ready
from optsuite.campaign.lock import check_campaign_name
from optsuite.cli.progress import Display
from optsuite.errors import InputError
from optsuite.reporting.campaign_page import LONGEST_NAME, name_of
from optsuite.tracking.store import open_store

REFUSED = ("", ".", "..", "../x", "a/b", "</b>", "a\\b", ".x", " x", "x" * 101)
UNPRINTABLE = ("a\nb", "a\0b", "\x1b[31mred", "\u202egpj.exe", "a\u200bb")
COMPUTED = ("=cmd()", "+1", "-o", "@SUM(1)")  # by a spreadsheet, or taken for an option
ODD = (
    "<script>alert(1)<!--",
    'x" onload="alert(1)',
    "<img src=x onerror=alert(1)>",
    "[bold]x[red]",
    "a:smile:'b\"",
    "| a | `b` | {{ 7 * 7 }} | ;=cmd()",
    "[x](javascript:alert(1)) &lt;i&gt; $x_1$ %n ~~y~~ _z_",
    "שלום",
    "\N{GRINNING FACE}" * 100,
)
ODD_SUITE = """
NAMES = {names!r}
SPEC = OPTIMIZERS["sgd"]
SUITE = Suite(
    name=NAMES[4],
    benchmarks=tuple(replace(BENCHMARK, name=name) for name in (NAMES[0], NAMES[-1])),
    optimizers=tuple(replace(SPEC, name=name, source=name) for name in NAMES[:-1]),
    n_trials=1,
    n_seeds=2,
)
"""


@pytest.mark.parametrize("name", [*REFUSED, *UNPRINTABLE, *COMPUTED])
def test_name_that_could_leave_its_place_is_refused(name: str) -> None:
    for definition in (tiny.BENCHMARK, tiny.SUITE.optimizers[0], tiny.SUITE):
        with pytest.raises(
            InputError, match=r"name: got .*, allowed: 1 to 100 printable characters"
        ) as error:
            replace(definition, name=name)
        assert str(error.value).isprintable()


@pytest.mark.parametrize("name", [*REFUSED, *UNPRINTABLE, *COMPUTED, *ODD])
def test_campaign_has_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match=r"campaign: got .*, allowed: 1 to 100 letters"):
        check_campaign_name(name)


class Elements(HTMLParser):
    """The tags, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """A folder, alone in its own, with a suite of odd names of which a night has been trained."""
    folder = tmp_path_factory.mktemp("odd") / "folder"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(template, folder / "mlruns" / "mlflow.db")
    suite = TINY.read_text() + ODD_SUITE.format(names=ODD)
    (folder / "odd.py").write_text("from dataclasses import replace\n" + suite)
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "optsuite", "nightly", "--suite", "odd.py", "--campaign", "n"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    (folder / "out.txt").write_text(done.stdout)
    return folder


def test_odd_names_stay_in_their_folders(odd: Path) -> None:
    assert [path.name for path in odd.parent.iterdir()] == ["folder"]
    assert {path.name for path in odd.iterdir()} == {"odd.py", "out.txt", "mlruns"}
    held = {path.name for path in (odd / "mlruns").iterdir()}
    assert held - {"mlflow.db-shm", "mlflow.db-wal"} == {
        "mlflow.db",
        "artifacts",
        "report",
        "locks",
    }
    figures = [path.name for path in (odd / "mlruns/report/figures").iterdir()]
    assert len([name for name in figures if name.endswith("-scores.svg")]) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", name) for name in figures)
    experiments = open_store(f"sqlite:///{odd}/mlruns/mlflow.db").client.search_experiments()
    own = [
        Path(e.artifact_location.removeprefix("file://"))
        for e in experiments
        if e.name != "Default"
    ]
    assert len(own) == 2 + 1  # the last one holds the report
    assert {path.resolve().parent for path in own} == {odd / "mlruns/artifacts"}


def test_odd_names_are_text_wherever_they_are_shown(
    odd: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmarks, optimizers = {ODD[0], ODD[-1]}, set(ODD[:-1])
    report = odd / "mlruns" / "report"
    page = Elements((report / "index.html").read_text())
    assert all(name in page.text for name in benchmarks | optimizers)
    assert page.tags.count("script") == 1
    assert not {"img", "iframe", "i", "b"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = [
        value
        for name, value in page.attributes
        if name in ("href", "src") and not value.startswith("#")
    ]
    assert links
    assert all(re.match(r"(http://127\.0\.0\.1:5000/#/|data:,$)", link) for link in links)

    board = Elements(
        MarkdownIt("commonmark").enable("table").render((report / "leaderboard.md").read_text())
    )
    assert set(board.tags) == {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert all(name in board.text for name in benchmarks | optimizers)

    table = pd.read_csv(report / "leaderboard.csv")
    assert (set(table["benchmark"]), set(table["optimizer"])) == (benchmarks, optimizers)

    monkeypatch.chdir(odd)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    _, listed, _ = call("list", "--suite", "odd.py")
    shown = (odd / "out.txt").read_text()
    for name in ODD[:-1]:  # the last one takes more than a line
        assert name in shown
        assert name in listed or len(name) > 20  # which a column breaks


def test_odd_names_are_text_in_a_terminal_while_they_train(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(file=sys.stdout, force_terminal=True, width=300, color_system=None)
    with Display(console) as display:
        display.show(
            Prepared(seconds_per_run=dict.fromkeys(ODD, 1.0), n_runs=dict.fromkeys(ODD, 1))
        )
        display.show(Ready(missing=dict.fromkeys(ODD, 1)))
    shown = capsys.readouterr().out
    assert all(name in shown for name in ODD[:-1])


def test_distinct_names_have_distinct_file_names() -> None:
    names = [
        "a b",
        "a-20-b",
        "a--20--b",
        "a-20 b",
        "a-2d-20-b",
        "a\u00ab20-b",
        "a-ab b",
        *("x" * n for n in range(140, 160)),
    ]
    names += ["\N{GRINNING FACE}" * n for n in range(10, 100)]
    made = {name_of(name) for name in names}
    assert len(made) == len(names)
    assert max(map(len, made)) <= LONGEST_NAME
    assert (name_of("resnet-18"), name_of("digits mlp")) == ("resnet-18", "digits-20-mlp")
