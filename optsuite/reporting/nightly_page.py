"""The trend page: one self-contained HTML file of what changed from night to night."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from optsuite.analysis import night_statements, trend
from optsuite.analysis.changes import Change
from optsuite.analysis.trend import History
from optsuite.reporting import nightly_plots
from optsuite.reporting.campaign_page import name_of, render
from optsuite.reporting.figures import Drawing
from optsuite.reporting.style import Style, styles
from optsuite.reporting.tables import Cell, Grid
from optsuite.tracking.nights import TUNED, Night

SHOWN = 30  # nights: the names of more would be illegible on an axis
SIGNS = {"worse": "▲△", "better": "▼▽"}  # the second one for nights that tuned rates
HEADER = ("benchmark", "optimizer", "what", "before", "after")
MARKS = {
    True: Cell("passed", kind="better"),
    False: Cell("failed", kind="worse"),
    None: Cell("not judged"),
}
LEAST_SCORE, LEAST_TIME = 0.05, 0.5  # so that changes within the tolerances look flat


def page(suite: str, history: History, *, n_older: int = 0) -> str:
    """The HTML of the nights of a suite; it mentions the `n_older` nights before them."""
    nights = [night for night, _ in history]
    points = trend.change_points(history)
    environment_changes = night_statements.environment_changes(history)
    table = trend.lines(history)
    benchmarks = sorted({*table["benchmark"], *points["benchmark"]})
    style = styles({*table["optimizer"], *points["optimizer"]})
    compared = benchmarks if len(history) > 1 else []
    return render(
        "nights.html",
        suite=suite,
        nights=nights,
        n_older=n_older,
        headline=night_statements.headline(nights, points),
        overview=_overview(points, nights, compared) if compared else (),
        changes=_changes(points, nights, environment_changes),
        columns=HEADER,
        sections=[_section(name, table, points, nights, style) for name in compared],
        journal=_history_table(table, points, nights, environment_changes),
    )


def _overview(
    points: pd.DataFrame, nights: Sequence[Night], benchmarks: Sequence[str]
) -> list[Drawing]:
    slow = points["quantity"] == "step_time"
    results = nightly_plots.overview(points[~slow], nights, benchmarks)
    times = nightly_plots.overview(points[slow], nights, benchmarks)
    caption = "Scores, early losses, steps to target, divergences"
    return [
        Drawing(name="results", caption=caption, svg=results),
        Drawing(name="times", caption="Time of a step", svg=times),
    ]


def _section(
    benchmark: str,
    table: pd.DataFrame,
    points: pd.DataFrame,
    nights: Sequence[Night],
    style: Mapping[str, Style],
) -> dict[str, object]:
    table = table[table["benchmark"] == benchmark]
    points = points[points["benchmark"] == benchmark]
    slow = points["quantity"] == "step_time"

    def drawing(name: str, caption: str, own: pd.DataFrame, least: float) -> Drawing:
        values = table[["night", "optimizer"]].assign(value=table[f"{name}_change"])
        picture = nightly_plots.lines(values, own, nights, style, least=least)
        return Drawing(name=name, caption=caption, svg=picture)

    caption = "Score against the first night, lower is better"
    score = drawing("score", caption, points[~slow], LEAST_SCORE)
    time = drawing("time", "Time of a step against the first night", points[slow], LEAST_TIME)
    anchor = f"benchmark-{name_of(benchmark)}"
    return {"name": benchmark, "anchor": anchor, "figures": [score, time]}


def _changes(
    points: pd.DataFrame, nights: Sequence[Night], environment_changes: Sequence[str]
) -> list[dict[str, object]]:
    """The changes of each night with any, the last night first."""
    groups = []
    for i, night in reversed(list(enumerate(nights))):
        own = points.loc[points["night"] == i].drop(columns="night")
        rows = []
        for record in own.to_dict("records"):
            fields = {str(name): value for name, value in record.items()}
            rows.append(_change(Change(**fields), night))
        if rows:
            mark = MARKS[night.passed]
            group = {
                "night": night.campaign,
                "mark": mark,
                "besides": environment_changes[i],
                "rows": rows,
            }
            groups.append(group)
    return groups


def _change(change: Change, night: Night) -> list[Cell]:
    sign = f"{SIGNS[change.kind][night.kind == TUNED]} {change.kind}"
    quantity = night_statements.QUANTITIES[change.quantity]
    texts = (change.benchmark, change.optimizer, quantity, *night_statements.change(change))
    return [Cell(sign, kind=change.kind), *map(Cell, texts)]


def _history_table(
    table: pd.DataFrame,
    points: pd.DataFrame,
    nights: Sequence[Night],
    environment_changes: Sequence[str],
) -> Grid:
    """Every night, the last one first."""
    rows = []
    for i, night in reversed(list(enumerate(nights))):
        started = f"{datetime.fromtimestamp(night.started, UTC):%Y-%m-%d %H:%M}"
        kinds = points.loc[points["night"] == i, "kind"]
        counts = [Cell(str(int((kinds == kind).sum()) or "")) for kind in SIGNS]
        diverged = []
        for row in table[(table["night"] == i) & (table["diverged"] > 0)].to_dict("records"):
            n_of = f"{row['diverged']} of {row['seeds']}"
            diverged.append(f"{row['optimizer']} on {row['benchmark']}: {n_of}")
        long = [Cell("; ".join(diverged), kind="wrap"), Cell(environment_changes[i], kind="wrap")]
        rows.append([Cell(night.campaign), Cell(started), MARKS[night.passed], *counts, *long])
    return Grid(("night", "start (UTC)", "", "worse", "better", "diverged", "what was new"), rows)
