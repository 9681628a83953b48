"""What a task of a cluster asks for and says, and what is said where there is no Ray: none of it needs one."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from tasks import task

from optsuite.errors import InputError
from optsuite.execution import open_pool
from optsuite.execution.options import ExecutionOptions
from optsuite.execution.pool import RunUpdate, TaskLost
from optsuite.execution.ray import task as streamed
from optsuite.execution.ray.resources import PROCESS_BYTES, demand, fits, slots
from optsuite.execution.ray.task import WorkerEnvironment, digest
from optsuite.training.results import Measurement, RunResult


def test_without_ray_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "optsuite.execution.ray.pool", raising=False)
    with pytest.raises(
        InputError, match=r"^--ray: Ray is not installed; run: pip install 'optsuite\[ray\]'$"
    ):
        open_pool(str(TINY), ExecutionOptions(ray="auto"))


def test_a_task_asks_for_what_its_plan_needs_and_a_node_has() -> None:
    gigabyte = 2**30
    small, large = {"CPU": 2.0, "memory": 4.0 * gigabyte}, {"CPU": 8.0, "memory": 16.0 * gigabyte}
    one = replace(task(0), memory_bytes=gigabyte)
    assert demand(one, [small, large], 0) == {"num_cpus": 1, "memory": gigabyte + PROCESS_BYTES}
    assert demand(replace(one, exclusive=True), [small, large], 0)["num_cpus"] == 8
    assert (
        demand(replace(one, memory_bytes=99 * gigabyte), [small, large], 0)["memory"]
        == 16 * gigabyte
    )
    assert demand(one, [small], 8 * gigabyte) == {
        "num_cpus": 1,
        "memory": PROCESS_BYTES,
        "num_gpus": 0.2,
    }
    assert demand(replace(one, memory_bytes=1), [small], 8 * gigabyte)["num_gpus"] == 0.1
    assert demand(replace(one, memory_bytes=99 * gigabyte), [small], 8 * gigabyte)["num_gpus"] == 1
    assert demand(replace(one, exclusive=True), [small], 8 * gigabyte)["num_gpus"] == 1
    with_gpu = {"CPU": 4.0, "memory": 4.0 * gigabyte, "GPU": 1.0}
    assert demand(replace(one, exclusive=True), [large, with_gpu], 8 * gigabyte)["num_cpus"] == 4
    assert fits(demand(one, [large, with_gpu], 8 * gigabyte), [large, with_gpu])
    assert not fits(demand(one, [large], 8 * gigabyte), [large])
    assert not fits(demand(one, [], 0), [])
    assert (slots([large, with_gpu], 0), slots([large, with_gpu], 8 * gigabyte)) == (12, 4)
    assert slots([large | {"GPU": 0.5}], 8 * gigabyte) == 5


def test_batches_hold_a_step_of_a_stack_and_are_the_same_on_every_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(streamed, "limit_memory", lambda most: None)

    def tries(engine: str) -> list[list[tuple[int, object]]]:
        monkeypatch.chdir(tmp_path)
        found = streamed.stream(
            replace(task(0, n=3), engine=engine), str(TINY), "cpu", WorkerEnvironment.here()
        )
        return [
            [(e.index, getattr(e.update, "step", "end")) for e in batch if isinstance(e, RunUpdate)]
            for batch in found
        ]

    stack = [
        [],
        *([(0, step), (1, step), (2, step)] for step in (0, 10, 20, 30, 40)),
        [(0, "end"), (1, "end"), (2, "end")],
    ]
    assert tries("stacked") == tries("stacked") == stack
    assert tries("plain") == tries("plain")
    assert [update for batch in tries("plain") for update in batch] == [
        (n, what) for n in range(3) for what in (0, 10, 20, 30, 40, "end")
    ]


def test_a_task_that_lacks_memory_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(task: object, train: object) -> Iterator[RunUpdate]:
        raise MemoryError
        yield

    monkeypatch.setattr(streamed, "limit_memory", lambda most: None)
    monkeypatch.setattr(streamed, "facts", fails)
    monkeypatch.chdir(tmp_path)
    found = streamed.stream(task(7), str(TINY), "cpu", WorkerEnvironment.here())
    assert [next(found), next(found)] == [
        [],
        [TaskLost(task=7, reason="its worker ran out of memory")],
    ]


def test_batches_that_say_the_same_have_one_digest_whenever_they_were_said() -> None:
    def measured(loss: float, time: float) -> RunUpdate:
        return RunUpdate(
            task=1, index=0, update=Measurement(step=10, values={"train/loss": loss}, time=time)
        )

    assert digest([measured(0.5, 1.0)]) == digest([measured(0.5, 2.0)])
    failed = RunUpdate(task=1, index=0, update=RunResult(outcome="failed", error="no more"))
    others: tuple[list[RunUpdate | TaskLost], ...] = (
        [],
        [measured(0.5 + 1e-16, 1.0), failed],
        [measured(0.5000000001, 1.0)],
        [failed],
        [TaskLost(task=1, reason="died")],
    )
    assert len({digest(batch) for batch in others} | {digest([measured(0.5, 1.0)])}) == 6
