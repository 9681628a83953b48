"""How fast targets are reached, and whether a target distinguishes optimizers at all."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from optsuite.statistics.overall import performance_profile

# Steps to the target, relative to those of the fastest optimizer.
RATIOS = tuple(map(float, np.geomspace(1.0, 16.0, 65)))


def difficulty(
    evaluations: pd.DataFrame, ranked: pd.DataFrame
) -> Literal["too_easy", "too_hard", ""]:
    """What is wrong with the target of a benchmark, from the tuned runs of its ranked optimizers.

    It distinguishes optimizers only if some are slower than others.
    """
    tuned = evaluations[(evaluations["arm"] == "tuned") & evaluations["target"].notna()]
    tuned = tuned[tuned["optimizer"].isin(ranked["optimizer"])]
    if tuned.empty:
        return ""
    if tuned["steps_to_target"].isna().all():
        return "too_hard"
    if (tuned["steps_to_target"] <= tuned["eval_every"]).all():
        return "too_easy"
    return ""


def profile(evaluations: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The performance profile over RATIOS (rows) of the named optimizers (columns).

    Its problems are the seeds of the benchmarks with a target.
    """
    rows = evaluations[evaluations["target"].notna() & evaluations["optimizer"].isin(list(names))]
    if rows.empty:
        return pd.DataFrame(index=pd.Index(RATIOS), columns=list(names), dtype="float64")
    steps = rows.assign(steps=rows["steps_to_target"].fillna(np.inf))
    problem = ["benchmark", "seed"]
    matrix = steps.pivot_table("steps", problem, "optimizer", aggfunc="first", dropna=False)
    matrix = matrix.reindex(columns=list(names)).fillna(np.inf)
    found = performance_profile(np.maximum(matrix.to_numpy(float), 1.0), RATIOS)
    return pd.DataFrame(found.T, index=pd.Index(RATIOS), columns=list(names))
