"""Across benchmarks: mean positions, and how often each optimizer wins, ties and loses."""

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
import pandas as pd

from optsuite.analysis.leaderboard import Pairs
from optsuite.statistics.overall import mean_ranks


def compared(table: pd.DataFrame, scores: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The scores (seeds, optimizers) of each benchmark that compares at least two optimizers.

    Optimizers that diverged on every seed have infinite scores.
    """
    diverged = table[(table["arm"] == "tuned") & (table["verdict"] == "diverged")]
    found = {}
    for name, matrix in scores.items():
        own = diverged.loc[diverged["benchmark"] == name, "optimizer"]
        if len(matrix.columns) + len(own) > 1:
            found[name] = matrix.assign(**dict.fromkeys(own, np.inf))
    return found


def overall(table: pd.DataFrame, scores: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row for each optimizer in all of `compared`, best first: its mean position by score.

    `ci_low` and `ci_high` are the ends of its 95 % interval. `unbeaten` counts the benchmarks, out
    of `benchmarks`, on which no optimizer is certainly better.
    """
    by_benchmark = compared(table, scores)
    columns = ["optimizer", "mean_position", "ci_low", "ci_high", "unbeaten", "benchmarks"]
    matrices = list(by_benchmark.values())
    names: list[str] = []
    if matrices:
        names = sorted(set(matrices[0].columns).intersection(*matrices[1:]))
    if len(names) < 2:
        return pd.DataFrame(columns=columns)
    point, low, high = mean_ranks([matrix[names].to_numpy(float) for matrix in matrices])
    first = table[(table["rank"] == 1) & table["benchmark"].isin(list(by_benchmark))]
    unbeaten = first.groupby("optimizer")["benchmark"].nunique()
    positions = {"mean_position": point, "ci_low": low, "ci_high": high}
    rows = pd.DataFrame({"optimizer": names} | positions)
    rows["unbeaten"] = rows["optimizer"].map(unbeaten).fillna(0).astype(int)
    rows["benchmarks"] = len(by_benchmark)
    return rows.sort_values(["mean_position", "optimizer"], ignore_index=True)[columns]


def win_tie_loss(pairs: Mapping[str, Pairs], names: Sequence[str]) -> pd.DataFrame:
    """On how many benchmarks each row wins, ties and loses against each column, such as `2-1-1`.

    `pairs` holds the verdicts on all pairs of each benchmark. All but wins and losses are ties.
    """
    table = pd.DataFrame("", index=list(names), columns=list(names))
    for one, other in permutations(names, 2):
        found = [own[one, other].kind for own in pairs.values() if (one, other) in own]
        won, lost = found.count("better"), found.count("worse")
        tied = len(found) - won - lost
        table.loc[one, other] = f"{won}-{tied}-{lost}"
    return table
