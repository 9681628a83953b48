"""What a task demands of a cluster and yields, and the message without Ray. Needs no cluster."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from support.tasks import task

from optsuite.errors import InputError
from optsuite.execution import open_pool
from optsuite.execution.options import ExecutionOptions
from optsuite.execution.pool import RunUpdate, TaskLost
from optsuite.execution.ray import task as streamed
from optsuite.execution.ray.resources import PROCESS_BYTES, demand, fits, slots
from optsuite.execution.ray.task import WorkerEnvironment, digest
from optsuite.training.results import Measurement, RunResult


def test_cluster_without_ray_installed_tells_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "optsuite.execution.ray.pool", raising=False)
    message = r"^--ray: Ray is not installed; run: pip install 'optsuite\[ray\]'$"
    with pytest.raises(InputError, match=message):
        open_pool(str(TINY), ExecutionOptions(ray="auto"))


def test_demand_is_what_the_task_needs_and_at_most_what_a_node_has() -> None:
    gigabyte = 2**30
    gpu_bytes = 8 * gigabyte
    small = {"CPU": 2.0, "memory": 4.0 * gigabyte}
    large = {"CPU": 8.0, "memory": 16.0 * gigabyte}
    with_gpu = {"CPU": 4.0, "memory": 4.0 * gigabyte, "GPU": 1.0}
    one = replace(task(0), memory_bytes=gigabyte)
    huge = replace(one, memory_bytes=99 * gigabyte)
    exclusive = replace(one, exclusive=True)

    assert demand(one, [small, large], 0) == {"num_cpus": 1, "memory": gigabyte + PROCESS_BYTES}
    assert demand(exclusive, [small, large], 0)["num_cpus"] == 8
    assert demand(huge, [small, large], 0)["memory"] == 16 * gigabyte

    on_gpu = {"num_cpus": 1, "memory": PROCESS_BYTES, "num_gpus": 0.2}
    assert demand(one, [small], gpu_bytes) == on_gpu
    assert demand(replace(one, memory_bytes=1), [small], gpu_bytes)["num_gpus"] == 0.1
    assert demand(huge, [small], gpu_bytes)["num_gpus"] == 1
    assert demand(exclusive, [small], gpu_bytes)["num_gpus"] == 1
    assert demand(exclusive, [large, with_gpu], gpu_bytes)["num_cpus"] == 4

    assert fits(demand(one, [large, with_gpu], gpu_bytes), [large, with_gpu])
    assert not fits(demand(one, [large], gpu_bytes), [large])
    assert not fits(demand(one, [], 0), [])
    assert slots([large, with_gpu], 0) == 12
    assert slots([large, with_gpu], gpu_bytes) == 4
    assert slots([large | {"GPU": 0.5}], gpu_bytes) == 5


def test_batches_hold_one_step_of_a_stack_and_are_equal_on_every_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(streamed, "limit_memory", lambda most: None)

    def batches(engine: str) -> list[list[tuple[int, object]]]:
        monkeypatch.chdir(tmp_path)
        three = replace(task(0, n=3), engine=engine)
        found = []
        for batch in streamed.stream(three, str(TINY), "cpu", WorkerEnvironment.here()):
            updates = [event for event in batch if isinstance(event, RunUpdate)]
            found.append([(own.index, getattr(own.update, "step", "end")) for own in updates])
        return found

    steps = (0, 10, 20, 30, 40)
    stack: list[list[tuple[int, object]]] = [[]]
    stack += [[(0, step), (1, step), (2, step)] for step in steps]
    stack += [[(0, "end"), (1, "end"), (2, "end")]]
    assert batches("stacked") == batches("stacked") == stack
    assert batches("plain") == batches("plain")
    in_order = [(n, what) for n in range(3) for what in (*steps, "end")]
    assert [update for batch in batches("plain") for update in batch] == in_order


def test_task_without_enough_memory_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(task: object, train: object) -> Iterator[RunUpdate]:
        raise MemoryError
        yield

    monkeypatch.setattr(streamed, "limit_memory", lambda most: None)
    monkeypatch.setattr(streamed, "updates", fails)
    monkeypatch.chdir(tmp_path)
    found = streamed.stream(task(7), str(TINY), "cpu", WorkerEnvironment.here())
    assert next(found) == []
    assert next(found) == [TaskLost(task=7, reason="its worker ran out of memory")]


def test_digest_of_equal_results_at_different_times_is_equal() -> None:
    def measured(loss: float, time: float) -> RunUpdate:
        measurement = Measurement(step=10, values={"train/loss": loss}, time=time)
        return RunUpdate(task=1, index=0, update=measurement)

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
