"""Runs that fail, lose their workers or do not start alike end their studies alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
from conftest import InlinePool
from suites import tiny
from support.campaigns import N_SGD, N_SIGN, SUITE, go, resume
from support.stores import everything

import optsuite
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign.events import StudyEnded
from optsuite.execution.pool import RunUpdate, Task, TaskLost
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import open_store
from optsuite.training.results import Measurement, RunResult


def test_failed_run_ends_its_study_alone_and_is_tried_again(folder: Path, pool: InlinePool) -> None:
    pool.load(SUITE)
    train, broken = pool.train, [True]
    assert train is not None

    def failing(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        if broken[0] and task.runs[0].optimizer == "sgd" and task.runs[0].kind == "trial":
            raise RuntimeError("disk on fire")
        return train(task)

    pool.train = failing
    ended = {e.optimizer: e for e in resume(pool) if isinstance(e, StudyEnded)}
    expected = "the run lr=10 seed=1000 failed: RuntimeError: disk on fire (test_failing_runs.py, "
    assert str(ended["sgd"].error).startswith(expected)
    assert ended["sign"].error is None
    runs = everything()
    assert runs[(runs["status"] == "FAILED")]["kind"].tolist() == ["study", *["trial"] * 8]
    broken[0] = False
    resume(pool)
    assert set(everything()["status"]) == {"FINISHED"}
    assert len(everything()) == N_SGD + N_SIGN + 2


def test_study_that_fails_when_repeated_leaves_the_good_result(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    before = leaderboard(optsuite.runs("c"))

    def failing(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        raise RuntimeError("no")

    pool.train = failing
    events = resume(pool, replace(SUITE, n_trials=12))
    assert all(e.error for e in events if isinstance(e, StudyEnded))
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), before)


def test_task_whose_worker_dies_is_tried_once_more(folder: Path, pool: InlinePool) -> None:
    poll, deaths = pool.poll, [1]

    def dying(timeout: float) -> list[RunUpdate | TaskLost]:
        events = list(poll(timeout))
        is_check = events[0].task in {task.id for task in pool.checks}
        if deaths[0] and isinstance(events[0], RunUpdate) and not is_check:
            deaths[0] -= 1
            lost = TaskLost(task=events[0].task, reason="its worker died with exit code -9")
            return [*events[:2], lost]
        return events

    pool.poll = dying  # type: ignore[method-assign]
    assert not [e for e in go(pool) if isinstance(e, StudyEnded) and e.error]
    assert len(everything()) == N_SGD + N_SIGN + 2
    deaths[0] = 2
    trial = everything().query("kind == 'trial' and optimizer == 'sign'").iloc[0]
    open_store(tracking_uri()).delete(trial["run_id"])
    (failed,) = [e for e in go(pool) if isinstance(e, StudyEnded) and e.error]
    assert "its worker died with exit code -9" in str(failed.error)


def test_runs_that_do_not_start_alike_fail(folder: Path, pool: InlinePool) -> None:
    pool.load(SUITE)
    train = pool.train
    assert train is not None

    def elsewhere(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        for index, update in train(task):
            if isinstance(update, Measurement) and task.runs[0].optimizer == "sign":
                doubled = {name: value * 2 for name, value in update.values.items()}
                update = replace(update, values=doubled)
            yield index, update

    pool.train = elsewhere
    (failed,) = [e for e in resume(pool) if isinstance(e, StudyEnded) and e.error]
    assert failed.optimizer == "sign"
    assert "validation loss at step 0 is" in str(failed.error)
    assert "with sgd: it must depend on the seed alone" in str(failed.error)


def test_suite_that_changes_while_it_runs_fails(folder: Path, pool: InlinePool) -> None:
    pool.load(replace(SUITE, benchmarks=(replace(tiny.BENCHMARK, batch_size=8),)))
    errors = [str(e.error) for e in resume(pool) if isinstance(e, StudyEnded)]
    assert errors
    expected = "benchmark tiny_line: its numbers differ each time that the suite is loaded"
    assert all(expected in error for error in errors)
