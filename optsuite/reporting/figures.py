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

Curves = Callable[
    [Iterable[str]], pd.DataFrame
]  # from ids of runs to their validation losses, as `read_curves` gives them


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure as SVG, its caption, and a name for its file."""

    name: str
    caption: str
    svg: str


def drawings(
    runs: pd.DataFrame, curves: Curves, found: Comparison, tried: pd.DataFrame, ranks: pd.DataFrame
) -> dict[str, list[Drawing]]:
    """The figures of each benchmark that ranks somebody, and under the empty name those across benchmarks.

    `curves` is asked for one benchmark after another, so that no more are held. `tried` is that of `trials`, and `ranks` that
    of `overall`.
    """
    style = styles(runs["optimizer"].dropna())
    evaluations = found.evaluations[found.evaluations["arm"] == "tuned"]
    result = {"": _across(evaluations, ranks, style)}
    for name in found.scores:
        table, tuned, rates = (
            part[part["benchmark"] == name] for part in (found.table, evaluations, tried)
        )
        losses = tuned[["run_id", "optimizer"]].merge(curves(tuned["run_id"]), on="run_id")
        result[name] = _benchmark(table, tuned, losses, rates, found.scores[name], style)
    return result


def _across(
    evaluations: pd.DataFrame, ranks: pd.DataFrame, style: Mapping[str, Style]
) -> list[Drawing]:
    if ranks.empty:
        return []
    shown = [
        Drawing(
            name="mean_positions",
            caption="Mean position by score",
            svg=plots.mean_positions(ranks, style),
        )
    ]
    profiles = profile(evaluations, list(ranks["optimizer"]))
    if profiles.notna().any(axis=None):
        svg = plots.lines(
            profiles,
            style,
            x="times the steps of the fastest optimizer",
            y="targets reached",
            log=True,
        )
        shown.append(
            Drawing(
                name="performance_profile",
                caption="Share of targets reached, against the slowdown to the fastest",
                svg=svg,
            )
        )
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
    ceiling = float(
        evaluations["initial/validation_loss"].median()
    )  # what has not learned anything
    shown = [
        Drawing(name="scores", caption="Scores", svg=plots.score_intervals(ranked, scores, style))
    ]
    if len(curves):
        caption = "Validation loss: median and middle half of the seeds"
        shown.append(
            Drawing(name="loss_curves", caption=caption, svg=plots.loss_curves(curves, style))
        )
    if len(tried):
        svg = plots.rate_sensitivity(tried, tuned, ceiling, style)
        shown.append(Drawing(name="learning_rates", caption="Score against learning rate", svg=svg))
        svg = plots.lines(_expected(tried), style, x="trials", y="expected best score")
        shown.append(
            Drawing(name="tuning_budget", caption="Expected best of k of the trials", svg=svg)
        )
    if evaluations["target"].notna().any():
        svg = plots.steps_to_target(evaluations, float(evaluations["max_steps"].max()), style)
        caption = f"Seeds that reached the target, {evaluations['target'].dropna().iloc[0]}"
        shown.append(Drawing(name="steps_to_target", caption=caption, svg=svg))
    if defaults:
        svg = plots.default_and_tuned(ranked, defaults, style)
        shown.append(
            Drawing(name="default_and_tuned", caption="Default against tuned rate", svg=svg)
        )
    return shown


def _expected(tried: pd.DataFrame) -> pd.DataFrame:
    """The expected best score (optimizers as columns) after k trials (rows)."""
    found = {
        str(name): expected_best(own["score"].to_numpy())
        for name, own in tried.groupby("optimizer")
    }
    table = pd.DataFrame(
        {
            name: pd.Series(values, index=np.arange(1, len(values) + 1))
            for name, values in found.items()
        }
    )
    return table.rename_axis("trials")
