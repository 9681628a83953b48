"""The style of all figures: sizes, a palette for the color-blind, and SVG for light and dark."""

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optsuite.optimizers import OPTIMIZERS

# Okabe and Ito 2008, "Color Universal Design", without black, which is invisible on dark
# backgrounds, and yellow, which is invisible on light ones.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
INK = "#010203"  # stands for the color of the text around the figure
WIDTH, HEIGHT = 5.6, 3.5  # inches; the text is legible at the width of a phone
ROW = 0.26  # height in inches of a row of an optimizer
LINE, LEGEND_COLUMNS = 0.17, 4  # height in inches of a line of a legend
LETTER, LONGEST = 0.085, 28  # width in inches of a letter, and letters shown of a name
STYLE: Any = {
    "font.size": 10,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "optsuite",
}
THEME = "<style>svg{color:#1b1f24}@media (prefers-color-scheme: dark){svg{color:#d7dce2}}</style>"

Style = Mapping[str, Any]


def styles(optimizers: Iterable[str]) -> dict[str, Style]:
    """The color and line style of each optimizer.

    Those of the registry always have the same; others follow in order of their names.
    """
    others = sorted(set(optimizers) - OPTIMIZERS.keys())
    found: dict[str, Style] = {}
    for i, name in enumerate([*OPTIMIZERS, *others]):
        color = PALETTE[i % len(PALETTE)]
        line = LINES[i // len(PALETTE) % len(LINES)]
        found[name] = {"color": color, "linestyle": line}
    return found


@contextmanager
def axes(*, height: float = HEIGHT, left: float = 0.75, below: float = 0.0) -> Iterator[Axes]:
    """The axes of a new figure in our style.

    In inches: `height` is that of the figure with its labels, without `below`, which adds room at
    the bottom; `left` is the left margin. Margins are fixed, because letting matplotlib compute
    them takes as long as drawing the figure.
    """
    with mpl.rc_context(STYLE):
        whole = height + below
        margins = {
            "left": left / WIDTH,
            "right": 1 - 0.15 / WIDTH,
            "bottom": (0.6 + below) / whole,
            "top": 1 - 0.1 / whole,
        }
        figure = Figure(figsize=(WIDTH, whole))
        figure.subplots_adjust(**margins)
        yield figure.add_subplot()


@contextmanager
def row_axes(names: Iterable[str], *, below: float = 0.0) -> Iterator[Axes]:
    """Axes with a labeled row for each name, the first at the top, and `below` more inches."""
    labels = [literal(str(name)) for name in names]
    left = 0.25 + LETTER * max(map(len, labels))
    height = max(HEIGHT / 2, 0.8 + ROW * len(labels))
    with axes(height=height, left=left, below=below) as ax:
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        yield ax


@contextmanager
def line_axes(names: Iterable[str], *, below: float = 0.0) -> Iterator[Axes]:
    """Axes for a line for each name, with a legend and `below` more inches at the bottom."""
    n_lines = math.ceil(len(set(names)) / LEGEND_COLUMNS)
    with axes(below=LINE * n_lines + below) as ax:
        yield ax
        figure = ax.figure
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="lower center",
            ncols=LEGEND_COLUMNS,
            borderaxespad=0.2,
            labelspacing=0.3,
        )


def literal(name: str) -> str:
    """A name, shortened, that matplotlib shows as it is.

    Dollar signs would start mathematics; labels with a leading underscore would be hidden.
    """
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 1]}…"
    text = name.replace("$", r"\$")
    if text.startswith("_"):
        return "\N{ZERO WIDTH SPACE}" + text
    return text


def svg(ax: Axes) -> str:
    """The figure as an SVG element whose text takes the color of its surroundings."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None}
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # many figures share a page
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
