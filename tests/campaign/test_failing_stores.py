"""Stores that are full, read-only, locked or away: nothing is lost or doubled."""

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY, InlinePool, enter
from support.campaigns import N_SGD, N_SIGN, SUITE, resume
from support.commands import PROGRAM
from support.servers import Server, forgetful
from support.stores import everything

import optsuite
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign.events import Ready
from optsuite.errors import InputError, StoreUnavailableError
from optsuite.tracking import retry

N_RUNS = N_SGD + N_SIGN


@pytest.fixture
def pool() -> InlinePool:
    pool = InlinePool()
    pool.load(SUITE)
    return pool


def is_whole() -> bool:
    runs = everything()
    is_complete = len(runs) == N_RUNS + 2 and set(runs["status"]) == {"FINISHED"}
    return is_complete and bool(runs["fingerprint"].is_unique)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, template: Path) -> pd.DataFrame:
    """The table of an undisturbed run."""
    with pytest.MonkeyPatch.context() as patch:
        enter(tmp_path_factory.mktemp("whole") / "whole", template, patch)
        pool = InlinePool()
        pool.load(SUITE)
        resume(pool)
        return leaderboard(optsuite.runs("c"))


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a real disk of this size at the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        pytest.skip("needs to be allowed to mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path, leave: int) -> None:
    """Fill the disk of a file, except for `leave` bytes."""
    free = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - leave))


def test_full_disk_keeps_what_was_trained_for_the_next_start(
    tmp_path: Path,
    template: Path,
    pool: InlinePool,
    monkeypatch: pytest.MonkeyPatch,
    expected: pd.DataFrame,
) -> None:
    with disk(tmp_path / "full" / "mlruns", "12m"):
        (tmp_path / "full" / "mlruns" / "mlflow.db").write_bytes(template.read_bytes())
        monkeypatch.chdir(tmp_path / "full")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        train = pool.train
        assert train is not None

        def filling(task: object) -> object:
            if not Path("mlruns/filler").exists():
                fill(Path("mlruns/filler"), 16_000)
            return train(task)  # type: ignore[arg-type]

        pool.train = filling  # type: ignore[assignment]
        kept_in = r"\d+ runs are kept in \S+/outbox/mlflow.db/c and"
        with pytest.raises(StoreUnavailableError, match=rf"database or disk is full; {kept_in}"):
            resume(pool)
        pool.train = train
        kept = list(Path("mlruns/outbox/mlflow.db/c").glob("*.json"))
        assert kept
        trained = pool.n_trained
        fill(Path("mlruns/more"), 0)  # what had been set aside
        pool.clear()
        full = r"disk is full|No space left on device"
        with pytest.raises((StoreUnavailableError, InputError), match=full):
            resume(pool)
        assert len(list(Path("mlruns/outbox/mlflow.db/c").glob("*.json"))) == len(kept)
        Path("mlruns/filler").unlink()
        Path("mlruns/more").unlink()
        pool.n_trained = 0
        (ready,) = [event for event in resume(pool) if isinstance(event, Ready)]
        assert ready.delivered == len(kept)
        assert trained + pool.n_trained == N_RUNS
        assert is_whole()
        assert not Path("mlruns/outbox").exists()
        pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)


def test_read_only_store_gets_one_line(tmp_path: Path) -> None:
    with disk(tmp_path / "mlruns", "12m"):
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "mlruns")], check=True)
        command = [str(PROGRAM), "run", "--suite", str(TINY)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "(Read-only file system), which " in done.stderr


def test_locked_database_is_waited_for(
    folder: Path, pool: InlinePool, expected: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    train, locked = pool.train, threading.Event()
    assert train is not None

    def lock() -> None:
        with closing(sqlite3.connect("mlruns/mlflow.db")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            locked.set()
            time.sleep(22)  # MLflow itself waits for 20

    thread = threading.Thread(target=lock)

    def locking(task: object) -> object:
        if not locked.is_set():
            thread.start()
            locked.wait()
        return train(task)  # type: ignore[arg-type]

    pool.train = locking  # type: ignore[assignment]
    resume(pool)
    thread.join()
    assert "The store does not answer" in caplog.text
    assert "database is locked" in caplog.text
    assert is_whole()
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)


@pytest.fixture
def server(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (tmp_path / "server.db").write_bytes(template.read_bytes())
    monkeypatch.chdir(tmp_path)
    own = Server.over(f"sqlite:///{tmp_path}/server.db", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own.address)
    monkeypatch.setattr(retry, "TIMEOUT_SECONDS", 30.0)
    own.start()
    yield own
    own.stop()


def test_server_that_goes_away_is_waited_for_and_one_that_stays_away_loses_nothing(
    server: Server, pool: InlinePool, expected: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    train, tasks = pool.train, [0]
    assert train is not None
    back = threading.Thread(target=server.start)

    def going(task: object) -> object:
        tasks[0] += 1
        if tasks[0] == 2:
            server.stop()
            back.start()  # takes some seconds
        if tasks[0] == 4:
            back.join()
            time.sleep(3)
            server.stop()
        return train(task)  # type: ignore[arg-type]

    pool.train = going  # type: ignore[assignment]
    expected_error = r"cannot be written to: .*; \d+ runs are kept in \S+ and delivered"
    with pytest.raises(StoreUnavailableError, match=expected_error):
        resume(pool)
    assert caplog.text.count("The store does not answer") == 1
    kept = len(list(Path(os.environ["XDG_STATE_HOME"]).rglob("*.json")))
    assert kept
    server.start()
    pool.clear()
    pool.train = train
    (ready,) = [event for event in resume(pool) if isinstance(event, Ready)]
    assert ready.delivered == kept
    assert pool.n_trained == N_RUNS
    assert is_whole()
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)


def test_lost_answers_of_a_server_double_nothing(
    server: Server, pool: InlinePool, expected: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has executed these requests, and gets them again."""
    paths = [f"/api/2.0/mlflow/runs/{name}" for name in ("create", "log-batch", "update")]
    with forgetful(server.address, paths, times=3) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        resume(pool)
    assert proxy.n_dropped == dict.fromkeys(paths, 3)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    assert pool.n_trained == N_RUNS
    assert is_whole()
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)
