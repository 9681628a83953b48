"""Tables of the page: what each cell shows, sorts by and links to."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd

from optsuite.analysis.verdicts import BEST, SO_FAR, TIED
from optsuite.reporting.text import main_rows, readable

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
    """Addresses in MLflow's UI of what a campaign holds. `evaluations` are those that the leaderboard rests on."""

    def __init__(self, runs: pd.DataFrame, evaluations: pd.DataFrame, campaign: str, ui: str) -> None:
        self._campaign = campaign
        self._ui = ui.rstrip("/")
        self._experiments = dict(zip(runs["benchmark"], runs["experiment_id"], strict=True))
        studies = runs[runs["kind"] == "study"]
        self._studies = _by_name(studies, "run_id") | _by_name(evaluations, "parent")

    def benchmark(self, benchmark: str) -> str:
        """The comparison of a benchmark's optimizers, as charts."""
        return f"{self._experiment(benchmark)}?{charts(self._campaign)}"

    def study(self, benchmark: str, optimizer: str) -> str:
        """The run of a study, or where there is none, the optimizer's runs."""
        run = self._studies.get((benchmark, optimizer))
        return self.runs(benchmark, optimizer) if run is None else f"{self._experiment(benchmark)}/{run}"

    def runs(self, benchmark: str, optimizer: str, **tags: str) -> str:
        """The runs of an optimizer's study with these tags, as a list; those at given rates have no study."""
        run = self._studies.get((benchmark, optimizer)) if tags.get("arm") != "given" else None
        wanted = [f"tags.`optsuite.{key}` = {_quoted(value)}" for key, value in tags.items()]
        if run is None:
            named = {"campaign": self._campaign, "optimizer": optimizer}
            wanted += [f"tags.`optsuite.{key}` = {_quoted(value)}" for key, value in named.items()]
        else:
            wanted.append(f"tags.`mlflow.parentRunId` = {_quoted(run)}")
        return f"{self._experiment(benchmark)}?searchFilter={quote(' AND '.join(wanted), safe='')}"

    def _experiment(self, benchmark: str) -> str:
        return f"{self._ui}/#/experiments/{self._experiments[benchmark]}/runs"


def _by_name(rows: pd.DataFrame, column: str) -> dict[tuple[str, str], str]:
    return dict(zip(zip(rows["benchmark"], rows["optimizer"], strict=True), rows[column], strict=True))


def charts(campaign: str) -> str:
    """The part of an address that shows the campaign's studies, one for each optimizer, as charts."""
    condition = f"tags.`optsuite.kind` = 'study' AND tags.`optsuite.campaign` = {_quoted(campaign)}"
    return f"workflowType=machine_learning&compareRunsMode=CHART&searchFilter={quote(condition, safe='')}"


def _quoted(text: str) -> str:
    """A string of MLflow's search language, which knows no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def leaderboard_grid(rows: pd.DataFrame, links: Links) -> Grid:
    """The leaderboard of one benchmark as people read it; each cell links to the runs that it comes from."""
    shown = readable(rows)
    benchmark = str(rows["benchmark"].iloc[0])
    lines = zip(main_rows(rows), shown.iterrows(), strict=True)
    grid = [[_cell(str(name), str(text), row, benchmark, links) for name, text in texts.items()] for row, (_, texts) in lines]
    return Grid(list(shown.columns), grid)


def standings_grid(table: pd.DataFrame, sentences: Sequence[Sequence[Cell]], links: Links) -> Grid:
    """A row for each benchmark: the cells of its sentence, and for each optimizer, with a mark, its gap to the best."""
    names = sorted(table.loc[table["rank"].notna(), "optimizer"].unique())
    rows = []
    for sentence, (benchmark, own) in zip(sentences, table.groupby("benchmark", sort=False), strict=True):
        ranked = {row["optimizer"]: row for row in own[own["rank"].notna()].to_dict("records")}
        rows.append([*sentence, *(_gap(ranked.get(name), links.study(str(benchmark), name)) for name in names)])
    return Grid(("benchmark", "how sure", "who won", *names), rows)


def _gap(row: Mapping[Any, Any] | None, link: str) -> Cell:
    if row is None:
        return Cell("", key="")
    standing = _standing(row["verdict"])
    word = {BEST: "best", SO_FAR: "leads", TIED: "tied"}.get(row["verdict"], "maybe" if standing == "open" else "beaten")
    gap = row["gap"]
    size = "" if not gap or math.isinf(gap) else f" +{gap:.1%}" if gap < 1 else f" {gap + 1:.3g}x"
    return Cell(word + size, key=number(gap), link=link, kind=f"mark {standing}")


def _cell(column: str, text: str, row: Mapping[Any, Any], benchmark: str, links: Links) -> Cell:
    name, arm = row["optimizer"], row["arm"]
    if not text:
        return Cell("", key="")
    if column in ("rank", "optimizer", "verdict"):
        return Cell(text, link=links.study(benchmark, name), kind=f"wrap mark {_standing(text)}" if column == "verdict" else "")
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
