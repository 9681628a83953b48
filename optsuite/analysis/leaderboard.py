"""The leaderboard: a pure function from a campaign's runs to a table, the same bytes for the same runs."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optsuite.analysis.rows import failed_row, rows
from optsuite.analysis.verdicts import ALL_DIVERGED, flags, verdicts, worse
from optsuite.definition import TOLERANCE
from optsuite.statistics.differences import Difference, compare, probability_of_improvement

COLUMNS = (
    "benchmark",
    "optimizer",
    "arm",
    "lr",
    "score",
    "ci_low",
    "ci_high",
    "gap",
    "test_loss",
    "test_accuracy",
    "steps_to_target",
    "seeds",
    "trials",
    "diverged",
    "collapsed",
    "failed",
    "at_edge",
    "bimodal",
    "improvement",
    "rank",
    "verdict",
    "flags",
)
COUNTS = ("seeds", "trials", "diverged", "collapsed", "failed", "rank")
BUDGET = ("n_trials", "n_tuning_seeds", "n_seeds")
ARMS = ("tuned", "default", "given")  # in the order of the table


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The leaderboard, and what it rests on.

    `evaluations` are those of the studies in it, tuned and default. By benchmark, `scores` has a column for each ranked
    optimizer and a row for each seed, diverged runs penalised, and `pairs` says how each of them compares with each.
    """

    table: pd.DataFrame
    evaluations: pd.DataFrame
    scores: dict[str, pd.DataFrame]
    pairs: dict[str, dict[tuple[str, str], Difference]]


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each benchmark, optimizer, arm and rate, best first, from the rows that `optsuite.runs` gives.

    `score`, with its 95 % interval, and the test columns are interquartile means over the seeds, in which a diverged
    run counts as the worst of its benchmark. `gap` is relative to the lowest of them, and `improvement` the chance that a
    run is better than one of that optimizer. `steps_to_target` is the median, a miss being infinite. Tuned rows are ranked
    where their study is complete, and only among those that had the same budget: a rank is one more than the number of
    optimizers that are certainly better.
    """
    return comparison(runs).table


def comparison(runs: pd.DataFrame) -> Comparison:
    """The leaderboard of the runs with the scores and differences behind it."""
    evaluations = runs[runs["kind"] == "evaluation"].sort_values(["benchmark", "optimizer", "arm", "lr", "seed"])
    studies, trials = (runs[runs["kind"] == kind] for kind in ("study", "trial"))
    names = sorted({*evaluations["benchmark"], *studies.loc[studies["outcome"] == "failed", "benchmark"]})
    tables, used, scores, pairs = [], [evaluations[:0]], {}, {}
    for name in names:
        own_evaluations, own_studies, own_trials = (p[p["benchmark"] == name] for p in (evaluations, studies, trials))
        compared = _of_one_study(own_evaluations[own_evaluations["arm"] != "given"], own_studies)
        given = own_evaluations[own_evaluations["arm"] == "given"]
        used.append(compared)
        table = _rows(compared, given, own_studies, own_trials)
        ranked = table[table["rankable"]]
        if len(ranked):
            matrix = np.column_stack(list(ranked["scores"]))
            own = list(ranked["optimizer"])
            found = compare(matrix, tolerance(own_studies))
            scores[name] = pd.DataFrame(matrix, columns=own)
            pairs[name] = {(own[i], own[j]): difference for (i, j), difference in found.items()}
            table.loc[ranked.index, ["rank", "gap", "improvement", "verdict"]] = _judged(matrix, found)
            included = own_studies.drop_duplicates("optimizer").set_index("optimizer")["includes"].dropna()
            table.loc[ranked.index, "outdone_by"] = [_outdone_by(one, pairs[name], included.get(one, "[]")) for one in own]
        table["flags"] = [flags(row) for row in table.to_dict("records")]
        table = table.sort_values(["position", "score", "optimizer", "lr"], ignore_index=True)
        tables.append(table.astype(dict.fromkeys(COUNTS, "Int64"))[list(COLUMNS)])
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))
    return Comparison(table=whole, evaluations=pd.concat(used, ignore_index=True), scores=scores, pairs=pairs)


def _rows(compared: pd.DataFrame, given: pd.DataFrame, studies: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The rows of one benchmark, not yet ranked."""
    failed, studies = (studies[studies["outcome"] == outcome] for outcome in ("failed", "finished"))
    failed = failed.drop_duplicates("optimizer")
    found = [*rows(compared), *rows(given)]
    tuned_so_far = set(compared.loc[compared["arm"] == "tuned", "optimizer"])
    found += [failed_row(study) for study in failed.to_dict("records") if study["optimizer"] not in tuned_so_far]
    table = pd.DataFrame(found).merge(_budgets(studies), on="optimizer", how="left")
    tuning = trials[trials["parent"].isin(studies["run_id"])].sort_values("seed").groupby(["optimizer", "lr"])["score"].mean()
    table = table.merge(tuning.rename("trial_score"), on=["optimizer", "lr"], how="left")
    tuned = table["arm"] == "tuned"
    table["trials"] = table["n_trials"].where(tuned)
    table["at_edge"] = tuned & (table["at_edge"] == True)  # noqa: E712, it is nan without a finished study
    table["reuse"] = table["reuse"].where(tuned)
    table["n_tied"] = table["n_tied"].where(tuned)
    table["complete"] = (table["arm"] != "given") & (table["seeds"] == table["n_seeds"]) & (table["failed"] == 0)
    same_budget = table["same_budget"] == True  # noqa: E712, it is nan without a finished study
    table["rankable"] = tuned & table["complete"] & same_budget & (table["diverged"] < table["seeds"])
    table["optimism"] = ((table["score"] - table["trial_score"]) / table["trial_score"].abs()).where(tuned)
    table["position"] = table["arm"].map(ARMS.index)
    table[["rank", "gap", "improvement"]] = math.nan
    table["outdone_by"] = ""
    scores = table[table["complete"] & tuned].set_index("optimizer")["scores"].to_dict()
    limit = tolerance(studies)
    table["verdict"] = [_unranked(row, scores.get(row["optimizer"]), limit) for row in table.to_dict("records")]
    return table


