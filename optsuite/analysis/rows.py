"""One row of the leaderboard from the evaluations of one optimizer at one rate."""

import math
from typing import Any

import numpy as np
import pandas as pd

from optsuite.statistics.seeds import bootstrap_interval, interquartile_mean, is_bimodal
from optsuite.training.run import penalty

EMPTY = ("lr", "score", "ci_low", "ci_high", "test_loss", "test_accuracy", "steps_to_target")


def rows(evaluations: pd.DataFrame) -> list[dict[str, object]]:
    """A row for each optimizer, arm and rate of one benchmark's evaluations; `scores` holds those of its seeds, in order."""
    trained = evaluations[evaluations["outcome"] != "failed"]
    healthy = trained[trained["outcome"] == "finished"]
    worst = {
        "score": penalty(trained["initial/validation_loss"], healthy["score"]),
        "best/test_loss": penalty(trained["initial/test_loss"], healthy["best/test_loss"]),
        "best/test_accuracy": trained["best/test_accuracy"].min() * 0,  # nan where there is no accuracy
    }
    return [_row(group, worst) for _, group in evaluations.groupby(["optimizer", "arm", "lr"])]


def failed_row(study: dict[Any, Any]) -> dict[str, object]:
    """A row for a study that failed before it had a rate to evaluate."""
    counts = {"seeds": 0, "diverged": 0, "collapsed": 0, "failed": 1, "bimodal": False, "scores": np.empty(0)}
    names = {"benchmark": study["benchmark"], "optimizer": study["optimizer"], "arm": "tuned"}
    return names | dict.fromkeys(EMPTY, math.nan) | counts


def _row(group: pd.DataFrame, worst: dict[str, float]) -> dict[str, object]:
    """One row from the evaluations of one optimizer at one rate, sorted by seed."""
    trained = group[group["outcome"] != "failed"]
    finished = trained["outcome"] == "finished"
    values = {name: trained[name].where(finished, loss).to_numpy(float) for name, loss in worst.items()}
    low, high = bootstrap_interval(values["score"])
    has_target = trained["target"].notna()
    return {
        **{name: group[name].iloc[0] for name in ("benchmark", "optimizer", "arm", "lr")},
        "score": interquartile_mean(values["score"]),
        "ci_low": low,
        "ci_high": high,
        "test_loss": interquartile_mean(values["best/test_loss"]),
        "test_accuracy": interquartile_mean(values["best/test_accuracy"]),
        "steps_to_target": trained["steps_to_target"].fillna(math.inf).where(has_target).median(),
        "seeds": len(trained),
        "diverged": (trained["outcome"] == "diverged").sum(),
        "collapsed": (trained["best/step"] == 0).sum(),
        "failed": len(group) - len(trained),
        "bimodal": is_bimodal(values["score"]),
        "scores": values["score"],
    }
