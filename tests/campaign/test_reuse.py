"""Results that a start reuses are checked by one run of each study."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import InlinePool
from support.restarts import N_SGD, N_SIGN, SUITE, go, resume
from support.stores import everything, times
from torch.optim import SGD

import optsuite
from optsuite import LogUniform
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign import reuse
from optsuite.campaign.events import Event, Ready, ReuseChecked, StudyEnded
from optsuite.campaign.prepare import prepare
from optsuite.execution.pool import Task
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.plans import read_plans
from optsuite.tracking.schema import PROPOSED, TRIED
from optsuite.tracking.store import open_store
from optsuite.training.equivalence.check import rates_tried
from optsuite.training.results import Measurement, RunResult
from optsuite.tuning import search as tuning


def checked(events: list[Event]) -> ReuseChecked:
    (event,) = [event for event in events if isinstance(event, ReuseChecked)]
    return event


def of_reuse(pool: InlinePool) -> list[Task]:
    return [task for task in pool.checks if task.engine != "plain"]


def test_reused_results_are_checked_by_one_run_of_each_study(
    folder: Path, pool: InlinePool
) -> None:
    first = go(pool)
    assert not [event for event in first if isinstance(event, ReuseChecked)]
    again = go(pool)
    assert checked(again) == ReuseChecked(n_same=2, findings=())
    assert pool.n_trained == 0
    assert sorted(task.runs[0].optimizer for task in pool.checks) == ["sgd", "sign"]
    drawn = set()
    for _ in range(12):
        go(pool)
        drawn.add(pool.checks[0].runs[0])
    assert len(drawn) > 1  # each command draws anew: nothing can prepare for it


def test_engines_of_earlier_starts_are_used_for_plans(folder: Path, pool: InlinePool) -> None:
    assert read_plans(tracking_uri(), "c") == {}
    go(pool)
    known = read_plans(tracking_uri(), "c")
    found = {}
    rates = []
    for key, (one,) in known.items():
        assert (one.engine, one.reason) == ("stacked", "")
        rates.append((one.low, one.high))
        found[key] = (replace(one, engine="plain", reason="as was found"),)
    assert rates == [rates_tried(spec) for spec in SUITE.optimizers]
    (problem,), _ = prepare(SUITE, device="cpu", known=found)
    plans = problem.plans.values()
    assert {(plan.engine, plan.reason) for plan in plans} == {("plain", "as was found")}
    assert read_plans(tracking_uri(), "other") == {}
    sgd = SUITE.optimizers[0]
    for changes in (
        {"lr": LogUniform(low=sgd.lr.low, high=2 * sgd.lr.high)},
        {"default_lr": 2 * sgd.lr.high},
    ):
        wider = replace(SUITE, optimizers=(replace(sgd, **changes), *SUITE.optimizers[1:]))
        (problem,), _ = prepare(wider, device="cpu", known=found)
        engines = [plan.engine for plan in problem.plans.values()]
        assert engines == ["stacked", "plain"]  # new rates need a new trial
    specs = [replace(spec, lr=replace(spec.lr, low=2 * spec.lr.low)) for spec in SUITE.optimizers]
    narrower = replace(SUITE, optimizers=tuple(specs))
    (problem,), _ = prepare(narrower, device="cpu", known=found)
    assert {plan.engine for plan in problem.plans.values()} == {"plain"}


@pytest.mark.parametrize("told", ["", "0.1", "0.1 x", "1 0.1", "nan 1", "0 inf"])
def test_study_without_valid_tried_rates_gives_no_plan(
    folder: Path, pool: InlinePool, told: str
) -> None:
    go(pool, replace(SUITE, optimizers=SUITE.optimizers[1:], n_trials=1, n_seeds=1))
    store = open_store(tracking_uri())
    (study,) = store.search("tags.`optsuite.kind` = 'study'")
    store.tag(study.info.run_id, TRIED, told or None)
    assert read_plans(tracking_uri(), "c") == {}


def test_store_that_is_trusted_is_not_checked(folder: Path, pool: InlinePool) -> None:
    go(pool)
    events = go(pool, trust_store=True)
    assert pool.checks == []
    assert not [event for event in events if isinstance(event, ReuseChecked)]


def test_change_that_no_identity_sees_retrains_only_its_studies(
    folder: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(pool)
    with monkeypatch.context() as patch:
        patch.setattr(SGD, "step", _halved(SGD.step))  # a patched library
        events = go(pool)
        assert pool.n_trained == N_SGD
        (line,) = checked(events).findings
        assert line.startswith("tiny_line sgd: stored results do not repeat")
        ended = [event for event in events if isinstance(event, StudyEnded)]
        assert {event.optimizer: event.reused for event in ended} == {"sgd": False, "sign": True}
        (ready,) = [event for event in events if isinstance(event, Ready)]
        assert ready.missing == {"tiny_line": N_SGD}
        stale_table = leaderboard(optsuite.runs("c"))
        assert checked(go(pool)).n_same == 2
        fresh = everything()
        assert int(fresh["refuted"].sum()) == N_SGD + 1
    go(pool)  # with the original library: refuted runs are not restored, but trained again
    assert pool.n_trained == N_SGD
    assert not leaderboard(optsuite.runs("c")).equals(stale_table)


def _halved(step: Callable[..., object]) -> Callable[..., object]:
    def halved(self: SGD, closure: object = None) -> object:
        for group in self.param_groups:
            group["lr"] = group["lr"] * 0.5
        result = step(self)
        for group in self.param_groups:
            group["lr"] = group["lr"] * 2
        return result

    halved.hooked = True  # type: ignore[attr-defined]
    halved.__wrapped__ = step  # type: ignore[attr-defined]
    return halved


def test_run_that_cannot_be_repeated_stops_its_study_and_leaves_the_results(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    before = leaderboard(optsuite.runs("c"))

    def failing(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        raise FileNotFoundError("weights.pt")

    pool.train = failing
    events = resume(pool)
    errors = [event.error for event in events if isinstance(event, StudyEnded)]
    assert all(error is not None and "FileNotFoundError: weights.pt" in error for error in errors)
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), before)


def _noisy(pool: InlinePool, noise: Callable[[], float]) -> None:
    """Let the pool train with different last bits from now on."""
    train = pool.train
    assert train is not None

    def noisy(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        factor = 1 + noise()
        for index, update in train(task):
            if isinstance(update, Measurement):
                update = times(factor, update)
            yield index, update

    pool.train = noisy


def test_results_of_another_machine_within_float_noise_are_kept_and_marked(
    folder: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(pool)
    _elsewhere(monkeypatch)
    _noisy(pool, lambda: 1e-7)
    events = resume(pool)
    assert all("another machine" in line for line in checked(events).findings)
    assert pool.n_trained == 0
    studies = everything().query("kind == 'study'")
    assert set(studies["reuse"]) == {reuse.OTHER_MACHINE}
    shown = leaderboard(optsuite.runs("c")).query("arm == 'tuned'")["warnings"]
    assert shown.str.contains("other_machine").all()
    assert len(of_reuse(pool)) == 4  # each twice, to know that it repeats here
    resume(pool)
    assert len(of_reuse(pool)) == 2  # that is remembered


def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("stored_runs", "recorder", "study", "study_runs"):
        name = f"optsuite.campaign.{module}.machine_class"
        monkeypatch.setattr(name, lambda device: "another processor")


def test_results_of_the_same_machine_with_float_noise_are_trained_again(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    _noisy(pool, lambda: 1e-7)
    resume(pool)
    assert pool.n_trained == N_SGD + N_SIGN


def test_results_that_never_repeat_are_kept_within_noise_and_marked(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    noises = iter(range(1, 1000))
    _noisy(pool, lambda: 1e-8 * next(noises))
    assert all("not reproducible" in line for line in checked(resume(pool)).findings)
    assert pool.n_trained == 0
    assert set(everything().query("kind == 'study'")["reuse"]) == {reuse.NOT_REPRODUCIBLE}
    pool.load(SUITE)
    resume(pool)
    # One run that repeats proves nothing about the rest.
    assert set(everything().query("kind == 'study'")["reuse"]) == {reuse.NOT_REPRODUCIBLE}


@pytest.mark.parametrize(
    "edit",
    ["", "UPDATE tags SET value = replace(value, '0', '1') WHERE key = ?"],
    ids=["kept", "edited"],
)
def test_proposals_of_a_search_are_kept_and_not_computed_again(
    folder: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    suite = replace(SUITE, n_trials=10)
    go(pool, suite)
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as store, store:
        n_tags = store.execute("SELECT count(*) FROM tags WHERE key = ?", (PROPOSED,)).fetchone()
        assert n_tags == (2,)
        if edit:
            store.execute(edit, (PROPOSED,))
    propose, proposed = tuning.propose, list[float]()

    def counted(*arguments: Any) -> list[float]:
        rates = propose(*arguments)
        proposed.extend(rates)
        return rates

    monkeypatch.setattr(tuning, "propose", counted)
    resume(pool, suite)
    assert pool.n_trained == 0
    assert len(proposed) == (2 * 2 if edit else 0)
