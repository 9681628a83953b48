"""Figures of one benchmark as SVG, each from a DataFrame. Names are never drawn as markup."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from optsuite.reporting.style import Style, line_axes, literal, row_axes, svg

Styles = Mapping[str, Style]
BAR: Style = {"linewidth": 3, "solid_capstyle": "butt"}  # of an interval
SEED: Style = {"alpha": 0.35, "markersize": 4, "mew": 0}


def score_intervals(rows: pd.DataFrame, scores: pd.DataFrame, styles: Styles) -> str:
    """The score of each ranked optimizer, its 95 % interval, and a dot for each seed."""
    with row_axes(rows["optimizer"]) as ax:
        for y, row in enumerate(rows.to_dict("records")):
            name = row["optimizer"]
            color = styles[name]["color"]
            ax.plot(scores[name], np.full(len(scores), y), "o", color=color, **SEED)
            ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=color, **BAR)
            ax.plot([row["score"]], [y], "D", color=color, markersize=6)
        _log_where_wide(ax, "x", scores.to_numpy())
        ax.set_xlabel("score: lowest validation loss (dots: seeds; bar: 95 % interval)")
        return svg(ax)


def loss_curves(curves: pd.DataFrame, styles: Styles) -> str:
    """Median validation loss against the step, and the middle half of the seeds.

    `curves` has the columns run_id, optimizer, step and value. A diverged run counts as infinite
    from there on, so a line ends when most runs have diverged.
    """
    with line_axes(curves["optimizer"]) as ax:
        for name, own in curves.groupby("optimizer"):
            runs = own.pivot_table(index="run_id", columns="step", values="value").fillna(np.inf)
            bands = np.quantile(runs, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
            low, middle, high = np.where(np.isfinite(bands), bands, np.nan)
            style = styles[str(name)]
            ax.plot(runs.columns, middle, label=literal(str(name)), **style)
            ax.fill_between(runs.columns, low, high, color=style["color"], alpha=0.15, linewidth=0)
        _log_where_wide(ax, "y", curves["value"].to_numpy())
        ax.set(xlabel="step", ylabel="validation loss")
    return svg(ax)


def rate_sensitivity(
    tried: pd.DataFrame, tuned: Mapping[str, float], ceiling: float, styles: Styles
) -> str:
    """The tuning score of every rate tried, against the rate.

    A ring marks the tuned rate, a cross a rate that diverged. Scores above `ceiling` are clipped.
    """
    with line_axes(tried["optimizer"]) as ax:
        for key, own in tried.groupby("optimizer"):
            name = str(key)
            style = styles[name]
            color = style["color"]
            own = own.sort_values("lr")
            is_diverged = own["diverged"].astype(bool)
            healthy, diverged = own[~is_diverged], own[is_diverged]
            scores = healthy["score"].clip(upper=ceiling)
            ax.plot(healthy["lr"], scores, marker=".", label=literal(name), **style)
            at_ceiling = np.full(len(diverged), ceiling)
            ax.plot(diverged["lr"], at_ceiling, "x", color=color, markersize=5)
            best = own[own["lr"] == tuned.get(name)]
            score = best["score"].clip(upper=ceiling)
            ax.plot(best["lr"], score, "o", mfc="none", color=color, markersize=9)
        ax.set_xscale("log")
        _log_where_wide(ax, "y", tried["score"].clip(upper=ceiling).to_numpy())
        ax.set(xlabel="learning rate", ylabel="score of the trial")
    return svg(ax)


def steps_to_target(evaluations: pd.DataFrame, max_steps: float, styles: Styles) -> str:
    """The fraction of the seeds that have reached the target, against the step."""
    with line_axes(evaluations["optimizer"]) as ax:
        for name, own in evaluations.groupby("optimizer"):
            reached = np.sort(own["steps_to_target"].dropna())
            n_reached = len(reached)
            x = np.concatenate(([0.0], reached, [max_steps]))
            y = np.concatenate(([0.0], np.arange(1, n_reached + 1), [n_reached])) / len(own)
            ax.step(x, y, where="post", label=literal(str(name)), **styles[str(name)])
        ax.set(xlabel="step", ylabel="seeds that reached the target", ylim=(-0.02, 1.02))
        ax.yaxis.set_major_formatter("{x:.0%}")
    return svg(ax)


def default_and_tuned(rows: pd.DataFrame, defaults: Mapping[str, float], styles: Styles) -> str:
    """The score at the default rate (hollow) beside the score at the tuned rate (full)."""
    with row_axes(rows["optimizer"]) as ax:
        for y, row in enumerate(rows.to_dict("records")):
            color = styles[row["optimizer"]]["color"]
            default = defaults.get(row["optimizer"], np.nan)
            ax.plot([row["score"], default], [y, y], color=color, alpha=0.5)
            ax.plot([default], [y], "o", color=color, mfc="none", markersize=7)
            ax.plot([row["score"]], [y], "D", color=color, markersize=6)
        _log_where_wide(ax, "x", np.array([*rows["score"], *defaults.values()], dtype=float))
        ax.set_xlabel("score at the tuned rate (full) and at the default (ring)")
        return svg(ax)


def median_gaps(across: pd.DataFrame, styles: Styles) -> str:
    """The median gap to the best of each optimizer with its 95 % interval, in percent.

    What is infinite ends at the right, at twice the largest finite number.
    """
    percent = across[["median_gap", "ci_low", "ci_high"]].to_numpy(float) * 100
    largest = float(np.max(percent, initial=0.5, where=np.isfinite(percent)))
    with row_axes(across["optimizer"]) as ax:
        rows = zip(across["optimizer"], np.minimum(percent, 2 * largest), strict=True)
        for y, (name, row) in enumerate(rows):
            color = styles[name]["color"]
            ax.plot(row[1:], [y, y], color=color, **BAR)
            ax.plot(row[:1], [y], "D", color=color, markersize=6)
        ax.set_xscale("symlog", linthresh=1)  # gaps below a percent are hardly gaps
        ax.xaxis.set_major_formatter("{x:g} %")
        ax.set_xlim(left=-0.1)
        ax.set_xlabel("median gap to the best score (bar: 95 % interval)")
        return svg(ax)


def lines(table: pd.DataFrame, styles: Styles, *, x: str, y: str, log: bool = False) -> str:
    """A line for each column of a table against its index."""
    with line_axes(table.columns) as ax:
        for name in table.columns:
            ax.plot(table.index, table[name], label=literal(name), **styles[name])
        if log:
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}x")
        ax.set(xlabel=x, ylabel=y)
    return svg(ax)


def _log_where_wide(ax: Axes, axis: str, values: np.ndarray) -> None:
    """A logarithmic axis where positive values span more than a factor of five."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 5 * finite.min():
        set_scale = ax.set_xscale if axis == "x" else ax.set_yscale
        set_scale("log")
        if finite.max() > 10 * finite.min():  # labels between the decades would overlap
            own = ax.xaxis if axis == "x" else ax.yaxis
            own.set_minor_formatter(NullFormatter())
