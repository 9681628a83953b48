"""Across benchmarks: mean positions, who beats whom how often, and how fast targets are reached."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optsuite.analysis.verdicts import ALL_DIVERGED
from optsuite.statistics.overall import mean_ranks, performance_profile

RATIOS = tuple(float(r) for r in np.geomspace(1.0, 16.0, 65))  # of steps to the target against the fastest optimizer's


def compared(table: pd.DataFrame, scores: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The scores (seeds, optimizers) of each benchmark that ranks at least two; those of who always diverged are infinite."""
    found = {}
    for name, matrix in scores.items():
        own = table[(table["benchmark"] == name) & (table["arm"] == "tuned") & (table["verdict"] == ALL_DIVERGED)]
        if len(matrix.columns) + len(own) > 1:
            found[name] = matrix.assign(**dict.fromkeys(own["optimizer"], np.inf))
    return found


def overall(table: pd.DataFrame, scores: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row for each optimizer that is in all of `compared`, best first: its mean position by score, with the interval.

    `unbeaten` counts the benchmarks on which nobody is certainly better, of `benchmarks`.
    """
    by_benchmark = compared(table, scores)
    columns = ["optimizer", "mean_position", "ci_low", "ci_high", "unbeaten", "benchmarks"]
    names = sorted(set.intersection(*(set(matrix.columns) for matrix in by_benchmark.values()))) if by_benchmark else []
    if len(names) < 2:
        return pd.DataFrame(columns=columns)
    point, low, high = mean_ranks([matrix[names].to_numpy(float) for matrix in by_benchmark.values()])
    unbeaten = (
        table[(table["rank"] == 1) & table["benchmark"].isin(list(by_benchmark))].groupby("optimizer")["benchmark"].nunique()
    )
    rows = pd.DataFrame({"optimizer": names, "mean_position": point, "ci_low": low, "ci_high": high})
    rows["unbeaten"] = rows["optimizer"].map(unbeaten).fillna(0).astype(int)
    rows["benchmarks"] = len(by_benchmark)
    return rows.sort_values(["mean_position", "optimizer"], ignore_index=True)[columns]


def duels(pairs: dict[str, dict[tuple[str, str], str]], names: Sequence[str]) -> pd.DataFrame:
    """How often each row beats, ties with (or is not told from), and loses to each column: text such as `2-1-1`.

    `pairs` holds, for each benchmark, the verdicts of `statistics.differences.compare` by names.
    """

    def cell(one: str, other: str) -> str:
        if one == other:
            return ""
        found = [verdicts[one, other] for verdicts in pairs.values() if (one, other) in verdicts]
        won, lost = found.count("better"), found.count("worse")
        return f"{won}-{len(found) - won - lost}-{lost}"

    return pd.DataFrame([[cell(one, other) for other in names] for one in names], index=list(names), columns=list(names))


def profile(evaluations: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The performance profile over RATIOS (rows) of the named optimizers: a problem is a seed of a benchmark with a target."""
    rows = evaluations[evaluations["target"].notna() & evaluations["optimizer"].isin(list(names))]
    if rows.empty:
        return pd.DataFrame(index=pd.Index(RATIOS), columns=list(names), dtype="float64")
    steps = rows.assign(steps=rows["steps_to_target"].fillna(np.inf))
    matrix = steps.pivot_table(index=["benchmark", "seed"], columns="optimizer", values="steps", aggfunc="first", dropna=False)
    matrix = matrix.reindex(columns=list(names)).fillna(np.inf)
    found = performance_profile(np.maximum(matrix.to_numpy(float), 1.0), RATIOS)
    return pd.DataFrame(found.T, index=pd.Index(RATIOS), columns=list(names))
