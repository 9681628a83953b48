"""Workers that lack memory or are killed, and tasks that run alone."""

import os
import random
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from conftest import TINY
from suites import broken
from support.commands import PROGRAM, count, descendants, start
from support.stores import run_studies

from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import studies_of
from optsuite.execution.local.pool import LocalPool
from optsuite.execution.pool import RunUpdate, TaskLost

BROKEN = Path(broken.__file__)
KILLS = int(os.environ.get("OPTSUITE_KILLS", "2"))


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
    from support.tasks import collect, task

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
