"""Broken benchmarks, dying workers, failing stores: nothing is lost, and the rest completes."""

import os
import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from commands import PROGRAM, Call, count, descendants, start
from conftest import TINY, InlinePool, enter
from servers import Server, forgetful
from stores import everything, run_studies
from suites import broken, tiny

import optsuite
from optsuite.analysis.leaderboard import leaderboard
from optsuite.campaign import study
from optsuite.campaign.events import Event, Ready
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import studies_of
from optsuite.errors import InputError, StoreUnavailableError
from optsuite.execution.local.pool import LocalPool
from optsuite.execution.pool import RunUpdate, TaskLost
from optsuite.tracking import retry

BROKEN = Path(broken.__file__)
SUITE = replace(tiny.SUITE, n_trials=9, n_seeds=2)
N_RUNS = 9 + 2 + 2 + 9 + 2
KILLS = int(os.environ.get("OPTSUITE_KILLS", "2"))


@pytest.fixture
def pool() -> InlinePool:
    pool = InlinePool()
    pool.load(SUITE)
    return pool


def go(pool: InlinePool) -> list[Event]:
    studies = studies_of(SUITE, prepare(SUITE, device="cpu")[0], device="cpu")
    return run_studies(pool, studies)


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
        go(pool)
        return leaderboard(optsuite.runs("c"))


BROKEN_SUITE = """
from dataclasses import replace
from suites.broken import *
names = {names}
SUITE = replace(SUITE, benchmarks=tuple(b for b in SUITE.benchmarks if b.name in names))
"""


def test_broken_benchmarks_are_reported_by_name_and_the_others_finish(
    empty: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "STARTING_SECONDS", 8.0)
    monkeypatch.setattr(study, "TIMEOUT_FACTOR", 0.0)  # the timeout depends on no machine then
    breaking = ("raises", "never_ends", "dies", "dies_once", "not_a_number", "wrong_shape")
    names = (*breaking, "tiny_line")
    assert set(names) <= {benchmark.name for benchmark in broken.SUITE.benchmarks}
    (empty.parent / "night.py").write_text(BROKEN_SUITE.format(names=names))
    code, out, err = call("run", "--suite", str(empty.parent / "night.py"), "--workers", "2")
    assert (code, err) == (1, "")
    lines = out.splitlines()

    def stopped(benchmark: str, optimizer: str) -> str:
        start = f"{benchmark} {optimizer} stopped: "
        return next(line for line in lines if line.startswith(start))

    assert "Broken not_a_number: benchmark not_a_number: its loss, given outputs" in out
    assert "returned nan, allowed: a finite number before training" in out
    given = "given outputs (16, 2) and targets (16, 1),"
    assert f"Broken wrong_shape: benchmark wrong_shape: its loss, {given}" in out
    for optimizer in ("sgd", "adam"):
        raised = "failed: ValueError: no more (broken.py, line "
        assert raised in stopped("raises", optimizer)
        assert "failed: it reported nothing for 8 seconds" in stopped("never_ends", optimizer)
        assert "failed: its worker died with exit code 3" in stopped("dies", optimizer)
    runs = optsuite.runs()
    sound = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    assert set(sound["benchmark"]) == {"dies_once", "tiny_line"}
    assert len(sound) == 4
    assert (empty / "died").exists()
    page = Path("mlruns/report/index.html").read_text()
    assert "Broken wrong_shape" in page
    code, _, err = call("run", "--suite", str(empty.parent / "night.py"), "-b", "wrong_shape")
    assert (code, err.count("\n")) == (2, 1)  # asked for by name, it is an error


def test_an_optimizer_that_breaks_leaves_the_others_alone(empty: Path, call: Call) -> None:
    build = "return SignDescent(model"
    text = TINY.read_text().replace(build, f"raise KeyError('x')\n    {build}")
    text += "\nfrom dataclasses import replace\n"
    text += "other = replace(BENCHMARK, name='other')\n"
    text += "SUITE = replace(SUITE, benchmarks=(BENCHMARK, other), n_trials=2, n_seeds=2)\n"
    path = empty.parent / "odd.py"
    path.write_text(text)
    code, out, _ = call("run", "--suite", str(path), "--workers", "1")
    assert code == 1
    expected = "optimizer sign on benchmark other: its build raised KeyError: 'x'"
    assert f"Broken other sign: {expected}" in out
    runs = optsuite.runs()
    assert set(runs["optimizer"]) == {"sgd"}
    assert set(runs["benchmark"]) == {"tiny_line", "other"}


