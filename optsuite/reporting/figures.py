"""Which figures a report has, from a campaign's runs and curves."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optsuite.analysis.leaderboard import Comparison
from optsuite.analysis.time_to_target import profile
from optsuite.reporting import plots
from optsuite.reporting.style import Style, styles
from optsuite.statistics.search import expected_best

# From ids of runs to their validation losses, as `read_curves` returns them.
Curves = Callable[[Iterable[str]], pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure as SVG, its caption, and a name for its file."""

    name: str
    caption: str
    svg: str


def drawings(
    runs: pd.DataFrame, curves: Curves, found: Comparison, tried: pd.DataFrame, across: pd.DataFrame
) -> dict[str, list[Drawing]]:
    """The figures of each benchmark with a ranking, and under the empty name those across them.

    `curves` is called for one benchmark at a time, so that memory holds no more. `tried` is the
    table of `trials`, and `across` that of `overall`.
    """
    style = styles(runs["optimizer"].dropna())
    evaluations = found.evaluations[found.evaluations["arm"] == "tuned"]
    result = {"": _across(evaluations, across, style)}
    for name in found.scores:
        table = found.table[found.table["benchmark"] == name]
        tuned = evaluations[evaluations["benchmark"] == name]
        rates = tried[tried["benchmark"] == name]
        losses = tuned[["run_id", "optimizer"]].merge(curves(tuned["run_id"]), on="run_id")
        result[name] = _benchmark(table, tuned, losses, rates, found.scores[name], style)
    return result


def _across(
    evaluations: pd.DataFrame, across: pd.DataFrame, style: Mapping[str, Style]
) -> list[Drawing]:
    if across.empty:
        return []
    svg = plots.median_gaps(across, style)
    shown = [Drawing(name="median_gaps", caption="Median gap to the best score", svg=svg)]
    profiles = profile(evaluations, list(across["optimizer"]))
    if profiles.notna().any(axis=None):
        slowdown = "times the steps of the fastest optimizer"
        svg = plots.lines(profiles, style, x=slowdown, y="targets reached", log=True)
        caption = "Share of targets reached, against the slowdown to the fastest"
        shown.append(Drawing(name="performance_profile", caption=caption, svg=svg))
    return shown


def _benchmark(
    table: pd.DataFrame,
    evaluations: pd.DataFrame,
    curves: pd.DataFrame,
    tried: pd.DataFrame,
    scores: pd.DataFrame,
    style: Mapping[str, Style],
) -> list[Drawing]:
    ranked = table[table["rank"].notna()]
    default = table[table["arm"] == "default"]
    defaults = dict(zip(default["optimizer"], default["score"], strict=True))
    tuned = dict(zip(ranked["optimizer"], ranked["lr"], strict=True))
    ceiling = float(evaluations["initial/validation_loss"].median())  # of an untrained model
    shown = []

    def show(name: str, caption: str, svg: str) -> None:
        shown.append(Drawing(name=name, caption=caption, svg=svg))

    show("scores", "Scores", plots.score_intervals(ranked, scores, style))
    if len(curves):
        caption = "Validation loss: median and middle half of the seeds"
        show("loss_curves", caption, plots.loss_curves(curves, style))
    if len(tried):
        svg = plots.rate_sensitivity(tried, tuned, ceiling, style)
        show("learning_rates", "Score against learning rate", svg)
        svg = plots.lines(_expected(tried), style, x="trials", y="expected best score")
        show("tuning_budget", "Expected best of k of the trials", svg)
    if evaluations["target"].notna().any():
        target = evaluations["target"].dropna().iloc[0]
        svg = plots.steps_to_target(evaluations, float(evaluations["max_steps"].max()), style)
        show("steps_to_target", f"Seeds that reached the target, {target}", svg)
    if defaults:
        svg = plots.default_and_tuned(ranked, defaults, style)
        show("default_and_tuned", "Default against tuned rate", svg)
    return shown


def _expected(tried: pd.DataFrame) -> pd.DataFrame:
    """The expected best score (optimizers as columns) after k trials (rows)."""
    columns = {}
    for name, own in tried.groupby("optimizer"):
        values = expected_best(own["score"].to_numpy())
        columns[str(name)] = pd.Series(values, index=np.arange(1, len(values) + 1))
    return pd.DataFrame(columns).rename_axis("trials")
