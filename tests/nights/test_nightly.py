"""Nights with real training: planted changes are found, and unchanged code raises no alarm."""

import math
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import InlinePool, enter
from support.frames import around, frame, run, seeds, study
from support.planted import Slow, beside_time, forgetful, found, noisy, of, of_score, smaller
from support.stores import run_studies

from benchmarks import SUITE as DEFAULT
from optsuite import OPTIMIZERS, Suite
from optsuite.analysis import night_statements
from optsuite.analysis.changes import changes
from optsuite.analysis.provenance import environment
from optsuite.campaign.events import RunEnded
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import studies_of
from optsuite.nights.remeasure import confirmed
from optsuite.registry import find_benchmark
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.nights import ORDINARY, TUNED, judge, last, nights, prune, rates
from optsuite.tracking.plans import read_plans
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store

NAMES = ("sgd", "momentum", "adam")
NIGHTS = int(os.environ.get("OPTSUITE_NIGHTS", "1"))
CHOSEN = [find_benchmark(DEFAULT, name) for name in ("digits_logreg", "diabetes_mlp")]
SUITE = replace(
    DEFAULT,
    name="n",
    benchmarks=tuple(replace(b, max_steps=b.max_steps // 2) for b in CHOSEN),
    on_request=(),
    optimizers=tuple(OPTIMIZERS[name] for name in NAMES),
    n_trials=4,
    n_confirmation_seeds=0,
    max_seeds=0,
)


def night(pool: InlinePool, campaign: str, suite: Suite = SUITE) -> int:
    """A night of the suite in the current folder; how many runs it trained."""
    store = open_store(tracking_uri())
    reference = last(nights(store, suite.name), kind=TUNED)
    pool.load(suite)
    known = read_plans(tracking_uri(), reference.campaign) if reference else {}
    problems, _ = prepare(suite, device="cpu", known=known)
    studies = studies_of(suite, problems, device="cpu", rates=rates(store, reference))
    kind = ORDINARY if reference else TUNED
    events = run_studies(pool, studies, campaign=campaign, suite=suite.name, night=kind)
    return sum(isinstance(event, RunEnded) and not event.reused for event in events)


def runs(campaign: str) -> pd.DataFrame:
    return read_runs(open_store(tracking_uri()), campaign)


def planted(name: str, build: Callable[..., torch.optim.Optimizer], **change: Any) -> Suite:
    """The suite with another optimizer under the name of one of its own."""
    specs = []
    for spec in SUITE.optimizers:
        if spec.name == name:
            spec = replace(OPTIMIZERS[name], build=build, **change)
        specs.append(spec)
    return replace(SUITE, optimizers=tuple(specs))


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory, template: Path) -> tuple[Path, int, int]:
    """A database with the nights `reference` and `same-0`, and how many runs each trained."""
    with pytest.MonkeyPatch.context() as patch:
        folder = enter(tmp_path_factory.mktemp("nights"), template, patch)
        n_trained = [night(InlinePool(), campaign) for campaign in ("reference", "same-0")]
    database = folder / "mlruns" / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the file holds all
    return database, n_trained[0], n_trained[1]


@pytest.fixture
def later(folder: Path, two_nights: tuple[Path, int, int]) -> Path:
    """A current folder on the day after these nights."""
    shutil.copy(two_nights[0], folder / "mlruns" / "mlflow.db")
    return folder


def test_night_trains_at_the_rates_of_the_reference_and_reuses_nothing(
    later: Path, pool: InlinePool, two_nights: tuple[Path, int, int]
) -> None:
    assert two_nights[1:] == (2 * 3 * (4 + 2 * 12), 2 * 3 * 12)
    assert night(pool, "same-0") == 0

    def studied(campaign: str) -> dict[Any, float]:
        studies = runs(campaign).query("kind == 'study'")
        return studies.set_index(["benchmark", "optimizer"])["lr"].to_dict()

    assert studied("reference") == studied("same-0")
    store = open_store(tracking_uri())
    kinds = [(n.campaign, n.kind, n.passed) for n in nights(store, "n")]
    assert kinds == [("reference", TUNED, None), ("same-0", ORDINARY, None)]
    judge(store, nights(store, "n")[0], passed=True)
    passed = last(nights(store, "n"), passed=True)
    assert passed is not None
    assert passed.campaign == "reference"
    assert nights(store, "another") == []


def test_planted_change_is_found_and_unchanged_code_raises_no_alarm(
    later: Path, pool: InlinePool
) -> None:
    assert beside_time(changes(runs("reference"), runs("same-0"))) == []
    before = runs("same-0")

    def after(campaign: str, suite: Suite) -> set[tuple[str, str]]:
        night(pool, campaign, suite)
        return found(changes(before, runs(campaign)))

    small = planted("sgd", partial(smaller, torch.optim.SGD))
    assert ("sgd", "early_train_loss") in after("small", small)
    small_adam = planted("adam", partial(smaller, torch.optim.Adam))
    assert ("adam", "early_train_loss") in after("small-adam", small_adam)
    lost = planted("momentum", forgetful, lr_linear=False)
    assert ("momentum", "early_train_loss") in after("lost", lost)
    slow = planted("adam", partial(of, Slow), lr_linear=False)
    worse = after("slow", slow)
    assert ("adam", "step_time") in worse
    # Times of the others are left out: tests beside this one may have slowed them.
    assert {name for name, kind in worse if kind != "step_time"} <= {"adam"}
    assert [name for name, *_ in environment(before, runs("slow"))] == ["definition of adam"]
    assert list(environment(runs("reference"), before)) == []


def test_nights_of_unchanged_code_and_of_float_noise_raise_no_alarm(
    later: Path, pool: InlinePool
) -> None:
    """OPTSUITE_NIGHTS=20 is the full test."""
    kinds = {"sgd": torch.optim.SGD, "momentum": torch.optim.SGD, "adam": torch.optim.Adam}
    for n in range(1, NIGHTS + 1):
        night(pool, f"same-{n}")
        known = read_plans(tracking_uri(), "reference")
        after = confirmed(
            open_store(tracking_uri()),
            runs("same-0"),
            f"same-{n}",
            prepare(SUITE, device="cpu", known=known)[0],
            SUITE.optimizers,
            device="cpu",
        )
        assert found(changes(runs("same-0"), after)) == set(), n
        specs = []
        for i, (name, kind) in enumerate(kinds.items()):
            build = partial(noisy, kind, 100 * n + i)
            specs.append(replace(OPTIMIZERS[name], build=build, lr_linear=False))
        night(pool, f"noisy-{n}", replace(SUITE, optimizers=tuple(specs)))
        # The noise itself takes time.
        assert beside_time(changes(runs("same-0"), runs(f"noisy-{n}"))) == [], n
        scores = []
        for name in ("same-0", f"noisy-{n}"):
            scores.append(runs(name).query("kind == 'evaluation'")["score"].to_numpy())
        assert (scores[0] != scores[1]).mean() > 0.5


def test_old_nights_are_deleted_except_the_last_good_one_and_the_reference(
    folder: Path, pool: InlinePool
) -> None:
    benchmarks, optimizers = SUITE.benchmarks[-1:], SUITE.optimizers[:1]
    one = replace(SUITE, benchmarks=benchmarks, optimizers=optimizers, n_seeds=2)
    for n in range(5):
        night(pool, f"night-{n}", one)
    store = open_store(tracking_uri())
    for own, passed in zip(nights(store, "n"), (True, True, False, False, False), strict=True):
        judge(store, own, passed=passed)
    assert [n.campaign for n in prune(store, nights(store, "n"), keep=2)] == ["night-2"]
    assert [n.campaign for n in nights(store, "n")] == ["night-0", "night-1", "night-3", "night-4"]
    assert len(runs("night-2")) == 0
    assert len(runs("night-1")) == 1 + 2


def typed(*rows: dict[str, Any], **change: Any) -> pd.DataFrame:
    return frame(*(row | {"max_steps": 100.0} | change for row in rows))


def test_change_of_a_score_is_reported_if_beyond_the_tolerance() -> None:
    before = typed(*seeds("a", around(1.0)), *seeds("b", around(1.0)))
    assert changes(before, before) == []
    worse = typed(*seeds("a", around(1.05)), *seeds("b", around(1.0)))
    (change,) = of_score(changes(before, worse))
    assert (change.optimizer, change.kind) == ("a", "worse")
    assert night_statements.change(change) == ("1", "1.05 (+5.0%)")
    assert [c.kind for c in of_score(changes(worse, before))] == ["better"]
    similar = typed(*seeds("a", around(1.005)), *seeds("b", around(1.0)))
    assert of_score(changes(before, similar)) == []


def test_seed_that_diverges_or_is_missing_is_named() -> None:
    before = typed(*seeds("a", around(1.0)), *seeds("b", around(1.0)))
    after = typed(*seeds("a", [math.nan, *around(1.0)[1:]]), *seeds("b", around(1.0)))
    assert ("a", "diverged") in found(changes(before, after))
    gone = typed(*seeds("a", around(1.0)))
    assert found(changes(before, gone)) == {("b", "evaluations")}
    failed = typed(*seeds("a", around(1.0)), *seeds("b", around(1.0), outcome="failed"))
    assert found(changes(before, failed)) == {("b", "evaluations")}
    assert changes(typed(study("a")), typed(study("a"))) == []
    assert changes(typed(), typed(run("a", 1.0))) == []


def test_optimizer_that_the_reference_did_not_have_is_tuned(later: Path, pool: InlinePool) -> None:
    larger = replace(SUITE, optimizers=(*SUITE.optimizers, OPTIMIZERS["rmsprop"]))
    assert night(pool, "nightly-2", larger) == 2 * (3 * 12 + 4 + 2 * 12)


def test_night_with_damaged_rows_is_still_found(folder: Path) -> None:
    store = open_store(tracking_uri())
    whole = {"kind": "study", "campaign": "c", "suite": "n", "night": TUNED}
    damages: list[dict[str, str | None]] = [
        {},
        {"suite": None},
        {"campaign": None},
        {"night": "dark"},
        {"optimizer": "undated"},
    ]
    for change in damages:
        tags = {}
        for key, value in (whole | change).items():
            if value is not None:
                tags[f"optsuite.{key}"] = value
        store.create("b", "study", tags, 7.0)
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
        undated = "SELECT run_uuid FROM tags WHERE value = 'undated'"
        connection.execute(f"UPDATE runs SET start_time = 'today' WHERE run_uuid IN ({undated})")
        connection.commit()
    (found,) = nights(store, "n")
    assert (found.campaign, found.started, found.kind) == ("c", 7.0, TUNED)
    assert len(found.study_runs) == 3
