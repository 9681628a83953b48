"""Tables of a campaign's runs: pure functions from DataFrame to DataFrame, the same bytes for the same runs."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from optsuite.report.text import markdown
from optsuite.statistics import bootstrap_interval, interquartile_mean
from optsuite.training.run import penalty

COLUMNS = (
    "benchmark",
    "optimizer",
    "arm",
    "lr",
    "score",
    "ci_low",
    "ci_high",
    "test_loss",
    "test_accuracy",
    "steps_to_target",
    "seeds",
    "trials",
    "diverged",
    "collapsed",
    "failed",
    "at_edge",
    "rank",
    "verdict",
)
COUNTS = ("seeds", "trials", "diverged", "collapsed", "failed", "rank")
BUDGET = ("n_trials", "n_tuning_seeds", "n_seeds")
ARMS = ("tuned", "default", "given")  # in the order of the table


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each benchmark, optimizer, arm and rate, best first, from the rows that `optsuite.runs` gives.

    `score`, with its 95 % interval, and the test columns are interquartile means over the seeds, in which a diverged
    run counts as the worst of its benchmark. `steps_to_target` is the median, a miss being infinite. Tuned rows are
    ranked where their study is complete, and only among those that had the same budget.
    """
    evaluations = runs[runs["kind"] == "evaluation"].sort_values(["benchmark", "optimizer", "arm", "lr", "seed"])
    studies = runs[(runs["kind"] == "study")]
    names = sorted({*evaluations["benchmark"], *studies.loc[studies["outcome"] == "failed", "benchmark"]})
    tables = [_table(evaluations[evaluations["benchmark"] == n], studies[studies["benchmark"] == n]) for n in names]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def _table(evaluations: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    """The rows of one benchmark."""
    failed, studies = (studies[studies["outcome"] == outcome] for outcome in ("failed", "finished"))
    given = evaluations["arm"] == "given"
    compared = _of_one_study(evaluations[~given], studies)
    rows = [*_rows(compared), *_rows(evaluations[given])]
    tuned_so_far = set(compared.loc[compared["arm"] == "tuned", "optimizer"])
    rows += [_failed_row(study) for study in failed.to_dict("records") if study["optimizer"] not in tuned_so_far]
    table = pd.DataFrame(rows).merge(_budgets(studies), on="optimizer", how="left")
    tuned = table["arm"] == "tuned"
    table["trials"] = table["n_trials"].where(tuned)
    table["at_edge"] = tuned & (table["at_edge"] == True)  # noqa: E712, it is nan without a finished study
    table["complete"] = (table["arm"] != "given") & (table["seeds"] == table["n_seeds"]) & (table["failed"] == 0)
    rankable = tuned & table["complete"] & (table["same_budget"] == True) & (table["diverged"] < table["seeds"])  # noqa: E712
    table["rank"] = table["score"].where(rankable).rank(method="min")
    table["verdict"] = _verdicts(table)
    table["position"] = table["arm"].map(ARMS.index)
    table = table.sort_values(["position", "rank", "score", "optimizer", "lr"], ignore_index=True)
    return table.astype(dict.fromkeys(COUNTS, "Int64"))[list(COLUMNS)]


def _of_one_study(evaluations: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of each optimizer's finished study; where there is none, of the one that has come furthest."""
    finished = evaluations["parent"].isin(studies["run_id"])
    sizes = evaluations.groupby("parent")["run_id"].transform("size")
    order = evaluations.assign(finished=finished, size=sizes).sort_values(["finished", "size", "parent"])
    chosen = order.groupby("optimizer")["parent"].last()
    return evaluations[evaluations["parent"] == evaluations["optimizer"].map(chosen)]


def _rows(evaluations: pd.DataFrame) -> list[dict[str, object]]:
    trained = evaluations[evaluations["outcome"] != "failed"]
    healthy = trained[trained["outcome"] == "finished"]
    worst = {
        "score": penalty(trained["initial/validation_loss"], healthy["score"]),
        "best/test_loss": penalty(trained["initial/test_loss"], healthy["best/test_loss"]),
        "best/test_accuracy": trained["best/test_accuracy"].min() * 0,  # nan where there is no accuracy
    }
    return [_row(group, worst) for _, group in evaluations.groupby(["optimizer", "arm", "lr"])]


def _failed_row(study: dict[Any, Any]) -> dict[str, object]:
    """A row for a study that failed before it had a rate to evaluate."""
    numbers = dict.fromkeys(("lr", "score", "ci_low", "ci_high", "test_loss", "test_accuracy", "steps_to_target"), math.nan)
    counts = {"seeds": 0, "diverged": 0, "collapsed": 0, "failed": 1}
    return {"benchmark": study["benchmark"], "optimizer": study["optimizer"], "arm": "tuned"} | numbers | counts


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
    }


def _budgets(studies: pd.DataFrame) -> pd.DataFrame:
    """The budget of each finished study, and whether it is that of the comparison: the one most optimizers had."""
    budgets = studies[["optimizer", *BUDGET, "at_edge"]].drop_duplicates("optimizer").copy()
    sizes = budgets.groupby(list(BUDGET))["optimizer"].transform("size")
    largest = budgets.assign(size=sizes).sort_values(["size", *BUDGET]).tail(1)[list(BUDGET)]
    budgets["same_budget"] = (budgets[list(BUDGET)].to_numpy() == largest.to_numpy()).all(axis=1) if len(budgets) else False
    return budgets


def _verdicts(table: pd.DataFrame) -> list[str]:
    """Each row in a few words: best, the gap to the best, the default's gap to tuned, or why there is no verdict."""
    complete = table[table["complete"] & (table["arm"] == "tuned")]
    tuned = complete.set_index("optimizer")["score"].to_dict()
    best = table.loc[table["rank"] == 1, "score"].min()
    alone = table["rank"].notna().sum() == 1
    return [_verdict(row, best, tuned.get(row["optimizer"], math.nan), alone) for row in table.to_dict("records")]


def _verdict(row: dict[Any, Any], best: float, tuned: float, alone: bool) -> str:
    if row["failed"] and not row["seeds"]:
        return "failed"
    if row["failed"]:
        return f"{row['failed']} failed"
    if row["arm"] == "given":
        return "not ranked"
    if not row["complete"]:
        return "study incomplete"
    if row["diverged"] == row["seeds"]:
        return "diverged on every seed"
    if row["arm"] == "default":
        return f"{_gap(row['score'], tuned)} against tuned" if math.isfinite(tuned) else "study incomplete"
    if row["rank"] == 1:
        return "nothing to compare with" if alone else "best"
    if row["rank"] > 1:
        return f"{_gap(row['score'], best)} against best"
    return "not ranked: {n_trials:.0f} trials on {n_tuning_seeds:.0f} seeds, {n_seeds:.0f} seeds".format(**row)


def _gap(score: float, reference: float) -> str:
    """How much larger the score is than the reference: a percentage, or a factor where it is more than twice as large."""
    if not reference:
        return f"{score - reference:+.3g}"
    difference = (score - reference) / abs(reference)
    if difference > 1 and reference > 0:
        return f"{difference + 1:.3g}x"
    return f"{difference:+.1%}".replace("-0.0%", "+0.0%")


def write(table: pd.DataFrame, folder: Path, *, campaign: str, notes: Sequence[str] = ()) -> None:
    """Write `leaderboard.csv` and `leaderboard.md` into the folder, each at once or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "leaderboard.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    replace_text(folder / "leaderboard.md", markdown(table, campaign, notes))


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a kill in the middle, sees the old or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
