"""Figures with the nights from left to right, as SVG: bad nights on a band, a dashed line where rates were tuned."""

from collections.abc import Mapping, Sequence
from itertools import takewhile

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from optsuite.reporting.plots import Styles
from optsuite.reporting.style import INK, LETTER, WIDTH, Style, line_axes, literal, row_axes, svg
from optsuite.tracking.nights import REFERENCE, Night

MARKS: Mapping[str, Style] = {
    "worse": {"marker": "^", "color": "#D1242F"},
    "better": {"marker": "v", "color": "#2DA44E"},
}
SMALL = 8  # points, for the names of nights, and for percents that may be long
LONGEST = 12  # letters shown of such a name
WIDE = 1.0  # the change beyond which an axis is logarithmic


def overview(points: pd.DataFrame, nights: Sequence[Night], benchmarks: Sequence[str]) -> str:
    """A row for each benchmark, with a mark where something of it changed, from columns night, benchmark, kind."""
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
    """A line for each optimizer, from columns night, optimizer, value, with a mark where it got worse or better.

    `value` is a change relative to the first night; the axis shows at least `least` of it on either side of 0. A night that has
    no value is marked at the height of the one before.
    """
    wide = table.pivot(index="night", columns="optimizer", values="value").reindex(
        range(len(nights))
    )
    heights = wide.ffill().fillna(0.0)
    with line_axes(wide.columns, below=_room_below(nights)) as ax:
        _style_axes(ax, nights)
        for name in wide.columns:
            ax.plot(
                wide.index,
                wide[name],
                marker=".",
                markersize=5,
                label=literal(str(name)),
                **styles[str(name)],
            )
        for row in points.drop_duplicates(["night", "optimizer", "kind"]).to_dict("records"):
            height = heights[row["optimizer"]][row["night"]] if row["optimizer"] in heights else 0.0
            _mark(
                ax,
                nights,
                row["night"],
                height,
                row["kind"],
                edge=styles[row["optimizer"]]["color"],
            )
        if (wide.abs() > WIDE).any(axis=None):
            ax.set_yscale("symlog", linthresh=0.1)
        ax.tick_params(axis="y", labelsize=SMALL)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, -least), max(high, least))
        ax.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{100 * value:+,.6g} %" if value else "0 %")
        )
    return svg(ax)


def _mark(
    ax: Axes, nights: Sequence[Night], x: int, y: float, kind: str, edge: str | None = None
) -> None:
    """A triangle, upwards for worse, and hollow where the rates were tuned."""
    style = MARKS[kind]
    color = style["color"]
    face, edge = ("none", color) if nights[x].kind == REFERENCE else (color, edge or color)
    ax.plot(x, y, markersize=8, zorder=3, markerfacecolor=face, markeredgecolor=edge, **style)


def _style_axes(ax: Axes, nights: Sequence[Night]) -> None:
    """The names of the nights, and how they were."""
    for x, night in enumerate(nights):
        if night.good is not True:
            color, alpha = (MARKS["worse"]["color"], 0.15) if night.good is False else (INK, 0.08)
            ax.axvspan(x - 0.5, x + 0.5, color=color, alpha=alpha, linewidth=0)
        if night.kind == REFERENCE:
            ax.axvline(x, color=INK, alpha=0.6, linestyle="--", linewidth=1)
    start, names = _names(nights)
    ax.set_xticks(
        range(len(nights)),
        [literal(name) for name in names],
        fontsize=SMALL,
        rotation=90 if _is_upright(names) else 0,
    )
    ax.set(
        xlim=(-0.5, len(nights) - 0.5), xlabel=f"night ({literal(start)}…)" if start else "night"
    )
    ax.grid(axis="x", visible=False)


def _names(nights: Sequence[Night]) -> tuple[str, list[str]]:
    """What the names of all nights start with, up to a hyphen, and what follows of each."""
    whole = [night.campaign for night in nights]
    columns = zip(*(name.split("-")[:-1] for name in whole), strict=False)
    start = "".join(
        f"{column[0]}-" for column in takewhile(lambda column: len(set(column)) == 1, columns)
    )
    rest = [name.removeprefix(start) for name in whole]
    return start, [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in rest]


def _is_upright(names: Sequence[str]) -> bool:
    return len(names) * LETTER * max(map(len, names)) > WIDTH / 2


def _room_below(nights: Sequence[Night]) -> float:
    """Inches below the axis for upright names, beyond the line that others take."""
    _, names = _names(nights)
    return max(0.0, LETTER * SMALL / 10 * max(map(len, names)) - 0.3) if _is_upright(names) else 0.0
