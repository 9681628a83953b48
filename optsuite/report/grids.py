"""Tables of the page: what each cell shows, sorts by and links to."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd

from optsuite.report.text import readable
from optsuite.report.verdicts import BEST, SO_FAR, TIED

UI = "http://127.0.0.1:5000"  # where `optsuite ui` serves a store that is not behind a server already
NUMERIC = {"score": "score", "lr": "lr", "test loss": "test_loss", "test acc.": "test_accuracy", "steps": "steps_to_target"}


@dataclass(frozen=True)
class Cell:
    """A text, what it is sorted by where that is another, an address, and a class."""

    text: str
    key: str | None = None
    link: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class Grid:
    """A header and rows of cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Links:
    """Addresses in MLflow's UI of what a campaign holds."""

    def __init__(self, runs: pd.DataFrame, campaign: str, ui: str) -> None:
        self._campaign = campaign
        self._ui = ui.rstrip("/")
        self._experiments = dict(zip(runs["benchmark"], runs["experiment_id"], strict=True))
        studies = runs[runs["kind"] == "study"]
        self._studies = dict(zip(zip(studies["benchmark"], studies["optimizer"], strict=True), studies["run_id"], strict=True))

    def benchmark(self, benchmark: str) -> str:
        """The comparison of a benchmark's optimizers, as charts."""
        condition = f'tags.`optsuite.kind` = "study" AND tags.`optsuite.campaign` = "{self._campaign}"'
        mode = "workflowType=machine_learning&compareRunsMode=CHART"
        return f"{self._experiment(benchmark)}?{mode}&searchFilter={quote(condition, safe='')}"

    def study(self, benchmark: str, optimizer: str) -> str:
        """The run of a study, or where there is none, all runs of the optimizer."""
        run = self._studies.get((benchmark, optimizer))
        return self.runs(benchmark, optimizer) if run is None else f"{self._experiment(benchmark)}/{run}"

    def runs(self, benchmark: str, optimizer: str, **tags: str) -> str:
        """The runs of an optimizer with these tags, as a list."""
        wanted = {"campaign": self._campaign, "optimizer": optimizer} | tags
        condition = " AND ".join(f'tags.`optsuite.{key}` = "{value}"' for key, value in wanted.items())
        return f"{self._experiment(benchmark)}?searchFilter={quote(condition, safe='')}"

    def _experiment(self, benchmark: str) -> str:
        return f"{self._ui}/#/experiments/{self._experiments[benchmark]}/runs"


def leaderboard_grid(rows: pd.DataFrame, links: Links) -> Grid:
    """The leaderboard of one benchmark as people read it; each cell links to the runs that it comes from."""
    shown = readable(rows)
    benchmark = str(rows["benchmark"].iloc[0])
    lines = [row for row in rows.to_dict("records") if row["arm"] != "default"]
    grid = []
    for line, (_, texts) in zip(lines, shown.iterrows(), strict=False):
        grid.append([_cell(str(column), str(text), line, benchmark, links) for column, text in texts.items()])
    return Grid(list(shown.columns), grid)


def _cell(column: str, text: str, row: Mapping[Any, Any], benchmark: str, links: Links) -> Cell:
    name, arm = row["optimizer"], row["arm"]
    if not text:
        return Cell("", key="")
    if column in ("rank", "optimizer", "verdict"):
        return Cell(text, link=links.study(benchmark, name), kind=f"wrap {_standing(text)}" if column == "verdict" else "")
    if column == "lr" and arm == "tuned":
        return Cell(text, key=number(row["lr"]), link=links.runs(benchmark, name, kind="trial"))
    if column == "at default lr":
        return Cell(text, link=links.runs(benchmark, name, arm="default"))
    key = number(row[NUMERIC[column]]) if column in NUMERIC else None
    return Cell(text, key=key, link=links.runs(benchmark, name, arm=arm), kind="wrap" if column == "beware" else "")


def _standing(verdict: str) -> str:
    """How a verdict is marked: as one of the best, as open, or as neither."""
    if verdict in (BEST, TIED):
        return "best"
    return "open" if verdict.startswith((SO_FAR, "inconclusive")) else "lost"


def plain_grid(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Grid:
    """A grid of texts and numbers, numbers to four digits."""
    return Grid(header, [[_plain(value) for value in row] for row in rows])


def _plain(value: object) -> Cell:
    if isinstance(value, float):
        return Cell("" if math.isnan(value) else f"{value:.4g}", key=number(value))
    return Cell(f"{value:,}" if isinstance(value, int) else str(value), key=str(value) if isinstance(value, int) else None)


def number(value: float) -> str:
    """A number as JavaScript reads it; empty where there is none."""
    return "" if pd.isna(value) else "1e999" if value == math.inf else repr(float(value))
