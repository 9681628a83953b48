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
from optsuite.tracking.nights import REFERENCE, Night

SHOWN = 30  # nights: the names of more could not be read on an axis
SIGNS = {"worse": "▲△", "better": "▼▽"}  # and where rates were tuned
HEADER = ("benchmark", "optimizer", "what", "before", "after")
JUDGED = {
    True: Cell("good", kind="better"),
    False: Cell("bad", kind="worse"),
    None: Cell("not judged"),
}
LEAST_SCORE, LEAST_TIME = 0.05, 0.5  # so that what lies within the tolerances styles flat


def page(suite: str, history: History, *, n_older: int = 0) -> str:
    """The HTML of the nights of a suite; of `n_older` before them it says that there were such."""
    nights = [night for night, _ in history]
    points, news = trend.change_points(history), night_statements.environment_changes(history)
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
        changes=_changes(points, nights, news),
        columns=HEADER,
        sections=[_section(name, table, points, nights, style) for name in compared],
        journal=_history_table(table, points, nights, news),
    )


def _overview(
    points: pd.DataFrame, nights: Sequence[Night], benchmarks: Sequence[str]
) -> list[Drawing]:
    slow = points["quantity"] == "step_time"
    parts = (
        ("results", "Scores, early losses, steps to target, divergences", points[~slow]),
        ("times", "Time of a step", points[slow]),
    )
    return [
        Drawing(name=name, caption=text, svg=nightly_plots.overview(own, nights, benchmarks))
        for name, text, own in parts
    ]


def _section(
    benchmark: str,
    table: pd.DataFrame,
    points: pd.DataFrame,
    nights: Sequence[Night],
    style: Mapping[str, Style],
) -> dict[str, object]:
    table, points = table[table["benchmark"] == benchmark], points[points["benchmark"] == benchmark]
    slow = points["quantity"] == "step_time"
    drawn = []
    for name, caption, own, least in (
        ("score", "Score against the first night, lower is better", points[~slow], LEAST_SCORE),
        ("time", "Time of a step against the first night", points[slow], LEAST_TIME),
    ):
        values = table[["night", "optimizer"]].assign(value=table[f"{name}_change"])
        picture = nightly_plots.lines(values, own, nights, style, least=least)
        drawn.append(Drawing(name=name, caption=caption, svg=picture))
    return {"name": benchmark, "anchor": f"benchmark-{name_of(benchmark)}", "figures": drawn}


def _changes(
    points: pd.DataFrame, nights: Sequence[Night], news: Sequence[str]
) -> list[dict[str, object]]:
    """The changes of each night that has some, the last night first."""
    groups = []
    for i, night in reversed(list(enumerate(nights))):
        own = points.loc[points["night"] == i].drop(columns="night")
        records = [
            {str(name): value for name, value in row.items()} for row in own.to_dict("records")
        ]
        rows = [_change(Change(**fields), night) for fields in records]
        if rows:
            groups.append(
                {
                    "night": night.campaign,
                    "judged": JUDGED[night.good],
                    "besides": news[i],
                    "rows": rows,
                }
            )
    return groups


def _change(change: Change, night: Night) -> list[Cell]:
    sign = f"{SIGNS[change.kind][night.kind == REFERENCE]} {change.kind}"
    quantity = night_statements.QUANTITIES[change.quantity]
    texts = (change.benchmark, change.optimizer, quantity, *night_statements.change(change))
    return [Cell(sign, kind=change.kind), *map(Cell, texts)]


def _history_table(
    table: pd.DataFrame, points: pd.DataFrame, nights: Sequence[Night], news: Sequence[str]
) -> Grid:
    """Every night, the last one first."""
    rows = []
    for i, night in reversed(list(enumerate(nights))):
        own = points.loc[points["night"] == i, "kind"]
        diverged = table[(table["night"] == i) & (table["diverged"] > 0)].to_dict("records")
        names = [
            f"{row['optimizer']} on {row['benchmark']}: {row['diverged']} of {row['seeds']}"
            for row in diverged
        ]
        started = f"{datetime.fromtimestamp(night.started, UTC):%Y-%m-%d %H:%M}"
        counts = [str(int((own == kind).sum()) or "") for kind in SIGNS]
        long = [Cell(text, kind="wrap") for text in ("; ".join(names), news[i])]
        rows.append(
            [Cell(night.campaign), Cell(started), JUDGED[night.good], *map(Cell, counts), *long]
        )
    return Grid(("night", "start (UTC)", "", "worse", "better", "diverged", "what was new"), rows)
