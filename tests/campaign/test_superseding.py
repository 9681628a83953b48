"""Changed definitions and budgets supersede the runs that they concern, and no others."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import InlinePool
from suites import tiny
from support.campaigns import N_SGD, N_SIGN, SUITE, go
from support.stores import everything, prepared, run_studies

import optsuite
from optsuite import OPTIMIZERS, Suite
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign.events import Ready
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import missing, studies_of
from optsuite.tracking.location import tracking_uri


def test_changed_optimizer_supersedes_its_runs_and_no_others(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    n = pool.n_trained
    with_momentum = replace(OPTIMIZERS["sgd"], fixed={"momentum": 0.5})
    changed = replace(SUITE, optimizers=(with_momentum, SUITE.optimizers[1]))
    pool.load(changed)
    studies = studies_of(changed, prepared(changed), device="cpu")
    assert missing(studies, uri=tracking_uri(), campaign="c") == {"tiny_line": N_SGD}
    run_studies(pool, studies)
    assert pool.n_trained == n + N_SGD
    runs = everything()
    assert runs.groupby("optimizer")["superseded"].sum().to_dict() == {"sgd": N_SGD + 1, "sign": 0}
    assert len(leaderboard(optsuite.runs("c"))) == 3
    go(pool)  # the first definition again: nothing was erased
    assert pool.n_trained == n + N_SGD
    runs = everything()
    assert runs.groupby("optimizer")["superseded"].sum().to_dict() == {"sgd": N_SGD + 1, "sign": 0}


def test_changed_benchmark_supersedes_the_runs_of_all_optimizers(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    harder = replace(tiny.BENCHMARK, batch_size=8)
    only = replace(SUITE, benchmarks=(harder,), optimizers=SUITE.optimizers[:1])
    go(pool, only)
    runs = optsuite.runs("c")
    assert set(runs["optimizer"]) == {"sgd"}


def test_more_trials_reuse_the_first_and_supersede_the_old_rate(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    n = pool.n_trained
    go(pool, replace(SUITE, n_trials=12, n_seeds=3))
    runs = optsuite.runs("c")
    n_trials = runs[runs["kind"] == "trial"].groupby("optimizer").size()
    assert n_trials.to_dict() == {"sgd": 12, "sign": 12}
    n_tuned = runs[runs["arm"] == "tuned"].groupby("optimizer").size()
    assert n_tuned.to_dict() == {"sgd": 3, "sign": 3}
    assert len(runs[runs["kind"] == "study"]) == 2
    studies = runs[runs["kind"] == "study"].set_index("optimizer")
    children = runs[runs["kind"] != "study"]
    assert (children["parent"] == children["optimizer"].map(studies["run_id"])).all()
    assert pool.n_trained - n < 2 * 12 + 9


def test_budget_or_engine_that_replaces_another_is_announced(
    folder: Path, pool: InlinePool
) -> None:
    def replaced(suite: Suite, engine: str = "auto") -> Mapping[str, str]:
        pool.load(suite)
        problems, _ = prepare(suite, device="cpu", engine=engine)
        events = run_studies(pool, studies_of(suite, problems, device="cpu"))
        (ready,) = (event for event in events if isinstance(event, Ready))
        return ready.replaced

    assert replaced(SUITE) == {}
    assert replaced(SUITE) == {}
    assert replaced(replace(SUITE, n_seeds=3)) == {"tiny_line": "budget"}
    assert replaced(replace(SUITE, n_seeds=3)) == {}
    assert replaced(SUITE) == {"tiny_line": "budget"}
    assert replaced(SUITE, engine="plain") == {"tiny_line": "engine"}


def outdated(pool: InlinePool, suite: Suite) -> list[tuple[object, ...]]:
    """What leaves the report when the suite is run."""
    (ready,) = (event for event in go(pool, suite) if isinstance(event, Ready))
    return [(one.benchmark, one.optimizer, one.cause, one.n_runs) for one in ready.outdated]


def test_what_leaves_the_report_is_announced_once_with_its_cause(
    folder: Path, pool: InlinePool
) -> None:
    sgd, sign = SUITE.optimizers
    with_momentum = replace(SUITE, optimizers=(replace(sgd, fixed={"momentum": 0.5}), sign))
    harder = replace(SUITE, benchmarks=(replace(tiny.BENCHMARK, batch_size=8),))
    assert outdated(pool, SUITE) == []
    assert outdated(pool, SUITE) == []
    assert outdated(pool, with_momentum) == [("tiny_line", "sgd", "definition", N_SGD)]
    assert outdated(pool, with_momentum) == []
    assert outdated(pool, harder) == [("tiny_line", None, "definition", N_SGD + N_SIGN)]


def test_changed_numerics_of_torch_are_a_changed_environment(
    folder: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(pool)
    monkeypatch.setattr(torch, "__version__", torch.__version__ + ".later")
    other = replace(SUITE)  # prepared again
    assert outdated(pool, other) == [("tiny_line", None, "environment", N_SGD + N_SIGN)]
