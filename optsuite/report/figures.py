"""Figures of one benchmark, each from a DataFrame, as SVG. Names are drawn as they are, never as markup."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from optsuite.report.style import HEIGHT, Look, axes, svg

ROW = 0.26  # inches that an optimizer takes in a figure with a row for each
LINE, LEGEND_COLUMNS = 0.17, 4  # inches of a line of a legend
LETTER, LONGEST = 0.085, 28  # inches of a letter, and how many letters of a name are shown
Looks = Mapping[str, Look]


def score_intervals(rows: pd.DataFrame, scores: pd.DataFrame, looks: Looks) -> str:
    """Each ranked optimizer's score with its 95 % interval, and a dot for each seed, best at the top."""
    with _rowed(rows["optimizer"]) as ax:
        for y, row in enumerate(rows.to_dict("records")):
            colour = looks[row["optimizer"]]["color"]
            ax.plot(scores[row["optimizer"]], np.full(len(scores), y), "o", color=colour, alpha=0.35, markersize=4, mew=0)
            ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=3, solid_capstyle="butt")
            ax.plot([row["score"]], [y], "D", color=colour, markersize=6)
        _log_where_wide(ax, "x", scores.to_numpy())
        ax.set_xlabel("score: lowest validation loss (dots: seeds; bar: 95 % interval)")
        return svg(ax)


def loss_curves(curves: pd.DataFrame, looks: Looks) -> str:
    """Median validation loss against the step, and the middle half of the seeds; from columns run_id, optimizer, step, value.

    A run that has diverged is infinitely bad from there on: a line ends where most have.
    """
    with _lined(curves["optimizer"]) as ax:
        for name, own in curves.groupby("optimizer"):
            runs = own.pivot_table(index="run_id", columns="step", values="value").fillna(np.inf)
            low, middle, high = np.quantile(runs, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
            low, middle, high = (np.where(np.isfinite(values), values, np.nan) for values in (low, middle, high))
            look = looks[str(name)]
            ax.plot(runs.columns, middle, label=_plain(str(name)), **look)
            ax.fill_between(runs.columns, low, high, color=look["color"], alpha=0.15, linewidth=0)
        _log_where_wide(ax, "y", curves["value"].to_numpy())
        ax.set(xlabel="step", ylabel="validation loss")
    return svg(ax)


def rate_sensitivity(tried: pd.DataFrame, tuned: Mapping[str, float], ceiling: float, looks: Looks) -> str:
    """Score of every rate tried against the rate, as seen in tuning; a ring marks the tuned one, a cross what diverged."""
    with _lined(tried["optimizer"]) as ax:
        for name, own in tried.groupby("optimizer"):
            own, look = own.sort_values("lr"), looks[str(name)]
            healthy, diverged = own[~own["diverged"].astype(bool)], own[own["diverged"].astype(bool)]
            height = healthy["score"].clip(upper=ceiling)
            ax.plot(healthy["lr"], height, marker=".", label=_plain(str(name)), **look)
            ax.plot(diverged["lr"], np.full(len(diverged), ceiling), "x", color=look["color"], markersize=5)
            best = own[own["lr"] == tuned.get(str(name))]
            ax.plot(best["lr"], best["score"].clip(upper=ceiling), "o", mfc="none", color=look["color"], markersize=9)
        ax.set_xscale("log")
        _log_where_wide(ax, "y", tried["score"].clip(upper=ceiling).to_numpy())
        ax.set(xlabel="learning rate", ylabel="score of the trial")
    return svg(ax)


def steps_to_target(evaluations: pd.DataFrame, max_steps: float, looks: Looks) -> str:
    """The fraction of the seeds that have reached the target, against the step."""
    with _lined(evaluations["optimizer"]) as ax:
        for name, own in evaluations.groupby("optimizer"):
            reached = np.sort(own["steps_to_target"].dropna())
            x = np.concatenate(([0.0], reached, [max_steps]))
            y = np.concatenate(([0.0], np.arange(1, len(reached) + 1), [len(reached)])) / len(own)
            ax.step(x, y, where="post", label=_plain(str(name)), **looks[str(name)])
        ax.set(xlabel="step", ylabel="seeds that reached the target", ylim=(-0.02, 1.02))
        ax.yaxis.set_major_formatter("{x:.0%}")
    return svg(ax)


def default_and_tuned(rows: pd.DataFrame, defaults: Mapping[str, float], looks: Looks) -> str:
    """The score at the default rate (hollow) beside that at the tuned one (full)."""
    with _rowed(rows["optimizer"]) as ax:
        for y, row in enumerate(rows.to_dict("records")):
            colour, default = looks[row["optimizer"]]["color"], defaults.get(row["optimizer"], np.nan)
            ax.plot([row["score"], default], [y, y], color=colour, alpha=0.5)
            ax.plot([default], [y], "o", color=colour, mfc="none", markersize=7)
            ax.plot([row["score"]], [y], "D", color=colour, markersize=6)
        _log_where_wide(ax, "x", np.array([*rows["score"], *defaults.values()], dtype=float))
        ax.set_xlabel("score at the tuned rate (full) and at the default (ring)")
        return svg(ax)


def mean_positions(overall: pd.DataFrame, looks: Looks) -> str:
    """The mean position of each optimizer over the benchmarks with its 95 % interval."""
    with _rowed(overall["optimizer"]) as ax:
        for y, row in enumerate(overall.to_dict("records")):
            colour = looks[row["optimizer"]]["color"]
            ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=3, solid_capstyle="butt")
            ax.plot([row["mean_position"]], [y], "D", color=colour, markersize=6)
        ax.set_xlabel("mean position by score (1 is best; bar: 95 % interval)")
        return svg(ax)


def lines(table: pd.DataFrame, looks: Looks, *, x: str, y: str, log: bool = False) -> str:
    """A line for each column of a table against its index."""
    with _lined(table.columns) as ax:
        for name in table.columns:
            ax.plot(table.index, table[name], label=_plain(name), **looks[name])
        if log:
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}x")
        ax.set(xlabel=x, ylabel=y)
    return svg(ax)


@contextmanager
def _rowed(names: pd.Series) -> Iterator[Axes]:
    """Axes with a labelled row for each name, the first at the top."""
    labels = [_plain(str(name)) for name in names]
    left = 0.25 + LETTER * max(len(label) for label in labels)
    with axes(height=max(HEIGHT / 2, 0.8 + ROW * len(labels)), left=left) as ax:
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        yield ax


def _log_where_wide(ax: Axes, axis: str, values: np.ndarray) -> None:
    """A logarithmic axis where positive values span more than a factor of five."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 5 * finite.min():
        ax.set(**{f"{axis}scale": "log"})


@contextmanager
def _lined(names: Iterable[str]) -> Iterator[Axes]:
    """Axes for a line for each name, and room for a legend below."""
    n_lines = math.ceil(len(set(names)) / LEGEND_COLUMNS)
    with axes(below=LINE * n_lines) as ax:
        yield ax
        figure = ax.figure
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=LEGEND_COLUMNS, borderaxespad=0.2, labelspacing=0.3)


def _plain(name: str) -> str:
    """A name, shortened, that matplotlib shows as it is: dollars would be mathematics, a leading underscore would hide it."""
    text = (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")
    return "\N{ZERO WIDTH SPACE}" + text if text.startswith("_") else text
