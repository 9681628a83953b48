"""The leaderboard: a pure, deterministic function from a campaign's runs to a table."""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd

from optsuite.analysis.columns import Column, columns_for
from optsuite.analysis.ranking import Pairs, check_on_test, rank
from optsuite.analysis.rows import failed_row, metrics_of, rows_of
from optsuite.analysis.studies import budgets, of_one_study, shared_seeds, tolerance
from optsuite.analysis.verdicts import Unranked, warnings
from optsuite.statistics.differences import compare

ARMS = ("tuned", "default", "manual")  # in the order of the table
Row = dict[Any, Any]
VERDICT_COLUMNS = [  # of `verdict_rows`
    "benchmark",
    "optimizer",
    "versus",
    "verdict",
    "gap",
    "p",
    "seeds_needed",
    "test_verdict",
    "test_gap",
]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The leaderboard, and the data behind it.

    `evaluations` are those of the studies in it, tuned and default. By benchmark, `scores` has a
    column for each ranked optimizer and a row for each seed, with diverged runs penalized, and
    `pairs` has the verdict on each ordered pair of these optimizers, and `test_pairs` the one by
    test losses at the steps of the scores, where they were measured.
    """

    table: pd.DataFrame
    evaluations: pd.DataFrame
    scores: dict[str, pd.DataFrame]
    pairs: dict[str, Pairs]
    test_pairs: dict[str, Pairs]

    def part(self, benchmarks: Set[str]) -> "Comparison":
        """The same for some of the benchmarks."""
        return Comparison(
            table=self.table[self.table["benchmark"].isin(benchmarks)],
            evaluations=self.evaluations[self.evaluations["benchmark"].isin(benchmarks)],
            scores={name: own for name, own in self.scores.items() if name in benchmarks},
            pairs={name: own for name, own in self.pairs.items() if name in benchmarks},
            test_pairs={name: own for name, own in self.test_pairs.items() if name in benchmarks},
        )


def verdict_rows(found: Comparison) -> list[Row]:
    """A row for each ordered pair of ranked optimizers."""
    rows: list[Row] = []
    for benchmark, own in found.pairs.items():
        for (one, other), verdict in sorted(own.items()):
            on_test = found.test_pairs[benchmark].get((one, other))
            row = {
                "benchmark": benchmark,
                "optimizer": one,
                "versus": other,
                "verdict": verdict.kind,
                "gap": verdict.gap,
                "p": verdict.p,
                "seeds_needed": verdict.seeds_needed,
                "test_verdict": on_test.kind if on_test else "",
                "test_gap": on_test.gap if on_test else math.nan,
            }
            rows.append(row)
    return rows


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each benchmark, optimizer, arm and rate, best first, from `optsuite.runs`.

    `score`, with its 95 % interval, and the test columns are interquartile means over the
    `shared_seeds`, those that all optimizers have; a diverged run counts as the worst of its
    benchmark. Verdicts use all seeds that both of a pair have. `verdict`, `gap`, `p` and
    `seeds_needed` compare tuned rows with the lowest score, and default rows with the tuned one.
    `prob_improvement` is the chance that a run is better than one of the best optimizer.
    `steps_to_target` is the median, with infinity for a miss. Tuned rows are ranked if their study
    is complete, among those with the same budget: a rank is one more than the number of optimizers
    that are certainly better.
    """
    return comparison(runs).table


def comparison(runs: pd.DataFrame) -> Comparison:
    """The leaderboard of the runs with the scores and verdicts behind it."""
    evaluations = runs[runs["kind"] == "evaluation"]
    evaluations = evaluations.sort_values(["benchmark", "optimizer", "arm", "lr", "seed"])
    studies = runs[runs["kind"] == "study"]
    trials = runs[runs["kind"].isin(["trial", "confirmation"])]
    failed = studies.loc[studies["outcome"] == "failed", "benchmark"]
    tables, used = [], [evaluations[:0]]
    scores: dict[str, pd.DataFrame] = {}
    pairs: dict[str, Pairs] = {}
    test_pairs: dict[str, Pairs] = {}
    columns = columns_for(metrics_of(evaluations))
    for name in sorted({*evaluations["benchmark"], *failed}):
        own = evaluations[evaluations["benchmark"] == name]
        own_studies = studies[studies["benchmark"] == name]
        own_trials = trials[trials["benchmark"] == name]
        compared = of_one_study(own[own["arm"] != "manual"], own_studies)
        used.append(compared)
        table = _rows(compared, own[own["arm"] == "manual"], own_studies, own_trials, columns)
        rows: list[Row] = table.to_dict("records")
        _compare_defaults(rows, tolerance(own_studies))
        rankable = [row for row in rows if row["rankable"]]
        if rankable:
            scores[name], pairs[name] = rank(rankable, own_studies)
            test_pairs[name] = check_on_test(rankable, own_studies, pairs[name])
        for row in rows:
            row["warnings"] = warnings(row)
        tables.append(_finished(pd.DataFrame(rows), columns))
    whole = pd.DataFrame(columns=[column.name for column in columns])
    if tables:
        whole = pd.concat(tables, ignore_index=True)
    evaluations = pd.concat(used, ignore_index=True)
    return Comparison(
        table=whole, evaluations=evaluations, scores=scores, pairs=pairs, test_pairs=test_pairs
    )


