"""Deleting removes a campaign for good and nothing else; a kill leaves nothing half-deleted."""

import os
import pty
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from conftest import enter
from support.commands import PROGRAM, Call, start, wait_until
from support.stores import N_RUNS, SUITE, counts, files, rows, train

import optsuite
from optsuite.campaign.lock import campaign_lock
from optsuite.errors import InputError, UnknownNameError
from optsuite.execution.options import ExecutionOptions
from optsuite.tracking.campaigns import campaign_names
from optsuite.tracking.location import checkpoint_folder, tracking_uri
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.store import open_store


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """A folder with the campaigns a and b in one experiment, their reports, and a foreign run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = enter(tmp_path_factory.mktemp("trained") / "own", template, patch)
        for campaign in ("a", "b"):
            train(campaign)
            optsuite.report(campaign, report_folder=folder / campaign)
        store = open_store(tracking_uri())
        tags = {"optsuite.campaign": "a"}
        run = store.client.create_run(store.experiment("tiny_line"), tags=tags, run_name="foreign")
        store.client.log_metric(run.info.run_id, "loss", 1.0)
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the file holds all
    return folder


@pytest.fixture
def database(folder: Path, trained: Path) -> Path:
    """A store with the campaigns a and b, and a foreign run in a."""
    for name in ("mlruns", "a", "b"):
        shutil.copytree(trained / name, folder / name, dirs_exist_ok=True)
    open_store(tracking_uri()).come_home()  # which is not what is looked at here
    return folder / "mlruns" / "mlflow.db"


def test_deleted_campaign_is_gone_and_another_is_untouched(database: Path, folder: Path) -> None:
    fingerprint = optsuite.runs("a")["fingerprint"].iloc[0]
    checkpoint = checkpoint_folder(tracking_uri()) / f"{fingerprint.rpartition('-')[0]}-abc.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"1")
    outbox = database.parent / "outbox" / "mlflow.db" / "a"
    outbox.mkdir(parents=True)
    for name in ("1.json", "2.odd", "reserve"):
        (outbox / name).write_text("{}")
    other = rows(database, "b")
    report = files(folder / "b")
    n_artifacts = len(list((database.parent / "artifacts").rglob("index.html")))
    removal = optsuite.delete("a")
    assert counts(removal) == {
        "runs": N_RUNS,
        "reports": 1,
        "waiting": 1,
        "set_aside": 1,
        "litter": 1,
        "locks": 1,
        "foreign": 1,
    }
    assert checkpoint.exists()  # a run of b may have begun it
    assert rows(database, "b") == other
    everything = rows(database)
    (foreign,) = set(everything["runs"]) - set(other["runs"])
    assert foreign[1] == "foreign"
    assert len(everything["metrics"]) == len(other["metrics"]) + 1
    assert n_artifacts == 2
    (page,) = (database.parent / "artifacts").rglob("index.html")
    assert len(list((database.parent / "artifacts" / "reports").iterdir())) == 1, page
    assert not outbox.exists()
    assert removal.shrunk is not None
    assert removal.shrunk.after < removal.shrunk.before
    optsuite.report("b", report_folder=folder / "b")
    again = files(folder / "b")
    assert {name for name in report if again[name] != report[name]} <= {"index.html"}
    optsuite.delete("b")
    assert not checkpoint.exists()
    assert [row[1] for row in rows(database)["runs"]] == ["foreign"]


def test_dry_run_counts_the_same_and_touches_nothing(database: Path, folder: Path) -> None:
    before, tree = rows(database), files(folder)
    planned = optsuite.delete("a", dry_run=True)
    assert rows(database) == before
    assert files(folder) == tree
    assert planned.parts == optsuite.delete("a").parts
    assert 0 < planned.n_bytes < database.stat().st_size * 10


def test_names_unknown_or_in_use_are_refused(database: Path, folder: Path, call: Call) -> None:
    with pytest.raises(UnknownNameError, match=r"campaign: got 'c', one of: a, b"):
        optsuite.delete("c")
    with pytest.raises(InputError, match="1 to 100 letters"):
        optsuite.delete("../a")
    before = rows(database)
    with campaign_lock(tracking_uri(), "a"):
        code, _, err = call("delete", "a", "--yes")
        assert (code, len(err.splitlines())) == (2, 1)
        assert "campaign 'a' is being run by process" in err
        assert call("delete", "a", "--dry-run")[0] == 2
    assert call("delete", "a")[0] == 2
    assert rows(database) == before
    shutil.rmtree(folder / "mlruns")
    with pytest.raises(InputError, match="there is no campaign yet"):
        optsuite.delete("a")
    assert not (folder / "mlruns").exists()


def test_terminal_is_asked_and_no_terminal_is_refused(database: Path, folder: Path) -> None:
    command = [str(PROGRAM), "delete", "a"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    expected = "optsuite: delete must be confirmed on a terminal; add --yes"
    assert done.stderr.splitlines() == [expected]
    for answer, code, names in ((b"n\n", 130, ["a", "b"]), (b"y\n", 0, ["a", "b"])):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True)
        assert done.returncode == code, done
        assert "Delete campaign a for good?" in done.stdout
        assert campaign_names(tracking_uri()) == names  # the foreign run keeps the name
        for end in (ours, theirs):
            os.close(end)
    assert len(rows(database, "a")["runs"]) == 1


@pytest.fixture
def large(database: Path) -> Path:
    """The store, its campaign a with some hundred runs more."""
    with closing(sqlite3.connect(database)) as connection, connection:
        template = "SELECT run_uuid FROM tags WHERE key = 'optsuite.kind' AND value = 'trial' AND "
        template += "run_uuid IN (SELECT run_uuid FROM tags WHERE value = 'a') LIMIT 1"
        (run,) = connection.execute(template).fetchone()
        for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            listed = ", ".join(names)
            chosen = ", ".join("?" if name == "run_uuid" else name for name in names)
            text = f"INSERT INTO {table} ({listed}) SELECT {chosen} FROM {table} WHERE run_uuid = ?"
            connection.executemany(text, [(f"{i:032x}", run) for i in range(400)])
    return database


@pytest.mark.parametrize("left", [390, 200])
def test_killed_deletion_leaves_no_half_and_next_command_completes(
    large: Path, folder: Path, left: int
) -> None:
    other = rows(large, "b")

    def count() -> int:
        with closing(sqlite3.connect(large)) as connection:
            return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])

    n_others = len(other["runs"]) + 1
    process = start("delete", "a", "--yes", folder=folder)
    wait_until(lambda: count() - n_others <= left, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert rows(large, "b") == other
    assert n_others < count() <= left + n_others
    assert len(rows(large, "a")["runs"]) == 1  # the foreign one: no report would find half of it
    if left == 200:
        assert counts(optsuite.clean())["trash"] == count() or count() == n_others
    else:
        assert counts(optsuite.delete("a"))["trash"] > 0
    assert count() == n_others
    assert rows(large, "b") == other


def test_artifacts_of_a_copied_store_and_of_edited_addresses_are_left_alone(
    database: Path,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = files(database.parent / "artifacts")
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(database.parent, copy / "mlruns")
    monkeypatch.chdir(copy)
    optsuite.delete("a")
    assert files(database.parent / "artifacts") == original
    assert len(list((copy / "mlruns" / "artifacts").rglob("index.html"))) == 1
    precious = copy / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    with closing(sqlite3.connect(copy / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = ?", (precious.as_uri(),))
    optsuite.delete("b")
    assert (precious / "file").read_text() == "mine"


def test_night_that_the_next_one_needs_is_refused_without_force(folder: Path) -> None:
    for night in ("one", "two", "three"):
        result = optsuite.nightly(SUITE, campaign=night, options=ExecutionOptions(workers=1))
    has_passed = result.outcome == "done"
    with pytest.raises(
        InputError, match=r"'one' is the last night that tuned in suite tiny.*--force"
    ):
        optsuite.delete("one")
    if has_passed:
        with pytest.raises(InputError, match="'three' is the last night that passed in suite tiny"):
            optsuite.delete("three", dry_run=True)
    optsuite.clean()
    kept = optsuite.runs("one"), optsuite.runs("three")
    assert all(len(found) for found in kept)
    if has_passed:
        optsuite.delete("two")
    optsuite.delete("one", force=True)
    assert "one" not in campaign_names(tracking_uri())


def test_outbox_of_a_campaign_without_runs_is_deleted(folder: Path) -> None:
    outbox = folder / "mlruns" / "outbox" / "mlflow.db" / "lost"
    outbox.mkdir(parents=True)
    (outbox / "1.json").write_text("{}")
    assert counts(optsuite.clean()) == {"waiting": 1}
    assert len(Outbox(tracking_uri(), "lost").waiting) == 1
    assert counts(optsuite.delete("lost")) == {"waiting": 1}
    assert not outbox.exists()
