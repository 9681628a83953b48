"""A campaign that is started again completes what is missing and changes nothing else."""

from collections.abc import Callable
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import pandas as pd
import pytest
from conftest import InlinePool, enter
from mlflow import MlflowClient
from support.campaigns import SUITE, go
from support.stores import everything

import optsuite
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign.events import Ready, RunEnded, StudyEnded
from optsuite.tracking.bulk_insert import Tables
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import open_store


def test_second_start_trains_nothing_and_writes_nothing(folder: Path, pool: InlinePool) -> None:
    go(pool)
    before, n = everything(), pool.n_trained
    events = go(pool)
    assert pool.n_trained == n
    assert [e.missing for e in events if isinstance(e, Ready)] == [{"tiny_line": 0}]
    assert all(e.reused for e in events if isinstance(e, RunEnded | StudyEnded))
    pd.testing.assert_frame_equal(everything(), before)


def test_interrupted_campaign_resumes_to_the_same_end(
    folder: Path, template: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(folder / "whole", template, monkeypatch)
    go(pool)
    expected = leaderboard(optsuite.runs("c"))
    monkeypatch.chdir(folder)
    for n in (1, 8, 9, 12, 20):
        pool.clear()
        count = pool.n_trained
        go(pool, stop=lambda n=n, count=count: pool.n_trained - count >= n)  # type: ignore[misc]
        runs = everything()
        assert "RUNNING" not in set(runs["status"])
        assert runs["fingerprint"].is_unique
    pool.clear()
    go(pool)
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)
    assert set(everything()["status"]) == {"FINISHED"}


def test_runs_left_running_by_a_kill_are_deleted_and_trained_again(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    store, runs = open_store(tracking_uri()), everything()
    n = pool.n_trained
    study = runs[(runs["kind"] == "study") & (runs["optimizer"] == "sgd")].iloc[0]
    trial = runs[(runs["kind"] == "trial") & (runs["optimizer"] == "sgd")].iloc[4]
    for run_id in (study["run_id"], trial["run_id"]):
        store.client.update_run(run_id, status="RUNNING")
    go(pool)
    assert pool.n_trained == n + 1
    again = everything()
    assert set(again["status"]) == {"FINISHED"}
    assert trial["run_id"] not in set(again["run_id"])
    columns = ["optimizer", "kind", "lr", "seed", "score", "fingerprint"]
    pd.testing.assert_frame_equal(again[columns], runs[columns])


def test_run_deleted_in_the_ui_is_trained_again(folder: Path, pool: InlinePool) -> None:
    go(pool)
    n, runs = pool.n_trained, everything()
    open_store(tracking_uri()).delete(runs[runs["arm"] == "tuned"].iloc[0]["run_id"])
    go(pool)
    assert pool.n_trained == n + 1
    pd.testing.assert_series_equal(everything()["score"], runs["score"])


def test_run_recorded_twice_is_kept_once(folder: Path, pool: InlinePool) -> None:
    go(pool)
    store, runs = open_store(tracking_uri()), everything()
    one = store.client.get_run(runs[runs["arm"] == "tuned"].iloc[0]["run_id"])
    double = store.client.create_run(one.info.experiment_id, tags=one.data.tags)
    store.client.set_terminated(double.info.run_id)
    go(pool)
    assert len(everything()) == len(runs)


class Killed(BaseException):
    """Stands for the kill of a process: nothing more is written."""


WRITES = (
    "create_run",
    "log_batch",
    "set_terminated",
    "delete_run",
    "set_tag",
    "delete_tag",
    "create_experiment",
)


def kill_after(n: int, patch: pytest.MonkeyPatch) -> None:
    """Let n writes to the store succeed, and none after them."""
    writes: dict[tuple[type, str], Callable[..., object]] = {
        (MlflowClient, name): getattr(MlflowClient, name) for name in WRITES
    }
    writes[Tables, "insert"] = Tables.insert
    done = [0]

    def write(self: object, *arguments: object, of: tuple[type, str], **named: object) -> object:
        done[0] += 1
        if done[0] > n:
            raise Killed
        return writes[of](self, *arguments, **named)

    for owner, name in writes:
        patch.setattr(owner, name, partialmethod(write, of=(owner, name)))


# With 0 seconds a run takes many writes, by the client; as it is, they are inserted together.
@pytest.mark.parametrize(("flush_seconds", "step", "fewest_writes"), [(0.0, 7, 20), (5.0, 1, 7)])
def test_kill_before_any_write_changes_nothing(
    folder: Path,
    template: Path,
    pool: InlinePool,
    monkeypatch: pytest.MonkeyPatch,
    flush_seconds: float,
    step: int,
    fewest_writes: int,
) -> None:
    monkeypatch.setattr("optsuite.tracking.run_logger.FLUSH_SECONDS", flush_seconds)
    suite = replace(SUITE, n_trials=2, n_seeds=2, optimizers=SUITE.optimizers[:1])
    go(pool, suite)
    expected = leaderboard(optsuite.runs("c"))
    for n in range(0, 200, step):
        enter(folder / str(n), template, monkeypatch)
        with monkeypatch.context() as patch:
            kill_after(n, patch)
            try:
                go(pool, suite)
                assert n >= fewest_writes
                return
            except Killed:
                pool.clear()
        go(pool, suite)
        pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)
        runs = everything()
        assert set(runs["status"]) == {"FINISHED"}
        assert runs["fingerprint"].is_unique
        assert (runs["parent"].dropna() == runs[runs["kind"] == "study"]["run_id"].iloc[0]).all()
    raise AssertionError("it never ended")


def test_experiment_deleted_in_the_ui_comes_back_with_its_runs(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    before, n, store = everything(), pool.n_trained, open_store(tracking_uri())
    store.client.delete_experiment(before["experiment_id"].iloc[0])
    go(pool)
    assert pool.n_trained == n
    pd.testing.assert_frame_equal(everything(), before)
