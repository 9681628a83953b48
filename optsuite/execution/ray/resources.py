"""How many CPUs, how much memory and what share of a GPU a task demands of a cluster."""

import math
from collections.abc import Mapping, Sequence

from optsuite.execution.pool import Task

PROCESS_BYTES = 2**29  # torch and a dataset
MEMORY_STEP = 2**28  # coarse, so that demands are few: a cluster queues each separately
GPU_STEP = 1 / 20
# GPU memory of any process: CUDA's context and the workspaces of its libraries, 300 to 500 MB.
CONTEXT_BYTES = 2**29
Resources = Mapping[str, float]
# The resource of a node, by the option of a task.
RESOURCE = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}


def demand(task: Task, nodes: Sequence[Resources], device_bytes: int) -> dict[str, float]:
    """The options of a task, never more than the largest node has.

    An exclusive task demands all CPUs of that node. `device_bytes` is the memory of a GPU, 0 if
    none is used.
    """
    usable = [node for node in nodes if not device_bytes or node.get("GPU")]
    largest = max(usable, key=lambda node: (node.get("CPU", 0), node.get("memory", 0)), default={})
    needed = PROCESS_BYTES
    if not device_bytes:
        needed += task.memory_bytes
    memory = -(-needed // MEMORY_STEP) * MEMORY_STEP
    asked = {"num_cpus": 1.0, "memory": min(memory, int(largest.get("memory", memory)))}
    if task.exclusive:
        asked["num_cpus"] = max(1.0, largest.get("CPU", 1.0))
    if device_bytes:
        asked["num_gpus"] = 1.0 if task.exclusive else _share(task.memory_bytes, device_bytes)
    return asked


def slots(nodes: Sequence[Resources], device_bytes: int) -> int:
    """How many of the smallest tasks the nodes train at once."""
    if not device_bytes:
        return int(sum(node.get("CPU", 0) for node in nodes))
    smallest = _share(0, device_bytes)
    n_slots = 0
    for node in nodes:
        n_slots += int(min(node.get("CPU", 0), node.get("GPU", 0) / smallest))
    return n_slots


def _share(memory_bytes: int, device_bytes: int) -> float:
    """The share of a GPU that has `memory_bytes` and a context, in steps of GPU_STEP."""
    needed = (CONTEXT_BYTES + memory_bytes) / device_bytes
    return min(1.0, round(math.ceil(needed / GPU_STEP) * GPU_STEP, 2))


def fits(asked: Mapping[str, float], nodes: Sequence[Resources]) -> bool:
    """Whether an idle node would have all that is asked for."""
    return any(_has(node, asked) for node in nodes)


def _has(node: Resources, asked: Mapping[str, float]) -> bool:
    return all(node.get(RESOURCE[option], 0) >= amount for option, amount in asked.items())


def described(asked: Mapping[str, float]) -> str:
    """What a task asks for, in words."""
    gpus = f", {asked['num_gpus']:g} of a GPU" if "num_gpus" in asked else ""
    gibibytes = asked["memory"] / 2**30
    return f"{asked['num_cpus']:g} CPU{gpus} and {gibibytes:.1f} GiB of memory for a task"
