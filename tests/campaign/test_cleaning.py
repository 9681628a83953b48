"""Cleaning removes what is not needed; reports and later starts find the same as before."""

import math
import os
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import InlinePool
from suites import tiny
from support.commands import Call
from support.stores import counts, drifting, files, rows, run_studies

import optsuite
from optsuite import Suite
from optsuite.campaign.lock import campaign_lock
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import studies_of
from optsuite.campaign.stored_runs import Pair
from optsuite.tracking.inventory import InventoryRow, inventory
from optsuite.tracking.location import checkpoint_folder, tracking_uri
from optsuite.tracking.plans import read_plans
from optsuite.tracking.schema import PROPOSED, REFUSAL, REFUTED, SUPERSEDED
from optsuite.tracking.store import open_store
from optsuite.training.fingerprint import Environment, Fingerprint

SUITE = replace(tiny.SUITE, n_trials=10, n_seeds=2)
LARGER = replace(SUITE, n_trials=12)
SECONDS_OF_DAYS = 3 * 86_400

ELSEWHERE = Environment(benchmark="c" * 16, optimizer="d" * 16, engine="plain")
NOBODY = Fingerprint(benchmark="a" * 16, optimizer="b" * 16, run="e" * 16, environment=ELSEWHERE)
UNKNOWN, OLD = str(NOBODY), str(replace(NOBODY, benchmark="f" * 16))


def sibling(run: InventoryRow, digit: str) -> str:
    """The fingerprint of another run of the same study."""
    own = Fingerprint.parse(run.fingerprint)
    assert own is not None
    return str(replace(own, run=digit * 16))


def go(pool: InlinePool, suite: Suite = SUITE, **named: Any) -> None:
    pool.load(suite)
    resume(pool, suite, **named)


def resume(
    pool: InlinePool,
    suite: Suite = SUITE,
    *,
    campaign: str = "c",
    until: float = math.inf,
    broken: Collection[Pair] = (),
) -> None:
    """Train a campaign to its end, or until so many runs have been trained."""

    def stop() -> bool:
        return pool.n_trained >= until

    pool.n_trained = 0
    studies = studies_of(suite, prepare(suite, device="cpu")[0], device="cpu")
    assert run_studies(pool, studies, campaign=campaign, stop=stop, broken=broken)
    pool.clear()


def reported(folder: Path, campaign: str = "c") -> dict[str, bytes]:
    optsuite.report(campaign, report_folder=folder / "out")
    found = files(folder / "out")
    return {name: found[name] for name in found if name != "index.html" and name != "cost.csv"}


def all_runs(campaign: str | None = None) -> list[InventoryRow]:
    return inventory(open_store(tracking_uri()), campaign)


def engines() -> dict[object, set[object]]:
    """What later starts know of engines."""
    plans = read_plans(tracking_uri(), "c")
    return {key: set(known) for key, known in plans.items()}


def proposals() -> set[str]:
    return {run.texts[PROPOSED] for run in all_runs() if PROPOSED in run.texts}


def test_superseded_runs_go_and_the_report_stays_the_same(folder: Path, pool: InlinePool) -> None:
    go(pool, LARGER)
    go(pool)
    report, known, proposed = reported(folder), engines(), proposals()
    planned = optsuite.clean(dry_run=True)
    before = rows(folder / "mlruns" / "mlflow.db")
    removal = optsuite.clean()
    assert removal.parts == planned.parts
    assert counts(removal)["superseded"] >= 4
    assert len(before["metrics"]) > len(rows(folder / "mlruns" / "mlflow.db")["metrics"])
    assert reported(folder) == report
    assert engines() == known
    assert proposals() == proposed
    go(pool)
    assert pool.n_trained == 0
    assert reported(folder) == report
    assert "superseded" not in counts(optsuite.clean())