def _judged(matrix: np.ndarray, pairs: dict[tuple[int, int], Difference]) -> list[tuple[float, float, float, str]]:
    """Rank, gap, chance of improvement and verdict of each column of scores."""
    found = verdicts(matrix, pairs)
    leader = next(i for i, verdict in enumerate(found) if verdict.gap == 0)
    chances = [probability_of_improvement(column, matrix[:, leader]) for column in matrix.T]
    return [(v.rank, v.gap, chance, v.text) for v, chance in zip(found, chances, strict=True)]


def _outdone_by(optimizer: str, pairs: dict[tuple[str, str], Difference], included: str) -> str:
    """The optimizers, of those that this one includes, that are certainly better than it."""
    better = [one for one in json.loads(included) if (one, optimizer) in pairs and pairs[one, optimizer].verdict == "better"]
    return ", ".join(better)


def _of_one_study(evaluations: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of each optimizer's finished study; where there is none, of the one that has come furthest."""
    finished = evaluations["parent"].isin(studies["run_id"])
    sizes = evaluations.groupby("parent")["run_id"].transform("size")
    order = evaluations.assign(finished=finished, size=sizes).sort_values(["finished", "size", "parent"])
    chosen = order.groupby("optimizer")["parent"].last()
    return evaluations[evaluations["parent"] == evaluations["optimizer"].map(chosen)]


def _budgets(studies: pd.DataFrame) -> pd.DataFrame:
    """The budget of each finished study, and whether it is that of the comparison: the one most optimizers had."""
    carried = ["optimizer", *BUDGET, "at_edge", "n_tied", "reuse"]
    budgets = studies[carried].drop_duplicates("optimizer").copy()
    sizes = budgets.groupby(list(BUDGET))["optimizer"].transform("size")
    largest = budgets.assign(size=sizes).sort_values(["size", *BUDGET]).tail(1)[list(BUDGET)]
    budgets["same_budget"] = (budgets[list(BUDGET)].to_numpy() == largest.to_numpy()).all(axis=1) if len(budgets) else False
    return budgets


def tolerance(studies: pd.DataFrame) -> float:
    """Below which fraction of the better score a difference does not matter: what the suite said."""
    return float(studies["tolerance"].max()) if studies["tolerance"].notna().any() else TOLERANCE


def _unranked(row: dict[Any, Any], tuned: np.ndarray | None, limit: float) -> str:
    """Why a row has no rank; of a default rate, how it compares with the tuned one by the same rules as others."""
    if row["failed"]:
        return f"{row['failed']} failed" if row["seeds"] else "failed"
    if row["arm"] == "given":
        return "not ranked"
    if not row["complete"] or (row["arm"] == "default" and tuned is None):
        return "study incomplete"
    if row["diverged"] == row["seeds"]:
        return ALL_DIVERGED
    if row["arm"] == "default" and tuned is not None:
        difference = compare(np.column_stack([row["scores"], tuned]), limit)[0, 1]
        words = {"tied": "as good as tuned", "inconclusive": "not told apart from tuned"}
        return words.get(difference.verdict) or f"{worse(difference.gap)} than tuned"
    return "not ranked: {n_trials:.0f} trials on {n_tuning_seeds:.0f} seeds, {n_seeds:.0f} seeds".format(**row)