def test_broken_optimizer_leaves_the_report_until_it_can_be_trained_again(
    empty: Path, call: Call
) -> None:
    path = empty.parent / "odd.py"
    smaller = "from dataclasses import replace\nSUITE = replace(SUITE, n_trials=2, n_seeds=2)\n"
    sound = f"{TINY.read_text()}\n{smaller}"
    for text, code, optimizers in (
        (sound, 0, {"sgd", "sign"}),
        (sound.replace("return SignDescent(model", "return SignDescent(modle"), 1, {"sgd"}),
        (sound, 0, {"sgd", "sign"}),
    ):
        path.write_text(text)
        found, out, _ = call("run", "--suite", str(path), "--workers", "1")
        assert found == code, out
        assert set(optsuite.runs()["optimizer"]) == optimizers
        assert set(pd.read_csv("mlruns/report/leaderboard.csv")["optimizer"]) == optimizers
        assert ("left out of the report until they can be trained" in out) == (code == 1)
    assert "10 runs, 10 of them in the store already" in out


def test_worker_without_memory_is_stopped_and_its_task_tried_once_more_alone(folder: Path) -> None:
    all_of = broken.SUITE
    suite = replace(all_of, benchmarks=all_of.benchmarks[4:5], optimizers=all_of.optimizers[:1])
    (problem,), _ = prepare(suite, device="cpu")
    assert problem.benchmark.name == "eats_memory"
    lost: list[str] = []
    with LocalPool(2, suite=str(BROKEN), device="cpu", memory_bytes=2 * 2**30) as pool:
        poll = pool.poll

        def watched(timeout: float) -> list[RunUpdate | TaskLost]:
            events = poll(timeout)
            lost.extend(event.reason for event in events if isinstance(event, TaskLost))
            return events

        pool.poll = watched  # type: ignore[method-assign]
        studies = studies_of(suite, [problem], device="cpu")
        run_studies(pool, studies, suite="broken")
    assert set(lost) == {"its worker ran out of memory"}
    assert studies[0].error is not None
    assert len(lost) > 2  # one in each worker, and at least one of them again, alone
    assert "its worker ran out of memory" in str(studies[0].error)


def test_exclusive_task_waits_for_the_others_and_runs_alone() -> None:
    from tasks import collect, task

    with LocalPool(2, suite=str(TINY), device="cpu") as pool:
        pool.submit(replace(task(0), exclusive=True, priority=-1))
        for number in (1, 2, 3):
            pool.submit(task(number, n=3))
        together = []
        for _ in range(1000):
            together.append({worker.task.id for worker in pool._workers if worker.task is not None})
            if not together[-1]:
                break
            pool.poll(0.05)
        assert {0} in together  # it had started before the others came
        assert all(ids == {0} for ids in together if 0 in ids)
        pool.submit(task(4))
        pool.submit(task(5))
        pool.submit(replace(task(6), exclusive=True, priority=-1))
        pool.submit(task(7))
        order = [event.task for event in collect(pool, 4) if isinstance(event, RunUpdate)]
        assert order[-1] == 6
        pool.submit(task(8))
        pool.submit(task(9))
        pool.cancel(8)
        pool.cancel(9)
        pool.submit(task(10))
        assert {event.task for event in collect(pool, 1)} == {10}


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


