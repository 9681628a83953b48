"""Tables of the page: what each cell shows, sorts by and links to."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from optsuite.analysis import statements
from optsuite.analysis.columns import Column, Row
from optsuite.reporting.text import shown
from optsuite.tracking.links import Links

# How the verdict on a ranked row is marked: as one of the best, as open, or as neither.
MARKS: Mapping[str, str] = {
    "best": "best",
    "tied": "best",
    "alone": "best",
    "leads": "open",
    "open": "open",
    "worse": "lost",
}


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


def leaderboard_grid(rows: pd.DataFrame, links: Links) -> Grid:
    """The leaderboard of one benchmark as people read it; each cell links to the runs that it comes from."""
    columns, lines = shown(rows)
    benchmark = str(rows["benchmark"].iloc[0])
    grid = [[_cell(column, line, benchmark, links) for column in columns] for line in lines]
    return Grid([column.header for column in columns], grid)


def standings_grid(table: pd.DataFrame, sentences: Sequence[Sequence[Cell]], links: Links) -> Grid:
    """A row for each benchmark: the cells of its sentence, and for each optimizer, with a mark, its gap to the best."""
    names = sorted(table.loc[table["rank"].notna(), "optimizer"].unique())
    rows = []
    for sentence, (benchmark, own) in zip(
        sentences, table.groupby("benchmark", sort=False), strict=True
    ):
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
            mark = MARKS.get(row["verdict"], "lost")
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
    return Grid(header, [[_plain(value) for value in row] for row in rows])


def _plain(value: object) -> Cell:
    if isinstance(value, float):
        return Cell("" if math.isnan(value) else f"{value:.4g}", key=number(value))
    return Cell(
        f"{value:,}" if isinstance(value, int) else str(value),
        key=str(value) if isinstance(value, int) else None,
    )


def number(value: float) -> str:
    """A number as JavaScript reads it; empty where there is none."""
    return "" if pd.isna(value) else "1e999" if value == math.inf else repr(float(value))
