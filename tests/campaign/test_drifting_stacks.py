"""Stacked runs are compared with plain ones once, and trained plainly where they drift."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import InlinePool
from support.restarts import N_SGD, N_SIGN, SUITE, go, resume
from support.stores import drifting, everything, run_studies

from optsuite.campaign.events import Event, StudyRestarted
from optsuite.campaign.guard import N_PERTURBED, RUNS
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import manual_study
from optsuite.execution.pool import Task
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.plans import read_plans
from optsuite.training.results import Measurement, RunResult


def test_stacked_studies_are_compared_with_the_plain_loop_once(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    plain = [task for task in pool.checks if task.engine == "plain"]
    assert sorted(task.runs[0].optimizer for task in plain) == ["sgd", "sign"]
    assert {task.runs[0].arm for task in plain} == {"tuned"}
    for task in plain:
        assert task.until is not None
        assert task.until >= 20  # beyond the first measurement
    go(pool)
    assert [task for task in pool.checks if task.engine == "plain"] == []


@pytest.mark.parametrize(
    ("drift", "seeds", "is_refused", "n_perturbed"),
    [
        (1e-2, range(9), True, RUNS * N_PERTURBED),
        (1e-4, range(9), False, 0),
        (1e-2, [0], False, N_PERTURBED),
    ],
    ids=["all runs drift", "rounding", "one run is thrown off its course"],
)
def test_stacks_that_drift_are_told_from_rounding_by_perturbed_runs(
    folder: Path,
    pool: InlinePool,
    monkeypatch: pytest.MonkeyPatch,
    drift: float,
    seeds: Sequence[int],
    is_refused: bool,
    n_perturbed: int,
) -> None:
    monkeypatch.setattr(random.SystemRandom, "sample", lambda self, curves, k: curves[:k][::-1])
    suite = replace(SUITE, n_seeds=4)
    pool.load(suite)
    train = pool.train
    assert train is not None
    pool.train = drifting(train, 1 + drift, seeds)
    events = resume(pool, suite)
    assert any(isinstance(event, StudyRestarted) for event in events) == is_refused
    seeds_used = [task.perturbation for task in pool.checks if task.perturbation]
    assert seeds_used == list(range(1, N_PERTURBED + 1)) * (n_perturbed // N_PERTURBED)


def test_failed_plain_run_refuses_no_stack(
    folder: Path, pool: InlinePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.load(SUITE)
    train = pool.train
    assert train is not None

    def failing(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        if task.until is not None:
            raise FileNotFoundError("data on this node")
        yield from train(task)

    pool.train = failing
    assert not [event for event in resume(pool) if isinstance(event, StudyRestarted)]
    assert "tiny_line sgd: not compared with the plain loop" in caplog.text
    assert not everything()["refuted"].any()
    go(pool, trust_store=True)
    # The next start makes up for it.
    assert [task.engine for task in pool.checks] == ["plain", "plain"]


def test_given_rates_are_compared_once_and_refusals_of_them_remembered(
    folder: Path, pool: InlinePool
) -> None:
    pool.load(SUITE)
    train = pool.train
    assert train is not None

    def go_given(seeds: list[int]) -> list[Event]:
        pool.checks = []
        (problem,), _ = prepare(SUITE, device="cpu")
        study = manual_study(SUITE, problem, lr=0.05, seeds=seeds, device="cpu")
        return run_studies(pool, [study], trust_store=True)

    go_given([0, 1])
    assert len(pool.checks) == 1
    go_given([0, 1])
    assert pool.checks == []

    pool.train = drifting(train)
    assert [event for event in go_given([5, 6]) if isinstance(event, StudyRestarted)]
    go_given([7, 8])
    assert pool.checks == []
    assert set(everything().query("not superseded and seed >= 5")["engine"]) == {"plain"}


def test_stacks_that_part_from_the_plain_loop_are_trained_plainly_and_never_stacked_again(
    folder: Path, pool: InlinePool
) -> None:
    pool.load(SUITE)
    train = pool.train
    assert train is not None

    pool.train = drifting(train)
    events = resume(pool)
    (restarted,) = [event for event in events if isinstance(event, StudyRestarted)]
    assert (restarted.optimizer, restarted.n_runs) == ("sgd", N_SGD)
    assert pool.n_trained == 2 * N_SGD + N_SIGN
    runs = everything()
    assert int(runs["refuted"].sum()) == N_SGD + 1
    current = runs[~runs["superseded"] & (runs["optimizer"] == "sgd")]
    assert set(current["engine"]) == {"plain"}
    assert len(current) == N_SGD + 1
    reason = "its stacked runs differ from plain ones: "
    assert current["engine_reason"].str.startswith(reason).all()
    resume(pool)
    assert pool.n_trained == 0
    every = itertools.chain.from_iterable(read_plans(tracking_uri(), "c").values())
    (known,) = [one for one in every if one.engine == "plain"]
    assert known.reason == current["engine_reason"].iloc[0]
    assert known.covers(1e-30, 1e30)
    assert set(everything().query("not superseded and optimizer == 'sgd'")["engine"]) == {"plain"}
