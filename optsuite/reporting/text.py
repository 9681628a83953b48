"""The leaderboard as people read it: short columns of text, for a terminal and for Markdown."""

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

HEADERS = (
    "rank",
    "optimizer",
    "verdict",
    "score",
    "95 % interval",
    "lr",
    "at default lr",
    "test loss",
    "test acc.",
    "steps",
    "beware",
)
LESS_IMPORTANT = ("test acc.", "test loss", "steps", "at default lr", "95 % interval", "beware")


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one benchmark as text: a line for each tuned and given row, the default arm beside its tuned one.

    `!` marks a rate at the edge of its interval. Columns without a single entry are left out.
    """
    defaults = {row["optimizer"]: row for row in rows[rows["arm"] == "default"].to_dict("records")}
    as_fraction = not (rows["test_accuracy"] > 1 + 1e-6).any()  # some give it in percent already
    lines = [_line(row, defaults.get(row["optimizer"]), as_fraction) for row in main_rows(rows)]
    table = pd.DataFrame(lines, columns=list(HEADERS))
    return table.loc[:, (table != "").any()]


def main_rows(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows that have a line of their own in `readable`: defaults only where their optimizer has no other."""
    main = rows[rows["arm"] != "default"].to_dict("records")
    names = {row["optimizer"] for row in main}
    return main + [row for row in rows[rows["arm"] == "default"].to_dict("records") if row["optimizer"] not in names]


def narrowed(table: pd.DataFrame, width: int) -> pd.DataFrame:
    """The table without the columns that a terminal of this width has no room for, the least important first."""

    def needed(table: pd.DataFrame) -> int:
        return sum(max(len(text) for text in (name, *table[name])) + 3 for name in table.columns) + 1

    for name in LESS_IMPORTANT:
        if needed(table) > width and name in table.columns:
            table = table.drop(columns=name)
    return table


def _line(row: dict[Any, Any], default: dict[Any, Any] | None, as_fraction: bool) -> tuple[str, ...]:
    interval = f"{row['ci_low']:.4g} to {row['ci_high']:.4g}" if math.isfinite(row["ci_low"]) else ""
    steps = "" if math.isnan(row["steps_to_target"]) else f"{row['steps_to_target']:.0f}"
    beside = ""
    if default is not None and row["arm"] == "tuned":
        beside = f"{default['lr']:.3g}: {re.sub(' (than|as|from) tuned$', '', default['verdict'])}"
    return (
        "" if pd.isna(row["rank"]) else str(row["rank"]),
        row["optimizer"],
        row["verdict"],
        "" if math.isnan(row["score"]) else f"{row['score']:.4g}",
        interval,
        "" if math.isnan(row["lr"]) else f"{row['lr']:.3g}{'!' if row['at_edge'] else ''}",
        beside,
        "" if math.isnan(row["test_loss"]) else f"{row['test_loss']:.4g}",
        "" if math.isnan(row["test_accuracy"]) else _accuracy(row["test_accuracy"], as_fraction),
        "never" if steps == "inf" else steps,
        row["flags"],
    )


def _accuracy(value: float, as_fraction: bool) -> str:
    return f"{value:.1%}" if as_fraction else f"{value:.4g}"


def markdown(table: pd.DataFrame, campaign: str, notes: Sequence[str]) -> str:
    """The whole leaderboard, a section for each benchmark, and the notes."""
    parts = [f"# Leaderboard of campaign {escape(campaign)}\n"]
    for name, rows in table.groupby("benchmark", sort=False):
        parts.append(
            f"## {escape(str(name))}\n\n{readable(rows).map(escape).to_markdown(index=False, disable_numparse=True)}\n"
        )
    if table.empty:
        parts.append("Nothing has been evaluated yet.\n")
    parts += [f"{escape(note)}\n" for note in notes]
    parts.append(LEGEND + "\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: in a cell of a table too."""
    text = " ".join(text.split()) if re.search(r"[^\S ]", text) else text
    return re.sub(r"[\\`*{}\[\]<>#|&~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)  # _ within a word says nothing


LEGEND = (
    "Score: interquartile mean over fresh seeds of the lowest validation loss, at the learning rate tuned on other seeds. "
    "Rank: one more than the number of optimizers that are certainly better: by a paired test corrected for all pairs, and by "
    "more than the tolerance. Best so far, inconclusive: more seeds would tell. Steps: median number of steps to the target. "
    "At default lr: the documented rate, and how its score compares with the tuned one's. Beware: seeds that diverged (each "
    "counts as the worst loss of its benchmark) or collapsed (never beat their initial loss), and what may mislead."
)
