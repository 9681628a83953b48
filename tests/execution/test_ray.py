"""A local Ray cluster of three nodes as the pool: the same results, whatever dies."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import TINY, enter
from suites import tiny
from support.clusters import (
    HEAD,
    LONGER,
    OTHERWISE,
    Three,
    command_of,
    defined,
    open_ray,
    three_nodes,
)
from support.commands import Call, alive, count, descendants, start, wait_until
from support.tasks import collect, task

import optsuite
from optsuite.campaign import study
from optsuite.execution.pool import RunUpdate, TaskLost
from optsuite.training.results import Measurement, RunResult

pytest.importorskip("ray", reason="needs the extra optsuite[ray]")
pytestmark = [  # Ray's own: handles that it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
WHOLE = os.environ.get("OPTSUITE_RAY", "")
ROOT = Path(__file__).parents[2]
BROKEN = ("raises", "never_ends", "dies", "dies_once", "tiny_line")


@pytest.fixture(scope="module")
def three() -> Iterator[Three]:
    with three_nodes() as own:
        yield own


def test_cluster_started_by_auto_is_silent_and_leaves_no_process(tmp_path: Path) -> None:
    smallest = ("--trials", "8", "--seeds", "1")
    process = start("run", "--suite", str(TINY), *smallest, "--ray", "auto", folder=tmp_path)
    started: set[int] = set()
    while process.poll() is None:
        started |= set(descendants(process.pid))
        time.sleep(0.2)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "raylet" not in out
    assert b"tiny_line" in (tmp_path / "mlruns/report/leaderboard.csv").read_bytes()
    assert len(started) > 3
    time.sleep(1)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists() and alive(pid)]


def test_lost_nodes_and_processes_change_nothing(
    three: Three, tmp_path: Path, template: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPTSUITE_RAY=default trains that suite instead of a tiny one."""
    (tmp_path / "longer.py").write_text(LONGER)
    command: tuple[str, ...] = ("run", "--suite", WHOLE)
    if not WHOLE:
        command = ("run", "--suite", str(tmp_path / "longer.py"), "--engine", "plain")
    on_ray = enter(tmp_path / "ray", template, monkeypatch)
    enter(tmp_path / "local", template, monkeypatch)
    assert call(*command, "--workers", "2")[0] == 0
    table = Path("mlruns/report/leaderboard.csv").read_bytes()
    local = optsuite.runs()
    n_runs = int((local["kind"] != "study").sum())
    monkeypatch.chdir(on_ray)
    with three.troubled(lambda: count(on_ray), n_runs) as killed:
        code, out, err = call(*command, "--ray", three.address)
    assert killed == ["process", "node"]
    assert (code, err) == (0, "")
    assert "raylet" not in out
    assert Path("mlruns/report/leaderboard.csv").read_bytes() == table
    runs = optsuite.runs()
    assert sorted(runs["fingerprint"]) == sorted(set(local["fingerprint"]))
    assert set(runs["status"]) == {"FINISHED"}
    _, out, _ = call(*command, "--ray", three.address)
    assert f"{n_runs} runs, {n_runs} of them in the store already" in out


