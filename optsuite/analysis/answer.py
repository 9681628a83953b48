"""The answer of a whole campaign in English: which optimizer to take, and what that rests on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optsuite.analysis.statements import amount, listed

Row = Mapping[Any, Any]


def answer(across: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """The sentences of the answer, from the tables `overall` and `leaderboard`, the first first.

    Empty if nothing was evaluated.
    """
    if across.empty:
        return _without_comparison(table)
    rows: list[Row] = [*across.to_dict("records")]
    said = [_who(rows), _gap(rows[0])]
    cost = _default(rows[0])
    if cost:
        said.append(cost)
    if not math.isnan(rows[0]["targets"]):
        said.append(f"{rows[0]['optimizer']} reached {rows[0]['targets']:.0%} of its targets.")
    fewer = [row["optimizer"] for row in rows if row["benchmarks"] < row["all_benchmarks"]]
    if fewer:
        verb = "was" if len(fewer) == 1 else "were"
        said.append(f"{listed(fewer)} {verb} compared on a part of the benchmarks only.")
    return said


def advice(across: pd.DataFrame) -> str:
    """The line of code of the first optimizer, with the rates in a comment; empty without it."""
    if across.empty or not across["code"].iloc[0]:
        return ""
    first = across.iloc[0]
    rates = f"tuned: {first['lr_low']:.3g}"
    if first["lr_high"] > first["lr_low"]:
        rates += f" to {first['lr_high']:.3g}, depending on the benchmark"
    return f"{first['code']}  # {rates}"


def gap(row: Row) -> str:
    """The median gap of a row of `overall`, and its interval if it has one."""
    if math.isnan(row["ci_low"]):
        return _size(row["median_gap"])
    return f"{_size(row['median_gap'])} ({_size(row['ci_low'])} to {_size(row['ci_high'])})"


def cost_of_default(row: Row) -> str:
    """What the default rate of a row of `overall` costs: in the median, and at most."""
    if math.isnan(row["default_gap"]):
        return ""
    return f"{_size(row['default_gap'])}, at most {_size(row['largest_default_gap'])}"


def _without_comparison(table: pd.DataFrame) -> list[str]:
    tuned = table[table["arm"] == "tuned"]
    names = list(dict.fromkeys(tuned["optimizer"]))
    if not names:
        return []
    if (tuned["verdict"] == "diverged").all():
        lower = "Search lower rates, or check the benchmark."
        return [f"{listed(names)} diverged on every seed: nothing can be recommended. {lower}"]
    if len(names) == 1:
        return [f"{names[0]} alone was evaluated: add another optimizer to compare it with."]
    return ["No benchmark compares two optimizers yet."]


def _who(rows: Sequence[Row]) -> str:
    """Which optimizers may be best on most benchmarks."""
    most, n_all = rows[0]["may_be_best"], rows[0]["all_benchmarks"]
    leaders = [row["optimizer"] for row in rows if row["may_be_best"] == most]
    where = f"{most} of {n_all} benchmarks"
    if n_all == 1:
        where = "the one benchmark, which says nothing about others"
    elif most == n_all:
        where = f"all {n_all} benchmarks"
    each = " each" if len(leaders) > 1 else ""
    followers = [row for row in rows if 0 < row["may_be_best"] < most]
    text = f"{listed(leaders)} may{each} be best on {where}: no optimizer is certainly better there"
    if followers:
        second = followers[0]["may_be_best"]
        names = [row["optimizer"] for row in followers if row["may_be_best"] == second]
        verb = "follows" if len(names) == 1 else "follow"
        text += f"; {listed(names)} {verb} with {second}"
    return text + "."


def _gap(first: Row) -> str:
    name = first["optimizer"]
    if first["all_benchmarks"] == 1:
        return f"{name} has a gap of {gap(first)} to the lowest score; the interval is over seeds."
    over = "the interval is over benchmarks and seeds"
    if math.isnan(first["ci_low"]):
        over = "one seed gives no interval"
    return f"{name} has a median gap of {gap(first)} to the lowest score; {over}."


def _default(first: Row) -> str:
    """What the default rate of the first optimizer costs."""
    if math.isnan(first["default_gap"]):
        return ""
    rate = ""
    if not math.isnan(first["default_lr"]):
        rate = f", {first['default_lr']:.3g},"
    cost = f"{amount(first['default_gap'])} in the median"
    largest = first["largest_default_gap"]
    if math.isinf(largest):
        cost += ", and diverges on a benchmark"
    elif largest > first["default_gap"]:
        cost += f" and {amount(largest)} at most"
    return f"Its default rate{rate} is {cost}."


def _size(gap: float) -> str:
    """A gap to the best as a percentage, or as a factor where it exceeds two."""
    if math.isinf(gap):
        return "diverged"
    if gap > 0.9995:
        return f"{gap + 1:.3g}x"
    return f"{gap:.1%}"
