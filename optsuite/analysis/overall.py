"""Across benchmarks: mean positions, and how often each optimizer wins, ties and loses."""

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
import pandas as pd

from optsuite.analysis.leaderboard import Pairs
from optsuite.statistics.overall import mean_ranks


def compared(table: pd.DataFrame, scores: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The scores (seeds, optimizers) of each benchmark that ranks at least two; those of who always diverged are infinite."""
    found = {}
    for name, matrix in scores.items():
        own = table[
            (table["benchmark"] == name)
            & (table["arm"] == "tuned")
            & (table["verdict"] == "diverged")
        ]
        if len(matrix.columns) + len(own) > 1:
            found[name] = matrix.assign(**dict.fromkeys(own["optimizer"], np.inf))
    return found


def overall(table: pd.DataFrame, scores: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row for each optimizer that is in all of `compared`, best first: its mean position by score, with the interval.

    `unbeaten` counts the benchmarks on which nobody is certainly better, of `benchmarks`.
    """
    by_benchmark = compared(table, scores)
    columns = ["optimizer", "mean_position", "ci_low", "ci_high", "unbeaten", "benchmarks"]
    names = (
        sorted(set.intersection(*(set(matrix.columns) for matrix in by_benchmark.values())))
        if by_benchmark
        else []
    )
    if len(names) < 2:
        return pd.DataFrame(columns=columns)
    point, low, high = mean_ranks(
        [matrix[names].to_numpy(float) for matrix in by_benchmark.values()]
    )
    unbeaten = (
        table[(table["rank"] == 1) & table["benchmark"].isin(list(by_benchmark))]
        .groupby("optimizer")["benchmark"]
        .nunique()
    )
    rows = pd.DataFrame(
        {"optimizer": names, "mean_position": point, "ci_low": low, "ci_high": high}
    )
    rows["unbeaten"] = rows["optimizer"].map(unbeaten).fillna(0).astype(int)
    rows["benchmarks"] = len(by_benchmark)
    return rows.sort_values(["mean_position", "optimizer"], ignore_index=True)[columns]


def win_tie_loss(pairs: Mapping[str, Pairs], names: Sequence[str]) -> pd.DataFrame:
    """On how many benchmarks each row beats, is not told apart from, and loses to each column: text such as `2-1-1`.

    `pairs` holds the verdicts on all pairs of each benchmark.
    """
    table = pd.DataFrame("", index=list(names), columns=list(names))
    for one, other in permutations(names, 2):
        found = [own[one, other].kind for own in pairs.values() if (one, other) in own]
        won, lost = found.count("better"), found.count("worse")
        table.loc[one, other] = f"{won}-{len(found) - won - lost}-{lost}"
    return table