def _finished(table: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The rows of a benchmark in order, with the columns of the leaderboard only."""
    table = table.sort_values(["position", "score", "optimizer", "lr"], ignore_index=True)
    counts = [column.name for column in columns if column.is_count]
    names = [column.name for column in columns]
    return table.astype(dict.fromkeys(counts, "Int64"))[names]


def _rows(
    compared: pd.DataFrame,
    manual: pd.DataFrame,
    studies: pd.DataFrame,
    trials: pd.DataFrame,
    columns: Sequence[Column],
) -> pd.DataFrame:
    """The rows of one benchmark, not yet ranked, with auxiliary columns."""
    finished = studies[studies["outcome"] == "finished"]
    of_studies = budgets(finished)
    shared = shared_seeds(compared, of_studies)
    found = [*rows_of(compared, columns, shared), *rows_of(manual, columns)]
    found += _failed_rows(compared, studies, columns)
    table = pd.DataFrame(found).merge(of_studies, on="optimizer", how="left")
    own_trials = trials[trials["parent"].isin(finished["run_id"])].sort_values("seed")
    tuning = own_trials.groupby(["optimizer", "lr"])["score"].mean().rename("trial_score")
    table = table.merge(tuning, on=["optimizer", "lr"], how="left")
    tuned = table["arm"] == "tuned"
    table["trials"] = table["n_trials"].where(tuned)
    table["tuning_seeds"] = table["n_tuning_seeds"].where(tuned)
    confirmed = table["n_confirmation_seeds"].where(table["n_confirmed"] > 0, 0.0)
    table["confirmation_seeds"] = confirmed.where(tuned)
    # Without a finished study, at_edge and same_budget are nan.
    table["at_edge"] = tuned & (table["at_edge"] == True)  # noqa: E712
    table["reuse"] = table["reuse"].astype("object").where(tuned).fillna("")
    table["tied_rates"] = table["n_tied"].where(tuned)
    wanted = table["n_evaluated"].where(tuned, table["n_seeds"])
    is_whole = (table["seeds"] == wanted) & (table["failed"] == 0)
    table["complete"] = (table["arm"] != "manual") & is_whole
    same_budget = table["same_budget"] == True  # noqa: E712
    has_score = table["diverged"] < table["seeds"]
    table["rankable"] = tuned & table["complete"] & same_budget & has_score
    excess = (table["score"] - table["trial_score"]) / table["trial_score"].abs()
    table["optimism"] = excess.where(tuned & excess.abs().lt(math.inf))  # of a score of 0: nan
    table["position"] = table["arm"].map(ARMS.index)
    table[["rank", "gap", "p", "seeds_needed", "prob_improvement"]] = math.nan
    table[["default_lr", "default_gap"]] = math.nan
    table[["default_verdict", "beaten_by", "beaten_on_test"]] = ""
    table["code"] = table["code"].astype("object").where(tuned).fillna("")
    table["verdict"] = [_unranked(row) for row in table.to_dict("records")]
    return table


def _failed_rows(
    compared: pd.DataFrame, studies: pd.DataFrame, columns: Sequence[Column]
) -> list[Row]:
    """The rows of studies that failed before they had a rate to evaluate."""
    failed = studies[studies["outcome"] == "failed"]
    has_rate = set(compared.loc[compared["arm"] == "tuned", "optimizer"])
    found = []
    for study in failed.drop_duplicates("optimizer").to_dict("records"):
        if study["optimizer"] not in has_rate:
            found.append(failed_row(study, columns))
    return found


def _unranked(row: Row) -> Unranked:
    """Why a row has no rank, unless it is ranked later."""
    if row["failed"]:
        return "failed"
    if row["arm"] == "manual":
        return "manual"
    if not row["complete"]:
        return "incomplete"
    if row["diverged"] == row["seeds"]:
        return "diverged"
    return "other_budget"


def _compare_defaults(rows: list[Row], limit: float) -> None:
    """Fill in how default rates compare with tuned ones, in the rows of both."""
    tuned = {row["optimizer"]: row for row in rows if row["arm"] == "tuned"}
    for row in rows:
        if row["arm"] != "default":
            continue
        beside = tuned.get(row["optimizer"])
        if row["failed"] or beside is None or not beside["complete"]:
            row["verdict"] = "failed" if row["failed"] else "incomplete"
        elif row["verdict"] == "other_budget":  # the last of the reasons in `_unranked`
            both: pd.DataFrame = pd.concat([row["scores"], beside["scores"]], axis=1, join="inner")
            found = compare(both.to_numpy(), limit)[0, 1]
            row |= {"verdict": found.kind, "gap": found.gap, "p": found.p}
            row["seeds_needed"] = found.seeds_needed
        if beside is not None:
            beside["default_lr"] = row["lr"]
            beside["default_verdict"], beside["default_gap"] = row["verdict"], row["gap"]
