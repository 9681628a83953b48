"""Across benchmarks: how near to the best each optimizer is, and how often it wins and loses."""

import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from optsuite.analysis.leaderboard import Comparison
from optsuite.analysis.ranking import Pairs
from optsuite.statistics.overall import median_gaps

OVERALL_COLUMNS = [
    "optimizer",
    "may_be_best",
    "benchmarks",
    "all_benchmarks",
    "median_gap",
    "ci_low",
    "ci_high",
    "default_lr",
    "default_gap",
    "largest_default_gap",
    "targets",
    "lr_low",
    "lr_high",
    "code",
]


def overall(found: Comparison) -> pd.DataFrame:
    """One row for each optimizer that was compared with another, best first.

    `may_be_best` counts the benchmarks on which no optimizer is certainly better, `benchmarks`
    those on which it was compared, out of `all_benchmarks` that compare anything. `median_gap` is
    the median over its benchmarks of how much higher its score is than the best, relative to it,
    with the ends of its 95 % interval over benchmarks and seeds. `default_gap` is the median of
    what the default rate costs against the tuned one, `largest_default_gap` the most; infinite
    where the default rate diverged. `targets` is the share of runs that reached the target, the
    mean over benchmarks with one. `code` builds it at the rate in the middle of the tuned ones,
    from `lr_low` to `lr_high`.
    """
    by_benchmark = _compared(found)
    if not by_benchmark:
        return pd.DataFrame(columns=OVERALL_COLUMNS)
    names = sorted({name for scores in by_benchmark.values() for name in scores.columns})
    matrices = []
    for scores in by_benchmark.values():
        matrices.append(scores.reindex(columns=names).to_numpy(float))
    gaps = zip(*median_gaps(matrices), strict=True)
    tuned = found.table[found.table["arm"] == "tuned"]
    tuned = tuned[tuned["benchmark"].isin(list(by_benchmark))]
    targets = _targets(found.evaluations)
    rows = []
    for name, (gap, low, high) in zip(names, gaps, strict=True):
        own = tuned[tuned["optimizer"] == name]
        compared = sum(name in scores for scores in by_benchmark.values())
        row = {
            "optimizer": name,
            "may_be_best": int((own["rank"] == 1).sum()),
            "benchmarks": compared,
            "all_benchmarks": len(by_benchmark),
            "median_gap": gap,
            "ci_low": low,
            "ci_high": high,
            "targets": targets.get(name, math.nan),
        }
        rows.append(row | _rates(own) | _cost_of_default(own))
    table = pd.DataFrame(rows)[OVERALL_COLUMNS]
    order = {"may_be_best": False, "median_gap": True, "optimizer": True}
    return table.sort_values(list(order), ascending=list(order.values()), ignore_index=True)


def _compared(found: Comparison) -> dict[str, pd.DataFrame]:
    """The scores (seeds, optimizers) of each benchmark that compares at least two optimizers.

    Optimizers that diverged on every seed have infinite scores.
    """
    table = found.table
    diverged = table[(table["arm"] == "tuned") & (table["verdict"] == "diverged")]
    result = {}
    for name, scores in found.scores.items():
        own = diverged.loc[diverged["benchmark"] == name, "optimizer"]
        if len(scores.columns) + len(own) > 1:
            result[name] = scores.assign(**dict.fromkeys(own, np.inf))
    return result


def _targets(evaluations: pd.DataFrame) -> Mapping[str, float]:
    """The share of tuned runs that reached the target, by optimizer."""
    tuned = evaluations[(evaluations["arm"] == "tuned") & evaluations["target"].notna()]
    reached = tuned.assign(reached=tuned["steps_to_target"].notna())
    shares = reached.groupby(["optimizer", "benchmark"])["reached"].mean()
    return {str(name): float(share) for name, share in shares.groupby("optimizer").mean().items()}


def _rates(tuned: pd.DataFrame) -> dict[str, Any]:
    """The range of the tuned rates, and the code of the one in the middle."""
    ordered = tuned[tuned["lr"].notna()].sort_values("lr", ignore_index=True)
    if ordered.empty:
        return {"lr_low": math.nan, "lr_high": math.nan, "code": ""}
    low, high = ordered["lr"].iloc[[0, -1]]
    code = ordered["code"].iloc[(len(ordered) - 1) // 2]
    return {"lr_low": low, "lr_high": high, "code": code if isinstance(code, str) else ""}


def _cost_of_default(tuned: pd.DataFrame) -> dict[str, float]:
    """The default rate, nan if benchmarks differ in it, and what it costs."""
    rates = tuned["default_lr"].dropna().unique()
    diverged = tuned["default_verdict"] == "diverged"
    gaps = tuned["default_gap"].astype(float).mask(diverged, math.inf).dropna()
    return {
        "default_lr": float(rates[0]) if len(rates) == 1 else math.nan,
        "default_gap": float(np.median(gaps)) if len(gaps) else math.nan,
        "largest_default_gap": float(gaps.max()) if len(gaps) else math.nan,
    }


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
