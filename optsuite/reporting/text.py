"""The leaderboard as people read it: short columns of text, for a terminal and for Markdown."""

import re
from collections.abc import Sequence

import pandas as pd

from optsuite.analysis import statements
from optsuite.analysis.columns import Column, Row, columns_of


def shown(rows: pd.DataFrame) -> tuple[list[Column], list[Row]]:
    """The columns of one benchmark that have an entry, and its rows as people read them.

    A default row is shown only if its optimizer has no other row; otherwise its rate is in the
    tuned row.
    """
    is_default = rows["arm"] == "default"
    alone = is_default & ~rows["optimizer"].isin(rows.loc[~is_default, "optimizer"])
    in_percent = False
    if "test_accuracy" in rows:
        in_percent = bool((rows["test_accuracy"] > 1 + 1e-6).any())  # some metrics give percents
    lines = pd.concat([rows[~is_default], rows[alone]]).assign(in_percent=in_percent)
    records: list[Row] = [*lines.to_dict("records")]
    named = [column for column in columns_of(rows) if column.header]
    columns = []
    for column in named:
        if any(column.show(line) for line in records):
            columns.append(column)
    return columns, records


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one benchmark as text, with the headers as columns."""
    return as_text(*shown(rows))


def as_text(columns: Sequence[Column], lines: Sequence[Row]) -> pd.DataFrame:
    """These columns of the lines as text, with the headers as columns."""
    texts = [[column.show(line) for column in columns] for line in lines]
    return pd.DataFrame(texts, columns=[column.header for column in columns])


def narrowed(rows: pd.DataFrame, width: int) -> pd.DataFrame:
    """The rows as text, without the least important columns if a terminal is too narrow."""
    columns, lines = shown(rows)
    table = as_text(columns, lines)
    for column in sorted(columns, key=lambda column: -column.drop):
        if column.drop and _width(table) > width:
            table = table.drop(columns=column.header)
    return table


def _width(table: pd.DataFrame) -> int:
    widths = [max(map(len, (name, *table[name]))) for name in table.columns]
    return sum(widths) + 3 * len(widths) + 1


def markdown(table: pd.DataFrame, campaign: str, notes: Sequence[str]) -> str:
    """The whole leaderboard, a section for each benchmark, and the notes."""
    parts = [f"# Leaderboard of campaign {escape(campaign)}\n"]
    for name, rows in table.groupby("benchmark", sort=False):
        cells = readable(rows).map(escape)
        text = cells.to_markdown(index=False, disable_numparse=True)
        parts.append(f"## {escape(str(name))}\n\n{text}\n")
    if table.empty:
        parts.append("Nothing has been evaluated yet.\n")
    parts += [f"{escape(note)}\n" for note in notes]
    parts.append(statements.LEGEND + "\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also in a cell of a table."""
    if re.search(r"[^\S ]", text):
        text = " ".join(text.split())
    # An underscore within a word has no meaning in Markdown.
    return re.sub(r"[\\`*{}\[\]<>#|&~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
