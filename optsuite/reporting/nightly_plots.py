"""Figures as SVG with the nights from left to right.

Bad nights have a band behind them, and nights that tuned rates a dashed line.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from optsuite.reporting.plots import Styles
from optsuite.reporting.style import INK, LETTER, WIDTH, Style, line_axes, literal, row_axes, svg
from optsuite.tracking.nights import TUNED, Night

MARKS: Mapping[str, Style] = {
    "worse": {"marker": "^", "color": "#D1242F"},
    "better": {"marker": "v", "color": "#2DA44E"},
}
DOTS: Style = {"marker": ".", "markersize": 5}
SMALL = 8  # font size in points, for names of nights and percentages, which may be long
LONGEST = 12  # letters shown of the name of a night
WIDE = 1.0  # for larger changes, an axis is logarithmic


def overview(points: pd.DataFrame, nights: Sequence[Night], benchmarks: Sequence[str]) -> str:
    """A row for each benchmark with a mark for each night in which something changed.

    `points` has the columns night, benchmark and kind.
    """
    with row_axes(benchmarks, below=_room_below(nights)) as ax:
        _style_axes(ax, nights)
        place = {name: y for y, name in enumerate(benchmarks)}
        for y in place.values():
            ax.plot(range(len(nights)), [y] * len(nights), ".", color=INK, alpha=0.3, markersize=3)
        for row in points.drop_duplicates(["night", "benchmark", "kind"]).to_dict("records"):
            _mark(ax, nights, row["night"], place[row["benchmark"]], row["kind"])
        return svg(ax)


def lines(
    table: pd.DataFrame,
    points: pd.DataFrame,
    nights: Sequence[Night],
    styles: Styles,
    *,
    least: float,
) -> str:
    """A line for each optimizer with a mark for each night that made it worse or better.

    `table` has the columns night, optimizer and value: a change relative to the first night. The
    axis shows at least `least` of it on either side of 0. A night without a value is marked at the
    height of the night before.
    """
    wide = table.pivot(index="night", columns="optimizer", values="value")
    wide = wide.reindex(range(len(nights)))
    with line_axes(wide.columns, below=_room_below(nights)) as ax:
        _style_axes(ax, nights)
        for name in map(str, wide.columns):
            ax.plot(wide.index, wide[name], label=literal(name), **DOTS, **styles[name])
        _mark_points(ax, points, nights, wide, styles)
        if (wide.abs() > WIDE).any(axis=None):
            ax.set_yscale("symlog", linthresh=0.1)
        ax.tick_params(axis="y", labelsize=SMALL)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, -least), max(high, least))
        ax.yaxis.set_major_formatter(FuncFormatter(_percent))
    return svg(ax)


def _percent(value: float, _: object) -> str:
    return f"{100 * value:+,.6g} %" if value else "0 %"


def _mark_points(
    ax: Axes, points: pd.DataFrame, nights: Sequence[Night], wide: pd.DataFrame, styles: Styles
) -> None:
    """Mark what changed, on the lines of `wide` (nights, optimizers)."""
    heights = wide.ffill().fillna(0.0)
    for row in points.drop_duplicates(["night", "optimizer", "kind"]).to_dict("records"):
        night, name = row["night"], row["optimizer"]
        height = heights[name][night] if name in heights else 0.0
        _mark(ax, nights, night, height, row["kind"], edge=styles[name]["color"])


def _mark(
    ax: Axes, nights: Sequence[Night], x: int, y: float, kind: str, edge: str | None = None
) -> None:
    """A triangle, upwards for worse, and hollow on a night that tuned rates."""
    style = MARKS[kind]
    color = style["color"]
    face, edge = color, edge or color
    if nights[x].kind == TUNED:
        face, edge = "none", color
    ax.plot(x, y, markersize=8, zorder=3, markerfacecolor=face, markeredgecolor=edge, **style)


def _style_axes(ax: Axes, nights: Sequence[Night]) -> None:
    """The names of the nights, with a band behind each that did not pass."""
    for x, night in enumerate(nights):
        left, right = x - 0.5, x + 0.5
        if night.passed is False:
            ax.axvspan(left, right, color=MARKS["worse"]["color"], alpha=0.15, linewidth=0)
        elif night.passed is None:
            ax.axvspan(left, right, color=INK, alpha=0.08, linewidth=0)
        if night.kind == TUNED:
            ax.axvline(x, color=INK, alpha=0.6, linestyle="--", linewidth=1)
    start, names = _names(nights)
    rotation = 90 if _is_upright(names) else 0
    labels = [literal(name) for name in names]
    ax.set_xticks(range(len(nights)), labels, fontsize=SMALL, rotation=rotation)
    xlabel = f"night ({literal(start)}…)" if start else "night"
    ax.set(xlim=(-0.5, len(nights) - 0.5), xlabel=xlabel)
    ax.grid(axis="x", visible=False)


def _names(nights: Sequence[Night]) -> tuple[str, list[str]]:
    """The common start of all names, up to a hyphen, and the rest of each, shortened."""
    parts = [night.campaign.split("-")[:-1] for night in nights]
    start = ""
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        start += f"{column[0]}-"
    names = []
    for night in nights:
        name = night.campaign.removeprefix(start)
        if len(name) > LONGEST:
            name = f"{name[: LONGEST - 1]}…"
        names.append(name)
    return start, names


def _is_upright(names: Sequence[str]) -> bool:
    return len(names) * LETTER * max(map(len, names)) > WIDTH / 2


def _room_below(nights: Sequence[Night]) -> float:
    """Inches below the axis for upright names, in addition to the usual line."""
    _, names = _names(nights)
    if not _is_upright(names):
        return 0.0
    longest = max(map(len, names))
    return max(0.0, LETTER * SMALL / 10 * longest - 0.3)
