"""The one style of all figures: sizes, colors that the color-blind tell apart, and SVG that follows light and dark."""

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

# Okabe and Ito 2008, "Color Universal Design", less black, which would vanish in the dark, and yellow, in the light.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
INK = "#010203"  # stands for the color of the text around the figure
WIDTH, HEIGHT = 5.6, 3.5  # inches; shown at the width of a phone, the text can still be read
ROW = 0.26  # inches that an optimizer takes in a figure with a row for each
LINE, LEGEND_COLUMNS = 0.17, 4  # inches of a line of a legend
LETTER, LONGEST = 0.085, 28  # inches of a letter, and how many letters of a name are shown
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
    """Colour and line of each optimizer: those of the registry always have theirs, others follow in order of their names."""
    strangers = sorted(set(optimizers) - OPTIMIZERS.keys())
    return {
        name: {
            "color": PALETTE[i % len(PALETTE)],
            "linestyle": LINES[i // len(PALETTE) % len(LINES)],
        }
        for i, name in enumerate([*OPTIMIZERS, *strangers])
    }


@contextmanager
def axes(*, height: float = HEIGHT, left: float = 0.75, below: float = 0.0) -> Iterator[Axes]:
    """The axes of a new figure in the one style: `height` with their labels, `left` of them and further `below`, in inches.

    Fixed margins: to let matplotlib find them takes as long as to draw the figure.
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
    """Axes with a labelled row for each name, the first at the top, and so many inches more below."""
    labels = [literal(str(name)) for name in names]
    left = 0.25 + LETTER * max(len(label) for label in labels)
    with axes(height=max(HEIGHT / 2, 0.8 + ROW * len(labels)), left=left, below=below) as ax:
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        yield ax


@contextmanager
def line_axes(names: Iterable[str], *, below: float = 0.0) -> Iterator[Axes]:
    """Axes for a line for each name, and room for a legend and so many inches more below."""
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
    """A name, shortened, that matplotlib shows as it is: dollars would be mathematics, a leading underscore would hide it."""
    text = (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")
    return "\N{ZERO WIDTH SPACE}" + text if text.startswith("_") else text


def svg(ax: Axes) -> str:
    """The figure as an SVG element without fixed colors for its text: it takes the color of what is around it."""
    figure, buffer = ax.get_figure(root=True), io.StringIO()
    assert figure is not None
    metadata = {"Date": None, "Creator": None}
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # many figures share a page
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"',
        r"\1",
        re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1),
        count=1,
    )
