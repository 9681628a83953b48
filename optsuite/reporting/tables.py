"""Tables of the page: the text, sort key and link of each cell."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from optsuite.analysis import statements
from optsuite.analysis.columns import Column, Row
from optsuite.reporting.text import shown
from optsuite.tracking.links import Links

# The mark of a ranked row by its verdict: one of the best, open, or neither.
MARKS: Mapping[str, str] = {
    "best": "best",
    "tied": "best",
    "alone": "best",
    "leads": "open",
    "open": "open",
    "worse": "worse",
}


@dataclass(frozen=True)
class Cell:
    """A text, the key it is sorted by if that is not the text, an address, and a CSS class."""

    text: str
    key: str | None = None
    link: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class Grid:
    """A header and rows of cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def leaderboard_grid(rows: pd.DataFrame, links: Links) -> Grid:
    """The leaderboard of one benchmark as people read it; each cell links to its runs."""
    columns, lines = shown(rows)
    benchmark = str(rows["benchmark"].iloc[0])
    grid = []
    for line in lines:
        grid.append([_cell(column, line, benchmark, links) for column in columns])
    return Grid([column.header for column in columns], grid)


def standings_grid(table: pd.DataFrame, sentences: Sequence[Sequence[Cell]], links: Links) -> Grid:
    """A row for each benchmark: the cells of its sentence, and the gap of each optimizer."""
    names = sorted(table.loc[table["rank"].notna(), "optimizer"].unique())
    groups = table.groupby("benchmark", sort=False)
    rows = []
    for sentence, (benchmark, own) in zip(sentences, groups, strict=True):
        ranked = {row["optimizer"]: row for row in own[own["rank"].notna()].to_dict("records")}
        gaps = [_gap(ranked.get(name), links.study(str(benchmark), name)) for name in names]
        rows.append([*sentence, *gaps])
    return Grid(("benchmark", "how sure", "who won", *names), rows)


def _gap(row: Row | None, link: str) -> Cell:
    if row is None:
        return Cell("", key="")
    text = statements.standing(row)
    return Cell(text, key=number(row["gap"]), link=link, kind=f"mark {MARKS[row['verdict']]}")


def _cell(column: Column, row: Row, benchmark: str, links: Links) -> Cell:
    name, arm, text = row["optimizer"], row["arm"], column.show(row)
    if not text:
        return Cell("", key="")
    match column.name:
        case "rank" | "optimizer":
            return Cell(text, link=links.study(benchmark, name))
        case "verdict":
            mark = MARKS.get(row["verdict"], "worse")
            return Cell(text, link=links.study(benchmark, name), kind=f"wrap mark {mark}")
        case "lr" if arm == "tuned":
            return Cell(text, key=number(row["lr"]), link=links.runs(benchmark, name, kind="trial"))
        case "default_lr":
            return Cell(text, link=links.runs(benchmark, name, arm="default"))
        case "warnings":
            return Cell(text, link=links.runs(benchmark, name, arm=arm), kind="wrap")
    key = number(row[column.name]) if isinstance(row[column.name], float) else None
    return Cell(text, key=key, link=links.runs(benchmark, name, arm=arm))


def plain_grid(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Grid:
    """A grid of texts and numbers, numbers to four digits."""
    return Grid(header, [tuple(map(_plain, row)) for row in rows])


def _plain(value: object) -> Cell:
    if isinstance(value, float):
        text = "" if math.isnan(value) else f"{value:.4g}"
        return Cell(text, key=number(value))
    if isinstance(value, int):
        return Cell(f"{value:,}", key=str(value))
    return Cell(str(value))


def number(value: float) -> str:
    """A number as JavaScript reads it; empty if it is missing."""
    if pd.isna(value):
        return ""
    if value == math.inf:
        return "1e999"
    return repr(float(value))
