"""Stores of schema 2 are reused under new fingerprints, without training current runs again."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import InlinePool
from support.former_stores import (
    N_RUNS,
    N_STUDIES,
    NEW,
    OLD,
    SUITE,
    forms,
    make_former,
    raw,
    studies,
)
from support.stores import everything, run_studies

from optsuite import Suite
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign import migration
from optsuite.campaign.events import Event, Ready, RunEnded
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import manual_study, missing
from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Study
from optsuite.errors import InputError
from optsuite.tracking.legacy_rows import FORMER, has_former_rows
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.query import read_rows, read_runs
from optsuite.tracking.schema import FINGERPRINT, REFUSAL, REFUTED, SCHEMA, SEAL, SUPERSEDED
from optsuite.tracking.store import Store, open_store
from optsuite.training.legacy_fingerprint import FormerFingerprint


def go(pool: InlinePool, suite: Suite = SUITE, own: list[Study] | None = None) -> list[Event]:
    """Run the suite as the command does."""
    pool.load(suite)
    pool.n_trained, pool.checks = 0, []
    asked = studies(suite) if own is None else own
    return run_studies(pool, asked, suite="s")


def curves_of_training() -> list[tuple[Any, ...]]:
    """All metrics except what a step costs."""
    query = "SELECT run_uuid, key, step, value FROM metrics ORDER BY 1, 2, 3"
    with closing(sqlite3.connect("mlruns/mlflow.db")) as connection:
        found = connection.execute(query).fetchall()
    return [row for row in found if "usage" not in row[1]]


def test_store_of_schema_2_is_reused_whole_and_migrated_once(
    folder: Path,
    pool: InlinePool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go(pool)
    table, before = leaderboard(read_runs(open_store(tracking_uri()), "c")), everything()
    make_former(SUITE)
    assert forms() == {OLD}
    read = leaderboard(read_runs(open_store(tracking_uri()), "c"))
    pd.testing.assert_frame_equal(read, table)  # a report reads both schemas
    written = curves_of_training()
    events = go(pool)
    assert pool.n_trained == 0
    assert sum(isinstance(event, RunEnded) and event.reused for event in events) == N_RUNS
    assert len(pool.checks) >= N_STUDIES
    assert forms() == {NEW}
    assert caplog.messages == [
        f"Campaign c: {N_RUNS + N_STUDIES} runs of an earlier optsuite were given new fingerprints"
    ]
    assert read_rows(open_store(tracking_uri()), "c").damaged == ()
    assert curves_of_training() == written
    pd.testing.assert_frame_equal(everything(), before)
    assert not has_former_rows(tracking_uri(), "c")
    monkeypatch.setattr(migration, "former_rows", None)
    go(pool)  # needs none of it
    assert pool.n_trained == 0


def test_dry_run_counts_rows_of_schema_2_and_writes_nothing(folder: Path, pool: InlinePool) -> None:
    go(pool)
    make_former(SUITE)
    assert missing(studies(SUITE), uri=tracking_uri(), campaign="c") == {"tiny_line": 0}
    assert forms() == {OLD}


@pytest.mark.parametrize("after", [0, 1, 7, N_RUNS + N_STUDIES - 1])
def test_migration_that_was_killed_is_completed_by_the_next_start(
    folder: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    go(pool)
    make_former(SUITE)
    log, written = Store.log, list[str]()

    def killed(self: Store, run_id: str, **rest: Any) -> None:
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(run_id)
        log(self, run_id, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "log", killed)
        with pytest.raises(KeyboardInterrupt):
            go(pool)
    assert forms() == ({OLD, NEW} if after else {OLD})
    assert read_rows(open_store(tracking_uri()), "c").damaged == ()
    assert len(read_runs(open_store(tracking_uri()), "c")) == N_RUNS + N_STUDIES
    go(pool)
    assert pool.n_trained == 0
    assert forms() == {NEW}


def test_rows_of_another_definition_are_superseded_in_one_line(
    folder: Path, pool: InlinePool, caplog: pytest.LogCaptureFixture
) -> None:
    go(pool)
    make_former(SUITE)
    sgd, sign = SUITE.optimizers
    changed = replace(SUITE, optimizers=(replace(sgd, fixed={**sgd.fixed, "momentum": 0.5}), sign))
    go(pool, changed)
    assert pool.n_trained == 4 + 2 + 2
    said = f"Campaign c: {4 + 2 + 1} runs of an earlier optsuite were given new fingerprints"
    assert caplog.messages == [f"{said}; {4 + 2 + 2 + 1} with other definitions left the report"]
    old = [row for row in raw() if FormerFingerprint.parse(row["fingerprint"])]
    assert {row["superseded"] for row in old} == {FORMER}
    assert len(read_runs(open_store(tracking_uri()), "c")) == N_RUNS + N_STUDIES
    go(pool, changed)
    assert pool.n_trained == 0
    go(pool)  # the definitions are again what they were
    assert pool.n_trained == 0
    assert not has_former_rows(tracking_uri(), "c")


def test_rows_not_requested_by_a_start_stay_and_migrate_when_requested(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    make_former(SUITE)
    go(pool, replace(SUITE, optimizers=SUITE.optimizers[:1]))
    assert (pool.n_trained, forms()) == (0, {OLD, NEW})
    assert len(read_runs(open_store(tracking_uri()), "c")) == N_RUNS + N_STUDIES
    go(pool)
    assert (pool.n_trained, forms()) == (0, {NEW})


def test_study_of_another_budget_keeps_its_runs_and_identity(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    make_former(SUITE)
    longer = replace(SUITE, n_seeds=3)
    events = go(pool, longer)
    assert pool.n_trained == 2 + 1
    (ready,) = [event for event in events if isinstance(event, Ready)]
    assert ready.replaced == {"tiny_line": "budget"}
    assert forms() == {NEW}
    go(pool)
    assert pool.n_trained == 0


def test_runs_at_a_given_rate_are_reused(folder: Path, pool: InlinePool) -> None:
    def own(*, is_former: bool) -> list[Study]:
        (problem,), _ = prepare(SUITE, device="cpu", is_former=is_former)
        return [manual_study(SUITE, problem, lr=1, seeds=(0, 1), device="cpu")]

    go(pool, own=own(is_former=False))
    make_former(SUITE, own(is_former=True))
    go(pool, own=own(is_former=True))
    assert (pool.n_trained, forms()) == (0, {NEW})
    assert set(everything()["arm"]) == {"manual"}


def test_refusal_to_stack_is_remembered(folder: Path, pool: InlinePool) -> None:
    go(pool)
    make_former(SUITE)
    store = open_store(tracking_uri())
    for row in list(raw()):
        tags = {SUPERSEDED: REFUTED}
        if row["kind"] == "study":
            tags[REFUSAL] = "it disagreed"
        store.log(row["run_id"], tags=tags, time=0.0)
    asked = studies(SUITE)
    expected = [("plain", "it disagreed")] * 2
    assert [(study.plan.engine, study.plan.reason) for study in asked] == expected
    go(pool, own=asked)
    assert pool.n_trained == N_RUNS
    again = studies(SUITE)
    assert [(study.plan.engine, study.plan.reason) for study in again] == expected
    assert [study.former for study in again] == [None, None]


def edited(row: dict[Any, Any]) -> dict[str, str]:
    return {"optsuite.seed": "77"}


def unsealed(row: dict[Any, Any]) -> dict[str, str]:
    return {SEAL: "lead"}


@pytest.mark.parametrize("damage", [edited, unsealed])
def test_damaged_row_is_not_sealed_anew(
    folder: Path, pool: InlinePool, damage: Callable[[dict[Any, Any]], dict[str, str]]
) -> None:
    go(pool)
    make_former(SUITE)
    row = next(row for row in raw() if row["kind"] == "trial")
    open_store(tracking_uri()).log(row["run_id"], tags=damage(row), time=0.0)
    go(pool)
    assert pool.n_trained == 1
    assert forms() == {NEW}


def test_rows_of_a_newer_optsuite_are_refused_and_left_alone(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    store = open_store(tracking_uri())
    for row in list(raw())[:2]:
        tags = {SCHEMA: "4", SEAL: f"4 {row['seal']}", FINGERPRINT: "of another form"}
        store.log(row["run_id"], tags=tags, time=0.0)
    before = sorted(map(str, raw()))
    expected = (
        r"^campaign c: 2 runs were written by a newer optsuite \(schema 4; this one knows 3\); "
        "update optsuite, or use another"
    )
    with pytest.raises(InputError, match=expected) as error:
        go(pool)
    assert "\n" not in str(error.value)
    assert sorted(map(str, raw())) == before
    assert len(StoredRuns(everything()).by_fingerprint) == N_RUNS + N_STUDIES - 2
