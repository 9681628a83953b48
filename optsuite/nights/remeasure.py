"""Measuring step times again before a night counts as slower: a busy machine slows some of them."""

import time
from collections.abc import Sequence

import pandas as pd

from optsuite.analysis.changes import changes
from optsuite.campaign.prepare import Problem
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.tracking.query import read_runs
from optsuite.tracking.schema import RELATIVE_TIME
from optsuite.tracking.store import Store
from optsuite.training.numerics import fit
from optsuite.training.step_cost import measure_costs
from optsuite.training.validation.definitions import load_splits

# More measurements: a single fast one shows that the step has not become slower.
TIMES = 3


def confirmed(
    store: Store,
    before: pd.DataFrame,
    campaign: str,
    problems: Sequence[Problem],
    specs: Sequence[OptimizerSpec],
    *,
    device: str,
) -> pd.DataFrame:
    """The runs of a campaign. Steps that seem slower are measured again; the fastest counts."""
    for _ in range(TIMES):
        after = read_runs(store, campaign)
        slow = set()
        for change in changes(before, after):
            if change.quantity == "step_time" and change.kind == "worse":
                slow.add(change.benchmark)
        again = [problem for problem in problems if problem.benchmark.name in slow]
        if not again:
            return after
        for problem in again:
            _measure(store, after, problem, specs, device)
    return read_runs(store, campaign)


def _measure(
    store: Store, runs: pd.DataFrame, problem: Problem, specs: Sequence[OptimizerSpec], device: str
) -> None:
    """Measure the steps of a benchmark, and store the times that are shorter than before."""
    benchmark = problem.benchmark
    own = [spec for spec in specs if spec.name in problem.plans]
    splits = fit(benchmark, load_splits(benchmark), device=device).splits.to(device)
    costs = measure_costs(benchmark, own, splits, device=device)
    is_study = (runs["kind"] == "study") & (runs["benchmark"] == benchmark.name)
    is_timed = runs[RELATIVE_TIME].notna()
    for row in runs[is_study & is_timed].to_dict("records"):
        cost = costs.get(row["optimizer"])
        if cost is not None and cost.relative_step_time < row[RELATIVE_TIME]:
            summary = {RELATIVE_TIME: cost.relative_step_time}
            store.log(row["run_id"], summary=summary, time=time.time())
