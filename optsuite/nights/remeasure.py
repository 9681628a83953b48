"""Measuring the time of a step again before a night is called slower: a machine with other work to do slows some of them."""

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

TIMES = 3  # more measurements: one that is faster shows that the step has not become slower


def confirmed(
    store: Store,
    before: pd.DataFrame,
    campaign: str,
    problems: Sequence[Problem],
    specs: Sequence[OptimizerSpec],
    *,
    device: str,
) -> pd.DataFrame:
    """The runs of a campaign, after its steps that seem slower than before have been measured again; the fastest counts."""
    for _ in range(TIMES):
        after = read_runs(store, campaign)
        slow = {
            c.benchmark
            for c in changes(before, after)
            if c.quantity == "step_time" and c.kind == "worse"
        }
        again = [problem for problem in problems if problem.benchmark.name in slow]
        if not again:
            return after
        for problem in again:
            _measure(store, after, problem, specs, device)
    return read_runs(store, campaign)


def _measure(
    store: Store, runs: pd.DataFrame, problem: Problem, specs: Sequence[OptimizerSpec], device: str
) -> None:
    benchmark, own = problem.benchmark, [spec for spec in specs if spec.name in problem.plans]
    splits = fit(benchmark, load_splits(benchmark), device=device).splits.to(device)
    costs = measure_costs(benchmark, own, splits, device=device)
    studies = runs[
        (runs["kind"] == "study")
        & (runs["benchmark"] == benchmark.name)
        & runs[RELATIVE_TIME].notna()
    ]
    for row in studies.to_dict("records"):
        cost = costs.get(row["optimizer"])
        if cost is not None and cost.relative_step_time < row[RELATIVE_TIME]:
            store.log(
                row["run_id"], summary={RELATIVE_TIME: cost.relative_step_time}, time=time.time()
            )