def test_killed_driver_leaves_nothing_training_and_can_be_started_again(
    three: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    monkeypatch.delenv("RAY_AUTH_MODE")  # the token is enough
    (tmp_path / "longer.py").write_text(LONGER)
    command = ("run", "--suite", "longer.py", "--engine", "plain", "--ray", three.address)
    process = start(*command, folder=tmp_path)
    wait_until(lambda: count(tmp_path) >= 3 and bool(three.training(three.others[1])), process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while any(map(three.training, three.nodes)):
        assert time.monotonic() < deadline
    process = start(*command, folder=tmp_path)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert re.search(r"22 runs, [1-9]\d* of them in the store already", out)


def test_cluster_without_its_head_is_given_up_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    (tmp_path / "longer.py").write_text(LONGER.replace("max_steps=4000", "max_steps=10**6"))
    with subprocess.Popen(
        [sys.executable, "-c", HEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as head:
        assert head.stdout is not None
        address, pid = head.stdout.readline().split()
        process = start("run", "--suite", "longer.py", "--ray", address, folder=tmp_path)

        def is_training() -> bool:
            return any(b"ray::stream" in command_of(child) for child in descendants(head.pid))

        wait_until(is_training, process)
        os.kill(int(pid), 9)
        _, err = process.communicate(timeout=90)
        head.kill()
    assert process.returncode == 1
    reason = rf"Ray: the head of the cluster, {address}, has not answered for 2\d seconds"
    assert re.fullmatch(rf"optsuite: {reason}; .*\n", err), err


def test_broken_benchmarks_are_reported_and_the_others_finish(
    three: Three, empty: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "STARTING_SECONDS", 1.0)
    monkeypatch.setattr("optsuite.execution.ray.job.LOST_NODE_SECONDS", 14.0)
    monkeypatch.setattr("optsuite.execution.ray.job.MAX_RETRIES", 1)
    (empty / "night.py").write_text(
        "from dataclasses import replace\n"
        "from suites.broken import *\n"
        f"CHOSEN = tuple(b for b in SUITE.benchmarks if b.name in {BROKEN})\n"
        "SUITE = replace(SUITE, benchmarks=CHOSEN, n_seeds=1)\n"
    )
    code, out, err = call("run", "--suite", "night.py", "-o", "sgd", "--ray", three.address)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    for name, reason in (
        ("raises", "ValueError: no more (broken.py, line "),
        ("never_ends", "it reported nothing for "),
        ("dies", "its worker died"),
    ):
        stopped = [line for line in lines if line.startswith(f"{name} sgd stopped: ")]
        assert any(f"failed: {reason}" in line for line in stopped), out
    runs = optsuite.runs()
    sound = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    assert set(sound["benchmark"]) == {"dies_once", "tiny_line"}
    assert Path("died").exists()


def test_thousand_tasks_of_one_step_are_dispatched_in_seconds(three: Three) -> None:
    one_step = replace(tiny.BENCHMARK, name="tiny_line@1", max_steps=1, eval_every=1)
    found = defined(one_step)
    run = replace(task(0).runs[0], benchmark="tiny_line@1")
    nothing = replace(task(0), definition=found, runs=(run,))
    with open_ray(three.address) as pool:
        for number in range(6):
            pool.submit(replace(nothing, id=number))
        collect(pool, 6)
        started = time.monotonic()
        for number in range(1_000):
            pool.submit(replace(nothing, id=number))
        updates = [event.update for event in collect(pool, 1_000) if isinstance(event, RunUpdate)]
        seconds = time.monotonic() - started
    sys.stdout.write(f"1,000 stacks in {seconds:.1f} s\n")  # pytest -s shows it
    outcomes = [update.outcome for update in updates if isinstance(update, RunResult)]
    assert outcomes == ["finished"] * 1_000
    assert sum(isinstance(update, Measurement) for update in updates) == 2_000
    assert seconds < 60


def test_task_with_other_results_on_another_try_is_lost(three: Three, empty: Path) -> None:
    (empty / "otherwise.py").write_text(OTHERWISE)
    suite = optsuite.registry.load_suite("otherwise.py")
    found = defined(suite.benchmarks[0])
    with open_ray(three.address, suite="otherwise.py") as pool:
        pool.submit(replace(task(0), definition=found))
        *measured, lost = collect(pool, 1)
    assert lost == TaskLost(task=0, reason="a retry gave different results")
    assert len(measured) > 1


def test_waiting_and_training_tasks_can_be_cancelled(three: Three, tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(LONGER.replace("max_steps=4000", "max_steps=10**8"))
    suite = optsuite.registry.load_suite(str(tmp_path / "endless.py"))
    found = defined(suite.benchmarks[0])
    with open_ray(three.address, suite=str(tmp_path / "endless.py")) as pool:
        for number in range(9):
            pool.submit(replace(task(number), definition=found))
        seen: set[int] = set()
        while not seen:
            seen |= {event.task for event in pool.poll(1.0)}
        for number in range(8):
            pool.cancel(number)
        assert {event.task for event in pool.poll(1.0)} <= {8}
        while 8 not in {event.task for event in pool.poll(1.0)}:
            pass
        started = time.monotonic()
    assert time.monotonic() - started < 5
    while any(map(three.training, three.nodes)):
        assert time.monotonic() - started < 10


def test_cluster_without_a_gpu_warns_and_uses_the_first_that_is_added(
    three: Three, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The GPU is one in name only, so the task fails on a machine without one."""
    gpu = SimpleNamespace(total_memory=2**33)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: gpu)
    monkeypatch.setattr("optsuite.training.device.check_device", lambda device: None)
    monkeypatch.setattr("optsuite.execution.ray.pool.LOOK_SECONDS", 0.2)
    found = defined(tiny.BENCHMARK, "cuda")
    with open_ray(three.address, device="cuda") as pool:
        pool.submit(replace(task(0), definition=found, memory_bytes=2**30))
        while not caplog.messages:
            assert pool.poll(0.2) == []
        node = three.cluster.add_node(num_cpus=1, num_gpus=1)
        (event,) = collect(pool, 1)
        three.cluster.remove_node(node)
    assert event.task == 0
    needed = "1 CPU, 0.2 of a GPU and 0.5 GiB of memory for a task"
    warning = f"No node of the cluster has {needed}; waiting for one that does."
    assert caplog.messages == [warning]


def test_node_without_the_folder_of_the_driver_loses_the_task(
    three: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_ray(three.address) as pool:
        sound = pool._arguments
        pool._arguments = (*sound[:2], replace(sound[2], folder=str(tmp_path / "absent")))
        pool.submit(task(0))
        (lost,) = collect(pool, 1)
        assert isinstance(lost, TaskLost)
        assert lost.reason.startswith("FileNotFoundError: ")
        pool._arguments = sound
        pool.submit(replace(task(1, n=3), exclusive=True))
        updates = [event for event in collect(pool, 3) if isinstance(event, RunUpdate)]
    assert {event.index for event in updates} == {0, 1, 2}
