"""Rows of the leaderboard, each from the evaluations of one optimizer at one rate."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from optsuite.analysis.columns import Column, Seeds
from optsuite.tracking.schema import METRICS
from optsuite.training.results import penalty

Row = dict[Any, Any]
FAILED = {"accuracy": 0.0}  # what a diverged run counts on test data; of other metrics nobody knows


def metrics_of(evaluations: pd.DataFrame) -> list[str]:
    """The metrics on test data that some evaluation has."""
    names = [str(name) for name in evaluations.columns if str(name).startswith(METRICS)]
    names = [name for name in names if evaluations[name].notna().any()]
    return [name.removeprefix(METRICS) for name in names if name != f"{METRICS}loss"]


def rows_of(evaluations: pd.DataFrame, columns: Sequence[Column]) -> list[Row]:
    """A row for each optimizer, arm and rate of one benchmark's evaluations.

    Beside the columns, `scores` are those of its seeds, in order.
    """
    trained = evaluations[evaluations["outcome"] != "failed"]
    healthy = trained[trained["outcome"] == "finished"]
    worst = {
        "score": penalty(trained["initial/validation_loss"], healthy["score"]),
        "best/test_loss": penalty(trained["initial/test_loss"], healthy["best/test_loss"]),
    }
    own = set(metrics_of(trained))
    for column in columns:
        metric = column.name.removeprefix("test_")
        name = f"{METRICS}{metric}"
        if name in evaluations.columns and name not in worst:
            worst[name] = FAILED.get(metric, math.nan) if metric in own else math.nan
    rows = []
    for _, group in evaluations.groupby(["optimizer", "arm", "lr"]):
        seeds = _seeds(group, worst)
        row = {column.name: column.of(seeds) for column in columns if column.of is not None}
        rows.append(row | {"scores": seeds.scores})
    return rows


def failed_row(study: Row, columns: Sequence[Column]) -> Row:
    """A row for a study that failed before it had a rate to evaluate."""
    row: Row = {}
    for column in columns:
        if column.of is not None:
            row[column.name] = 0 if column.is_count else math.nan
    names = {"benchmark": study["benchmark"], "optimizer": study["optimizer"], "arm": "tuned"}
    return row | names | {"failed": 1, "bimodal": False, "scores": np.empty(0)}


def _seeds(group: pd.DataFrame, worst: dict[str, float]) -> Seeds:
    """The evaluations of one row, `worst` being what a diverged one counts, by column."""
    trained = group[group["outcome"] != "failed"]
    finished = trained["outcome"] == "finished"
    values = {
        name: trained[name].where(finished, penalized).to_numpy(float)
        for name, penalized in worst.items()
    }
    scores, test_losses = values.pop("score"), values.pop("best/test_loss")
    metrics = {name.removeprefix(METRICS): own for name, own in values.items()}
    return Seeds(
        runs=group, trained=trained, scores=scores, test_losses=test_losses, metrics=metrics
    )
