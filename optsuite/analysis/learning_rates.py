"""What studies found: the rates they tried, and how forgiving the learning rate is."""

import pandas as pd

from optsuite.statistics.search import width
from optsuite.training.results import with_penalty

RATES = ("benchmark", "optimizer", "lr", "width", "lr_low", "lr_high", "at_edge")


def trials(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each rate that a finished study tried.

    Columns: benchmark, optimizer, lr, diverged, score. The score is the mean over the tuning seeds;
    a diverged run counts as the worst of its study.
    """
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    rows = runs[(runs["kind"] == "trial") & runs["parent"].isin(studies["run_id"])]
    tables = [_penalized(group) for _, group in rows.groupby(["benchmark", "optimizer"])]
    if not tables:
        return pd.DataFrame(columns=["benchmark", "optimizer", "lr", "diverged", "score"])
    by_rate = pd.concat(tables).groupby(["benchmark", "optimizer", "lr"], as_index=False)
    return by_rate.agg(diverged=("diverged", "any"), score=("score", "mean"))


def _penalized(study: pd.DataFrame) -> pd.DataFrame:
    diverged = study["outcome"] == "diverged"
    scores = with_penalty(study["score"], study["initial/validation_loss"], ~diverged)
    return study.assign(diverged=diverged, score=scores).sort_values(["lr", "seed"])


def learning_rates(runs: pd.DataFrame, tried: pd.DataFrame) -> pd.DataFrame:
    """The rows of `learning_rates.csv`, from runs and the table of `trials`.

    They have the tuned rate, and as `width` the decades of rates within 5 % of the best score.
    """
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    studies = studies.drop_duplicates(["benchmark", "optimizer"])
    widths = {}
    for name, group in tried.groupby(["benchmark", "optimizer"]):
        widths[name] = width(group["lr"].to_numpy(), group["score"].to_numpy())
    names = zip(studies["benchmark"], studies["optimizer"], strict=True)
    table = studies.assign(width=[widths.get(name, float("nan")) for name in names])
    return table[list(RATES)].sort_values(["benchmark", "optimizer"], ignore_index=True)
