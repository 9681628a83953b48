"""The trend page: one self-contained HTML file of what changed from night to night."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from optsuite.analysis import trend
from optsuite.analysis.changes import PAIR, STEP_TIME
from optsuite.analysis.trend import History
from optsuite.reporting import nightly_plots
from optsuite.reporting.campaign_page import name_of, render
from optsuite.reporting.figures import Drawing
from optsuite.reporting.style import Look, looks
from optsuite.reporting.tables import Cell, Grid
from optsuite.tracking.nights import REFERENCE, Night

SHOWN = 30  # nights: the names of more could not be read on an axis
SIGNS = {"worse": "▲△", "better": "▼▽"}  # and where rates were tuned
COLUMNS = ("benchmark", "optimizer", "what", "before", "after")
JUDGED = {True: Cell("good", kind="better"), False: Cell("bad", kind="worse"), None: Cell("not judged")}
LEAST_SCORE, LEAST_TIME = 0.05, 0.5  # so that what lies within the tolerances looks flat
NAMED = 3  # optimizers in a sentence
COMMIT = re.compile(r"\b([0-9a-f]{10})[0-9a-f]{30}\b")


def page(suite: str, history: History, *, n_older: int = 0) -> str:
    """The HTML of the nights of a suite; of `n_older` before them it says that there were such."""
    nights = [night for night, _ in history]
    points, circumstances = trend.change_points(history), _circumstances(history)
    table = trend.lines(history)
    benchmarks = sorted({*table["benchmark"], *points["benchmark"]})
    look = looks({*table["optimizer"], *points["optimizer"]})
    compared = benchmarks if len(history) > 1 else []
    return render(
        "nights.html",
        suite=suite,
        nights=nights,
        n_older=n_older,
        headline=_headline(nights, points),
        overview=_overview(points, nights, compared) if compared else (),
        changes=_changes(points, nights, circumstances),
        columns=COLUMNS,
        sections=[_section(name, table, points, nights, look) for name in compared],
        journal=_journal(table, points, nights, circumstances),
    )


def _headline(nights: Sequence[Night], points: pd.DataFrame) -> str:
    """How the last night was, and which one broke something last."""
    if len(nights) < 2:
        return "There is nothing to compare yet: trends begin with the second night."
    how = {True: "was good", False: "was bad", None: "has not been judged"}[nights[-1].good]
    said = f"The last night, {nights[-1].campaign}, {how}."
    tuned = [i for i, night in enumerate(nights) if night.kind == REFERENCE]
    worse = points[(points["verdict"] == "worse") & ~points["night"].isin(tuned)]
    if worse.empty:
        return f"{said} Nothing got worse while the rates stayed the same."
    broke = worse[worse["night"] == worse["night"].max()]
    pairs = [f"{row['optimizer']} on {row['benchmark']}" for row in broke.drop_duplicates(PAIR).to_dict("records")]
    names = ", ".join(pairs[:NAMED]) + (f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else "")
    return f"{said} The last to make something worse was {nights[broke['night'].iloc[0]].campaign}: {names}."


def _overview(points: pd.DataFrame, nights: Sequence[Night], benchmarks: Sequence[str]) -> list[Drawing]:
    slow = points["what"] == STEP_TIME
    parts = (
        ("results", "Scores, early losses, steps to target, divergences", points[~slow]),
        ("times", "Time of a step", points[slow]),
    )
    return [Drawing(name=name, caption=text, svg=nightly_plots.overview(own, nights, benchmarks)) for name, text, own in parts]


def _section(
    benchmark: str, table: pd.DataFrame, points: pd.DataFrame, nights: Sequence[Night], look: Mapping[str, Look]
) -> dict[str, object]:
    table, points = table[table["benchmark"] == benchmark], points[points["benchmark"] == benchmark]
    slow = points["what"] == STEP_TIME
    drawn = []
    for name, caption, own, least in (
        ("score", "Score against the first night, lower is better", points[~slow], LEAST_SCORE),
        ("time", "Time of a step against the first night", points[slow], LEAST_TIME),
    ):
        values = table[["night", "optimizer"]].assign(value=table[f"{name}_change"])
        picture = nightly_plots.lines(values, own, nights, look, least=least)
        drawn.append(Drawing(name=name, caption=caption, svg=picture))
    return {"name": benchmark, "anchor": f"benchmark-{name_of(benchmark)}", "figures": drawn}


def _changes(points: pd.DataFrame, nights: Sequence[Night], circumstances: Sequence[str]) -> list[dict[str, object]]:
    """The changes of each night that has some, the last night first."""
    groups = []
    for i, night in reversed(list(enumerate(nights))):
        own = points[points["night"] == i].to_dict("records")
        rows = [(_sign(row["verdict"], night), *(Cell(row[name]) for name in COLUMNS)) for row in own]
        if rows:
            groups.append({"night": night.campaign, "judged": JUDGED[night.good], "besides": circumstances[i], "rows": rows})
    return groups


def _sign(verdict: str, night: Night) -> Cell:
    return Cell(f"{SIGNS[verdict][night.kind == REFERENCE]} {verdict}", kind=verdict)


def _journal(table: pd.DataFrame, points: pd.DataFrame, nights: Sequence[Night], circumstances: Sequence[str]) -> Grid:
    """Every night, the last one first."""
    rows = []
    for i, night in reversed(list(enumerate(nights))):
        own = points.loc[points["night"] == i, "verdict"]
        diverged = table[(table["night"] == i) & (table["diverged"] > 0)].to_dict("records")
        names = [f"{row['optimizer']} on {row['benchmark']}: {row['diverged']} of {row['seeds']}" for row in diverged]
        started = f"{datetime.fromtimestamp(night.started, UTC):%Y-%m-%d %H:%M}"
        counts = [str(int((own == verdict).sum()) or "") for verdict in SIGNS]
        long = [Cell(text, kind="wrap") for text in ("; ".join(names), circumstances[i])]
        rows.append([Cell(night.campaign), Cell(started), JUDGED[night.good], *map(Cell, counts), *long])
    return Grid(("night", "start (UTC)", "", "worse", "better", "diverged", "what was new"), rows)


def _circumstances(history: History) -> list[str]:
    """What was different about each night but its results, in a line; of the first, what it was made with."""
    lines = []
    for i, items in enumerate(trend.environments(history)):
        said = [f"{name} {old or 'unknown'} → {new or 'unknown'}" if i else f"{name} {new}" for name, old, new in items]
        tuned = ["reference: rates tuned"] if history[i][0].kind == REFERENCE else []
        lines.append(COMMIT.sub(r"\1", "; ".join([*tuned, *said])))
    return lines