def test_a_full_disk_keeps_what_was_trained_for_the_next_start(
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
        kept_in = r"\d+ runs are kept in \S+/spool/mlflow.db/c and"
        with pytest.raises(StoreUnavailableError, match=rf"database or disk is full; {kept_in}"):
            go(pool)
        pool.train = train
        kept = list(Path("mlruns/spool/mlflow.db/c").glob("*.json"))
        assert kept
        trained = pool.n_trained
        fill(Path("mlruns/more"), 0)  # what had been set aside
        pool.clear()
        full = r"disk is full|No space left on device"
        with pytest.raises((StoreUnavailableError, InputError), match=full):
            go(pool)
        assert len(list(Path("mlruns/spool/mlflow.db/c").glob("*.json"))) == len(kept)
        Path("mlruns/filler").unlink()
        Path("mlruns/more").unlink()
        pool.n_trained = 0
        (ready,) = [event for event in go(pool) if isinstance(event, Ready)]
        assert ready.delivered == len(kept)
        assert trained + pool.n_trained == N_RUNS
        assert is_whole()
        assert not Path("mlruns/spool").exists()
        pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)


def test_a_read_only_store_gets_one_line(tmp_path: Path) -> None:
    with disk(tmp_path / "mlruns", "12m"):
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "mlruns")], check=True)
        command = [str(PROGRAM), "run", "--suite", str(TINY)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "(Read-only file system), which " in done.stderr


def test_a_locked_database_is_waited_for(
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
    go(pool)
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


def test_a_server_that_goes_away_is_waited_for_and_one_that_stays_away_loses_nothing(
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
        go(pool)
    assert caplog.text.count("The store does not answer") == 1
    kept = len(list(Path(os.environ["XDG_STATE_HOME"]).rglob("*.json")))
    assert kept
    server.start()
    pool.clear()
    pool.train = train
    (ready,) = [event for event in go(pool) if isinstance(event, Ready)]
    assert ready.delivered == kept
    assert pool.n_trained == N_RUNS
    assert is_whole()
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)


@pytest.mark.parametrize("dropped", ["runs/create", "runs/log-batch", "runs/update"])
def test_lost_answer_of_a_server_doubles_nothing(
    server: Server,
    pool: InlinePool,
    expected: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    dropped: str,
) -> None:
    """The server has executed the request, and gets it again."""
    with forgetful(server.address, f"/api/2.0/mlflow/{dropped}", times=3) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        go(pool)
    assert proxy.n_dropped == 3
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    assert pool.n_trained == N_RUNS
    assert is_whole()
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)


def test_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """Kills drivers and workers in turn. OPTSUITE_KILLS=40 is the full test."""
    chance = random.Random(int.from_bytes(os.urandom(4)) if KILLS > 2 else 4)
    command = ("run", "--suite", str(TINY), "--workers", "2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    started = time.monotonic()
    subprocess.run([PROGRAM, *command], cwd=whole, check=True, capture_output=True)
    takes = time.monotonic() - started
    table = (whole / "mlruns/report/leaderboard.csv").read_bytes()
    for n in range(KILLS):
        process = start(*command, folder=killed)
        time.sleep(chance.uniform(0.2, 1.0) * takes)
        if n % 2:
            workers = descendants(process.pid)
            for pid in chance.sample(workers, k=min(1, len(workers))):
                os.kill(pid, 9)
        else:
            process.kill()
        _, err = process.communicate(timeout=180)
        assert process.returncode in (0, 1, -9), err
        if (killed / "mlruns/report/leaderboard.csv").exists() and process.returncode == 0:
            assert (killed / "mlruns/report/leaderboard.csv").read_bytes() == table
            for file in killed.glob("mlruns/mlflow.db*"):
                file.unlink()  # and begin again
    subprocess.run([PROGRAM, *command], cwd=killed, check=True, capture_output=True)
    assert (killed / "mlruns/report/leaderboard.csv").read_bytes() == table
    with closing(sqlite3.connect(killed / "mlruns/mlflow.db")) as store:
        active = "lifecycle_stage = 'active'"
        fingerprints = f"FROM runs JOIN tags USING (run_uuid) WHERE {active}"
        fingerprints += " AND key = 'optsuite.fingerprint'"
        counted = store.execute(f"SELECT count(*), count(DISTINCT value) {fingerprints}")
        total, different = counted.fetchone()
        found = store.execute(f"SELECT DISTINCT status FROM runs WHERE {active}")
        statuses = found.fetchall()
    assert total == different == count(killed) - 1  # and the run of the report
    assert statuses == [("FINISHED",)]
