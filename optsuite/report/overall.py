"""Across benchmarks: mean ranks, who beats whom how often, and how fast targets are reached."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optsuite.statistics.overall import mean_ranks, performance_profile

RATIOS = tuple(float(r) for r in np.geomspace(1.0, 16.0, 65))  # of steps to the target against the fastest optimizer's


def common_optimizers(table: pd.DataFrame) -> list[str]:
    """The optimizers that are ranked on every benchmark of the leaderboard that ranks any: only they can be summed up."""
    ranked = table[table["rank"].notna()]
    counts = ranked.groupby("optimizer")["benchmark"].nunique()
    return sorted(counts.index[counts == ranked["benchmark"].nunique()])


def overall(table: pd.DataFrame, scores: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row an optimizer, best first: mean rank with its interval, and in how many pairs it wins, ties and loses.

    `scores` holds, for each benchmark, the penalised scores (seeds, optimizers) of the tuned evaluations.
    """
    names = common_optimizers(table)
    columns = ["optimizer", "mean_rank", "ci_low", "ci_high", "best_on", "benchmarks"]
    if len(names) < 2:
        return pd.DataFrame(columns=columns)
    benchmarks = sorted(table.loc[table["rank"].notna(), "benchmark"].unique())
    point, low, high = mean_ranks([scores[name][names].to_numpy() for name in benchmarks])
    best = table[table["rank"] == 1].groupby("optimizer")["benchmark"].nunique()
    rows = pd.DataFrame({"optimizer": names, "mean_rank": point, "ci_low": low, "ci_high": high})
    rows["best_on"] = rows["optimizer"].map(best).fillna(0).astype(int)
    rows["benchmarks"] = len(benchmarks)
    return rows.sort_values(["mean_rank", "optimizer"], ignore_index=True)[columns]


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
