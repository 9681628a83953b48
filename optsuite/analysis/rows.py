"""Rows of the leaderboard, each from the evaluations of one optimizer at one rate."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from optsuite.analysis.columns import Column, Seeds
from optsuite.tracking.schema import METRICS
from optsuite.training.results import with_penalty

Row = dict[Any, Any]
TEST_LOSS = f"{METRICS}loss"
# What a diverged run counts on test data. The worst value of any other metric is unknown.
FAILED = {"accuracy": 0.0}


def metrics_of(evaluations: pd.DataFrame) -> list[str]:
    """The metrics on test data that some evaluation has."""
    metrics = []
    for column in map(str, evaluations.columns):
        is_metric = column.startswith(METRICS) and column != TEST_LOSS
        if is_metric and evaluations[column].notna().any():
            metrics.append(column.removeprefix(METRICS))
    return metrics


def rows_of(
    evaluations: pd.DataFrame,
    columns: Sequence[Column],
    shared: Mapping[str, Collection[float]] = {},
) -> list[Row]:
    """A row for each optimizer, arm and rate of one benchmark's evaluations.

    Beside the columns, `scores` and `test_scores` are the validation and test losses of its seeds.
    `shared` has, by optimizer, the seeds that averages are over, if the row has them all.
    """
    evaluations = evaluations.reset_index(drop=True)
    penalized = _penalized(evaluations[evaluations["outcome"] != "failed"], columns)
    rows = []
    for (optimizer, _, _), group in evaluations.groupby(["optimizer", "arm", "lr"]):
        trained = group[group["outcome"] != "failed"]
        losses = penalized.loc[trained.index].set_index(trained["seed"].to_numpy())
        seeds = _seeds(group, penalized, shared.get(str(optimizer), ()))
        row: Row = {"scores": losses["score"], "test_scores": losses[TEST_LOSS]}
        for column in columns:
            if column.of is not None:
                row[column.name] = column.of(seeds)
        rows.append(row)
    return rows


def _penalized(trained: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Score, test loss and metrics of one benchmark's runs, with penalties for diverged ones."""
    finished = trained["outcome"] == "finished"
    table = pd.DataFrame(index=trained.index)
    losses = {"score": "initial/validation_loss", TEST_LOSS: "initial/test_loss"}
    for name, initial in losses.items():
        values = trained[name].to_numpy(float)
        table[name] = with_penalty(values, trained[initial], finished)
    for column in columns:
        metric = column.name.removeprefix("test_")
        name = f"{METRICS}{metric}"
        if name not in trained.columns or name in table:
            continue
        is_measured = bool(trained[name].notna().any())
        worst = FAILED.get(metric, math.nan) if is_measured else math.nan
        table[name] = trained[name].where(finished, worst)
    return table


def failed_row(study: Row, columns: Sequence[Column]) -> Row:
    """A row for a study that failed before it had a rate to evaluate."""
    row: Row = {}
    for column in columns:
        if column.of is not None:
            row[column.name] = 0 if column.is_count else math.nan
    names = {"benchmark": study["benchmark"], "optimizer": study["optimizer"], "arm": "tuned"}
    nothing = pd.Series(dtype=float)
    return row | names | {"failed": 1, "bimodal": False, "scores": nothing, "test_scores": nothing}


def _seeds(group: pd.DataFrame, penalized: pd.DataFrame, shared: Collection[float]) -> Seeds:
    """The evaluations of one row; `penalized` has the numbers of the whole benchmark."""
    trained = group[group["outcome"] != "failed"]
    averaged = trained
    if shared and set(shared) <= set(trained["seed"]):
        averaged = trained[trained["seed"].isin(shared)]
    own = penalized.loc[averaged.index]
    metrics = {}
    for name in own.columns.drop(["score", TEST_LOSS]):
        metrics[name.removeprefix(METRICS)] = own[name].to_numpy(float)
    return Seeds(
        runs=group,
        trained=trained,
        scores=own["score"].to_numpy(float),
        test_losses=own[TEST_LOSS].to_numpy(float),
        metrics=metrics,
    )