def test_runs_of_a_broken_optimizer_stay_and_return_to_the_report(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    report = reported(folder)
    sign_only = replace(SUITE, optimizers=SUITE.optimizers[1:])
    go(pool, sign_only, broken={("tiny_line", "sgd")})
    removal = optsuite.clean()
    assert "superseded" not in counts(removal)
    assert counts(removal)["unreplaced"] > 0
    go(pool)
    assert pool.n_trained == 0
    assert reported(folder) == report


def test_refuted_runs_are_removed_and_refusals_of_stacks_remembered(
    folder: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.load(SUITE)
    trained = pool.train
    assert trained is not None

    pool.train = drifting(trained)
    resume(pool)
    n_refuted = sum(run.texts.get(SUPERSEDED) == REFUTED for run in all_runs())
    report, plans = reported(folder), read_plans(tracking_uri(), "c")
    removal = optsuite.clean()
    assert counts(removal)["refuted"] == n_refuted - 1
    assert counts(removal)["remembered"] == 1
    assert [run.kind for run in all_runs() if REFUSAL in run.texts] == ["study"]
    assert read_plans(tracking_uri(), "c") == plans
    resume(pool)
    assert pool.n_trained == 0
    assert reported(folder) == report


def test_interrupted_campaign_resumes_with_what_had_ended(folder: Path, pool: InlinePool) -> None:
    go(pool, campaign="whole")
    n_whole = pool.n_trained
    go(pool, until=10)
    n_ended = sum(run.is_current for run in all_runs("c"))
    store = open_store(tracking_uri())
    study = next(run for run in all_runs("c") if run.kind == "study")
    tags = {f"optsuite.{key}": value for key, value in (("kind", "trial"), ("campaign", "c"))}
    tags["optsuite.fingerprint"] = sibling(study, "a")
    begun = store.create("tiny_line", "x", tags, 1.0)
    tags["optsuite.fingerprint"] = sibling(study, "d")
    other = store.create("tiny_line", "y", tags, 1.0)
    checkpoint = checkpoint_folder(tracking_uri()) / f"{sibling(study, 'a')}.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    plans = read_plans(tracking_uri(), "c")
    with campaign_lock(tracking_uri(), "c"):
        removal = optsuite.clean()
        assert "c" in removal.skipped
        assert "unfinished" not in counts(removal)
    removal = optsuite.clean()
    assert counts(removal)["unfinished"] == 1
    ids = {run.run_id for run in all_runs("c")}
    assert begun in ids  # the next start resumes from its checkpoint
    assert other not in ids
    assert checkpoint.exists()
    assert read_plans(tracking_uri(), "c") == plans
    go(pool)
    assert pool.n_trained == n_whole - n_ended
    tables = [optsuite.leaderboard(name)["score"].tolist() for name in ("c", "whole")]
    assert tables[0] == tables[1]


def test_checkpoints_that_no_start_uses_are_removed(folder: Path, pool: InlinePool) -> None:
    go(pool)
    trial = next(run for run in all_runs() if run.kind == "trial")
    place = checkpoint_folder(tracking_uri())
    place.mkdir()
    names = {
        f"{trial.fingerprint}.pt": False,  # it has ended
        f"{sibling(trial, 'a')}.pt": True,  # of a current definition
        f"{sibling(trial, 'a')}.trial": False,
        f"{UNKNOWN}.pt": True,  # of a campaign that has just begun
        f"{OLD}.pt": False,  # of one that began days ago
        "mine.pt": True,
    }
    for name in names:
        (place / name).write_bytes(b"0" * 100)
    long_ago = time.time() - SECONDS_OF_DAYS
    os.utime(place / f"{OLD}.pt", (long_ago, long_ago))
    with campaign_lock(tracking_uri(), "other"):
        assert "checkpoints" not in counts(optsuite.clean())
    removal = optsuite.clean()
    (part,) = [part for part in removal.parts if part.what == "checkpoints"]
    assert (part.n, part.n_bytes) == (3, 300)
    for name, stays in names.items():
        assert (place / name).exists() == stays, name


def test_trash_is_removed_except_runs_of_other_programs(
    folder: Path, pool: InlinePool, call: Call
) -> None:
    go(pool)
    store = open_store(tracking_uri())
    report = reported(folder)
    experiment = store.experiment("tiny_line")
    foreign = []
    for tags in ({}, {"optsuite.campaign": "c"}):
        foreign.append(store.client.create_run(experiment, tags=tags).info.run_id)
    copied = next(run for run in all_runs() if run.kind == "trial")
    tags = {key: value for key, value in copied.texts.items() if key.startswith("optsuite.")}
    ours = store.create("tiny_line", "x", tags, 1.0)
    for run_id in (*foreign, ours):
        store.delete(run_id)
    code, out, _ = call("clean")
    assert code == 0
    assert "runs in MLflow's trash" in out
    left = {row[0] for row in rows(folder / "mlruns" / "mlflow.db")["runs"]}
    assert left.issuperset(foreign)
    assert ours not in left
    assert reported(folder) == report
    store.client.delete_experiment(experiment)  # a run brings it back, with all in it
    optsuite.clean()
    store.restore("tiny_line")
    assert reported(folder) == report


def test_rejected_files_of_the_outbox_stay_unless_asked_for(folder: Path, call: Call) -> None:
    outbox = folder / "mlruns" / "outbox" / "mlflow.db" / "c"
    outbox.mkdir(parents=True)
    for name in ("1.odd", "2.json", "reserve", ".3.json.ab.new"):
        (outbox / name).write_text("{}")
    assert call("clean", "--dry-run")[0] == 0
    assert len(list(outbox.iterdir())) == 4
    assert counts(optsuite.clean()) == {"litter": 2, "set_aside": 1, "waiting": 1}
    assert {path.name for path in outbox.iterdir()} == {"1.odd", "2.json"}
    call("clean", "--all")
    assert {path.name for path in outbox.iterdir()} == {"2.json"}


def test_missing_store_is_not_created(empty: Path, call: Call) -> None:
    assert call("clean") == (0, "There is nothing to remove.\n", "")
    assert call("clean", "--campaign", "x")[0] == 2
    assert not list(empty.iterdir())
