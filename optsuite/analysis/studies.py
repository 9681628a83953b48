"""The studies of one benchmark: their budgets and seeds, from the rows of a campaign."""

import pandas as pd

from optsuite.definitions.suite import BUDGET, TOLERANCE
from optsuite.statistics.looks import looks_at

# What the rows of a leaderboard take from a study.
OF_STUDY = (
    "optimizer",
    *BUDGET,
    "n_evaluated",
    "at_edge",
    "n_tied",
    "n_confirmed",
    "reuse",
    "code",
)


def tolerance(studies: pd.DataFrame) -> float:
    """The suite's tolerance: smaller differences, relative to the better score, do not count."""
    known = studies["tolerance"].dropna()
    return float(known.max()) if len(known) else TOLERANCE


def looks(studies: pd.DataFrame) -> tuple[int, ...]:
    """The numbers of seeds at which these studies, all of one budget, could stop."""
    first = studies.iloc[0]
    return looks_at(int(first["n_seeds"]), int(first["max_seeds"]))


def shared_seeds(compared: pd.DataFrame, studies: pd.DataFrame) -> dict[str, set[float]]:
    """For each complete study with the common budget of `budgets`, the seeds that all these have.

    `compared` are the evaluations.
    """
    n_evaluated = studies[studies["same_budget"]].set_index("optimizer")["n_evaluated"]
    sets: dict[str, set[float]] = {}
    for optimizer, own in compared[compared["arm"] == "tuned"].groupby("optimizer"):
        if len(own) == n_evaluated.get(optimizer):
            sets[str(optimizer)] = set(own["seed"])
    shared = set.intersection(*sets.values()) if sets else set()
    return dict.fromkeys(sets, shared)


def of_one_study(evaluations: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of each optimizer's finished study, or else of its most advanced one."""
    finished = evaluations["parent"].isin(studies["run_id"])
    sizes = evaluations.groupby("parent")["run_id"].transform("size")
    order = evaluations.assign(finished=finished, size=sizes)
    order = order.sort_values(["finished", "size", "parent"])
    chosen = order.groupby("optimizer")["parent"].last()
    return evaluations[evaluations["parent"] == evaluations["optimizer"].map(chosen)]


def budgets(studies: pd.DataFrame) -> pd.DataFrame:
    """The budget of each finished study, and whether it is that of most optimizers."""
    found = studies[list(OF_STUDY)].drop_duplicates("optimizer").copy()
    sizes = found.groupby(list(BUDGET))["optimizer"].transform("size")
    largest = found.assign(size=sizes).sort_values(["size", *BUDGET]).tail(1)[list(BUDGET)]
    found["same_budget"] = False
    if len(found):
        same = found[list(BUDGET)].to_numpy() == largest.to_numpy()
        found["same_budget"] = same.all(axis=1)
    return found
