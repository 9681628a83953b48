"""Real nights of real training: what is planted is found, and nothing else is."""

import math
import os
import shutil
import sqlite3
import time
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
from frames import around, frame, run, seeds, study
from torch import nn

from benchmarks import SUITE as DEFAULT
from optsuite import OPTIMIZERS, OptimizerSpec, Suite
from optsuite.analysis import night_statements
from optsuite.analysis.changes import Change, changes
from optsuite.analysis.provenance import environment
from optsuite.campaign.events import RunEnded
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import run_campaign, studies_of
from optsuite.nights.remeasure import confirmed
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.nights import ORDINARY, REFERENCE, judge, last, nights, prune, rates
from optsuite.tracking.plans import read_plans
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store

NAMES = ("sgd", "momentum", "adam")
NIGHTS = int(os.environ.get("OPTSUITE_NIGHTS", "2"))
SUITE = replace(
    DEFAULT,
    name="n",
    benchmarks=tuple(
        replace(b, max_steps=b.max_steps // 2)
        for b in DEFAULT.benchmarks
        if b.name in ("digits_logreg", "diabetes_mlp")
    ),
    on_request=(),
    optimizers=tuple(OPTIMIZERS[name] for name in NAMES),
    n_trials=4,
)


def night(pool: InlinePool, campaign: str, suite: Suite = SUITE) -> int:
    """A night of the suite in the current folder; how many runs it trained."""
    store = open_store(tracking_uri())
    reference = last(nights(store, suite.name), kind=REFERENCE)
    pool.load(suite)
    known = read_plans(tracking_uri(), reference.campaign) if reference else {}
    problems, _ = prepare(suite, device="cpu", known=known)
    studies = studies_of(suite, problems, device="cpu", rates=rates(store, reference))
    kind = ORDINARY if reference else REFERENCE
    events = list(
        run_campaign(
            studies,
            uri=tracking_uri(),
            campaign=campaign,
            suite=suite.name,
            pool=pool,
            stop=lambda: False,
            night=kind,
        )
    )
    return sum(isinstance(event, RunEnded) and not event.reused for event in events)


def runs(campaign: str) -> pd.DataFrame:
    return read_runs(open_store(tracking_uri()), campaign)


def planted(name: str, build: Callable[..., torch.optim.Optimizer], **change: Any) -> Suite:
    """The suite with another optimizer under the name of one of its own."""
    spec = replace(OPTIMIZERS[name], build=build, **change)
    return replace(
        SUITE, optimizers=tuple(spec if own.name == name else own for own in SUITE.optimizers)
    )


def smaller(kind: Any, model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    return kind(model.parameters(), lr=0.9 * lr, **fixed)  # type: ignore[no-any-return]


def forgetful(model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


def noisy(kind: Any, seed: int, model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    """As if another version of a library added in another order."""
    generator = torch.Generator().manual_seed(seed)

    class Noisy(kind):  # type: ignore[misc]
        @torch.no_grad()
        def step(self) -> None:
            with torch.enable_grad():
                super().step()
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.mul_(1 + 1e-6 * torch.randn(parameter.shape, generator=generator))

    return Noisy(model.parameters(), lr=lr, **fixed)


class Slow(torch.optim.Adam):
    """Half as much again."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        started = time.perf_counter()
        super().step(closure)
        time.sleep(0.5 * (time.perf_counter() - started) + 2e-4)


def of(kind: Any, model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
    return kind(model.parameters(), lr=lr, **fixed)  # type: ignore[no-any-return]


def found(changes: list[Change]) -> set[tuple[str, str]]:
    return {(change.optimizer, change.quantity) for change in changes if change.kind == "worse"}


@pytest.fixture
def pool() -> InlinePool:
    return InlinePool()


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory, template: Path) -> tuple[Path, int, int]:
    """A database with the nights `reference` and `same-0`, and how many runs each of them trained."""
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


def test_a_night_trains_at_the_rates_of_the_reference_and_reuses_nothing(
    later: Path, pool: InlinePool, two_nights: tuple[Path, int, int]
) -> None:
    assert two_nights[1:] == (2 * 3 * (4 + 2 * 12), 2 * 3 * 12)
    assert night(pool, "same-0") == 0
    first, second = (runs(campaign) for campaign in ("reference", "same-0"))
    tuned = [
        f[(f["kind"] == "study")].set_index(["benchmark", "optimizer"])["lr"].to_dict()
        for f in (first, second)
    ]
    assert tuned[0] == tuned[1]
    store = open_store(tracking_uri())
    kinds = [(n.campaign, n.kind, n.good) for n in nights(store, "n")]
    assert kinds == [("reference", REFERENCE, None), ("same-0", ORDINARY, None)]
    judge(store, nights(store, "n")[0], good=True)
    good = last(nights(store, "n"), good=True)
    assert good is not None
    assert good.campaign == "reference"
    assert nights(store, "another") == []


def test_what_is_planted_is_found_and_unchanged_code_raises_no_alarm(
    later: Path, pool: InlinePool
) -> None:
    assert [
        c for c in changes(runs("reference"), runs("same-0")) if c.quantity != "step_time"
    ] == []
    before = runs("same-0")

    def after(campaign: str, suite: Suite) -> set[tuple[str, str]]:
        night(pool, campaign, suite)
        return found(changes(before, runs(campaign)))

    assert ("sgd", "early_train_loss") in after(
        "small", planted("sgd", partial(smaller, torch.optim.SGD))
    )
    assert ("adam", "early_train_loss") in after(
        "small-adam", planted("adam", partial(smaller, torch.optim.Adam))
    )
    assert ("momentum", "early_train_loss") in after(
        "lost", planted("momentum", forgetful, lr_linear=False)
    )
    assert {
        name for name, _ in after("slow", planted("adam", partial(of, Slow), lr_linear=False))
    } == {"adam"}
    assert found([c for c in changes(before, runs("slow")) if c.quantity == "step_time"]) == {
        ("adam", "step_time")
    }
    assert [name for name, *_ in environment(before, runs("slow"))] == ["definition of adam"]
    assert list(environment(runs("reference"), before)) == []


def test_nights_of_unchanged_code_and_of_float_noise_raise_no_alarm(
    later: Path, pool: InlinePool
) -> None:
    """OPTSUITE_NIGHTS=20 is the whole of it."""
    kinds = {"sgd": torch.optim.SGD, "momentum": torch.optim.SGD, "adam": torch.optim.Adam}
    for n in range(1, NIGHTS + 1):
        night(pool, f"same-{n}")
        after = confirmed(
            open_store(tracking_uri()),
            runs("same-0"),
            f"same-{n}",
            prepare(SUITE, device="cpu", known=read_plans(tracking_uri(), "reference"))[0],
            SUITE.optimizers,
            device="cpu",
        )
        assert [
            change for change in changes(runs("same-0"), after) if change.kind == "worse"
        ] == [], n
        specs = [
            replace(OPTIMIZERS[name], build=partial(noisy, kind, 100 * n + i), lr_linear=False)
            for i, (name, kind) in enumerate(kinds.items())
        ]
        night(pool, f"noisy-{n}", replace(SUITE, optimizers=tuple(specs)))
        found = changes(runs("same-0"), runs(f"noisy-{n}"))
        assert [change for change in found if change.quantity != "step_time"] == [], (
            n
        )  # which the noise takes
        scores = [
            runs(name).query("kind == 'evaluation'")["score"].to_numpy()
            for name in ("same-0", f"noisy-{n}")
        ]
        assert (scores[0] != scores[1]).mean() > 0.5


def test_old_nights_go_but_for_the_last_good_one_and_the_reference(
    folder: Path, pool: InlinePool
) -> None:
    one = replace(
        SUITE, benchmarks=SUITE.benchmarks[-1:], optimizers=SUITE.optimizers[:1], n_seeds=2
    )
    for n in range(5):
        night(pool, f"night-{n}", one)
    store = open_store(tracking_uri())
    for own, good in zip(nights(store, "n"), (True, True, False, False, False), strict=True):
        judge(store, own, good=good)
    assert [n.campaign for n in prune(store, nights(store, "n"), keep=2)] == ["night-2"]
    assert [n.campaign for n in nights(store, "n")] == ["night-0", "night-1", "night-3", "night-4"]
    assert len(runs("night-2")) == 0
    assert len(runs("night-1")) == 1 + 2


def typed(*rows: dict[str, Any], **change: Any) -> pd.DataFrame:
    return frame(*(row | {"max_steps": 100.0} | change for row in rows))


def test_changes_of_typed_in_nights() -> None:
    before = typed(*seeds("a", around(1.0)), *seeds("b", around(1.0)))
    assert changes(before, before) == []
    worse = typed(*seeds("a", around(1.05)), *seeds("b", around(1.0)))
    (change,) = [c for c in changes(before, worse) if c.quantity == "score"]
    assert (change.optimizer, change.kind) == ("a", "worse")
    assert night_statements.change(change) == ("1", "1.05 (+5.0%)")
    assert [c.kind for c in changes(worse, before) if c.quantity == "score"] == ["better"]
    assert [
        c
        for c in changes(before, typed(*seeds("a", around(1.005)), *seeds("b", around(1.0))))
        if c.quantity == "score"
    ] == []


def test_a_seed_that_diverges_or_is_missing_is_named() -> None:
    before = typed(*seeds("a", around(1.0)), *seeds("b", around(1.0)))
    after = typed(*seeds("a", [math.nan, *around(1.0)[1:]]), *seeds("b", around(1.0)))
    assert ("a", "diverged") in found(changes(before, after))
    gone = typed(*seeds("a", around(1.0)))
    assert found(changes(before, gone)) == {("b", "evaluations")}
    failed = typed(*seeds("a", around(1.0)), *seeds("b", around(1.0), outcome="failed"))
    assert found(changes(before, failed)) == {("b", "evaluations")}
    assert changes(typed(study("a")), typed(study("a"))) == []
    assert changes(typed(), typed(run("a", 1.0))) == []


def test_an_optimizer_that_the_reference_did_not_have_is_tuned(
    later: Path, pool: InlinePool
) -> None:
    more: OptimizerSpec = OPTIMIZERS["rmsprop"]
    assert night(pool, "nightly-2", replace(SUITE, optimizers=(*SUITE.optimizers, more))) == 2 * (
        3 * 12 + 4 + 2 * 12
    )


def test_a_night_with_damaged_rows_is_still_a_night(folder: Path) -> None:
    store = open_store(tracking_uri())
    whole = {"kind": "study", "campaign": "c", "suite": "n", "night": REFERENCE}
    for change in (
        {},
        {"suite": None},
        {"campaign": None},
        {"night": "dark"},
        {"optimizer": "undated"},
    ):
        tags = {
            f"optsuite.{key}": value for key, value in (whole | change).items() if value is not None
        }
        store.create("b", "study", tags, 7.0)
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
        undated = "SELECT run_uuid FROM tags WHERE value = 'undated'"
        connection.execute(f"UPDATE runs SET start_time = 'today' WHERE run_uuid IN ({undated})")
        connection.commit()
    (found,) = nights(store, "n")
    assert (found.campaign, found.started, found.kind, len(found.study_runs)) == (
        "c",
        7.0,
        REFERENCE,
        3,
    )
