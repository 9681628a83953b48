import os
import signal
import threading
import time
from pathlib import Path

import pytest
from conftest import TINY
from support.tasks import collect, task

from optsuite.execution.local.pool import LocalPool
from optsuite.execution.pool import RunUpdate, TaskLost
from optsuite.training.results import Measurement, RunResult


def curve(updates: list[RunUpdate], task: int) -> list[tuple[int, object]]:
    """What the first run of a task measured."""
    own = [update.update for update in updates if (update.task, update.index) == (task, 0)]
    return [(one.step, one.values) for one in own if isinstance(one, Measurement)]


def test_workers_that_die_are_replaced() -> None:
    with LocalPool(2, suite=str(TINY), device="cpu") as pool:
        for number in range(4):
            pool.submit(task(number, n=2 if number == 3 else 1))
        updates = [event for event in collect(pool, 5) if isinstance(event, RunUpdate)]
        second = [own.update for own in updates if (own.task, own.index) == (3, 1)]
        results = [own for own in second if isinstance(own, RunResult)]
        assert results == [RunResult(outcome="finished")]
        first = curve(updates, 0)  # the seed is the same, whichever worker trained it
        assert all(curve(updates, number) == first for number in range(4))

        pool.submit(task(4, optimizer="nobody"))
        (event,) = collect(pool, 1)
        assert isinstance(event, RunUpdate)
        assert isinstance(event.update, RunResult)
        assert event.update.outcome == "failed"
        assert str(event.update.error).startswith("optimizer: got 'nobody', one of")

        # The end of a task is reported after its last update.
        while any(worker.task for worker in pool._workers):
            pool.poll(0.5)
        victim = pool._workers[0].process.pid
        assert victim is not None
        os.kill(victim, signal.SIGSTOP)  # so that it is still training when it is killed
        pool.submit(task(5))
        os.kill(victim, signal.SIGKILL)
        (lost,) = collect(pool, 1)
        assert lost == TaskLost(task=5, reason="its worker died with exit code -9")
        pool.submit(task(6))
        assert any(isinstance(e, RunUpdate) for e in collect(pool, 1))
        processes = [worker.process for worker in pool._workers]
    assert not any(process.is_alive() for process in processes)


def test_suite_that_raises_in_the_worker_fails_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise RuntimeError('not today')\n")
    with LocalPool(1, suite=str(path), device="cpu") as pool:
        pool.submit(task(0))
        (event,) = collect(pool, 1)
    assert isinstance(event, RunUpdate)
    assert isinstance(event.update, RunResult)
    assert "broken.py, line 1) raised RuntimeError: not today" in str(event.update.error)


def test_workers_have_the_environment_and_folder_of_their_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asks.py").write_text(
        "import os\nraise RuntimeError(f'{os.environ.get(\"OPTSUITE_ASKED\")} in {os.getcwd()}')\n"
    )
    monkeypatch.chdir(tmp_path)
    for value in ("one", "two", None):  # all workers are forked from the same server
        if value is None:
            monkeypatch.delenv("OPTSUITE_ASKED")
        else:
            monkeypatch.setenv("OPTSUITE_ASKED", value)
        with LocalPool(1, suite="asks.py", device="cpu") as pool:
            pool.submit(task(0))
            (event,) = collect(pool, 1)
        assert isinstance(event, RunUpdate)
        assert isinstance(event.update, RunResult)
        assert str(event.update.error).endswith(f"raised RuntimeError: {value} in {tmp_path}")


def test_ctrl_c_reaches_no_worker() -> None:
    pools: list[LocalPool] = []

    def start() -> None:
        pools.append(LocalPool(1, suite=str(TINY), device="cpu"))
        pools[0].submit(task(0))

    thread = threading.Thread(target=start)  # where Python cannot set signal handlers
    thread.start()
    thread.join()
    with pools[0] as pool:
        collect(pool, 1)
        while any(worker.task for worker in pool._workers):
            pool.poll(0.5)
        (worker,) = pool._workers
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGINT)
        pool.submit(task(1))
        assert all(isinstance(event, RunUpdate) for event in collect(pool, 1))
        assert pool._workers == [worker]


@pytest.mark.parametrize("n", [1, 2])
def test_closed_pool_stops_work_at_once(n: int) -> None:
    pool = LocalPool(n, suite=str(TINY), device="cpu")
    started = time.monotonic()
    pool.submit(task(0))
    pool.close()
    assert time.monotonic() - started < 5
