"""What a task asks of a cluster that gives every task its CPUs, memory and share of a GPU."""

import math
from collections.abc import Mapping, Sequence

from optsuite.execution.pool import Task

PROCESS_BYTES = 2**29  # torch and a dataset
MEMORY_STEP = 2**28  # few different demands: a cluster queues each kind on its own
GPU_STEP = 1 / 20
CONTEXT_BYTES = (
    2**29
)  # of a GPU, for any process there: CUDA's own and what its libraries work in, some 300 to 500 MB
Resources = Mapping[str, float]
RESOURCE = {
    "num_cpus": "CPU",
    "num_gpus": "GPU",
    "memory": "memory",
}  # of a node, by the option of a task


def demand(task: Task, nodes: Sequence[Resources], device_bytes: int) -> dict[str, float]:
    """What a task asks for, never more than the largest node has; one that goes alone asks for all of its CPUs.

    `device_bytes` is the memory of a GPU, 0 where none is used.
    """
    usable = [node for node in nodes if not device_bytes or node.get("GPU")]
    largest = max(usable, key=lambda node: (node.get("CPU", 0), node.get("memory", 0)), default={})
    needed = PROCESS_BYTES + (0 if device_bytes else task.memory_bytes)
    memory = -(-needed // MEMORY_STEP) * MEMORY_STEP
    asked = {
        "num_cpus": max(1.0, largest.get("CPU", 1.0)) if task.exclusive else 1.0,
        "memory": min(memory, int(largest.get("memory", memory))),
    }
    if device_bytes:
        asked["num_gpus"] = 1.0 if task.exclusive else _share(task.memory_bytes, device_bytes)
    return asked


def slots(nodes: Sequence[Resources], device_bytes: int) -> int:
    """How many of the smallest tasks the nodes train at once."""
    if not device_bytes:
        return int(sum(node.get("CPU", 0) for node in nodes))
    return sum(
        int(min(node.get("CPU", 0), node.get("GPU", 0) / _share(0, device_bytes))) for node in nodes
    )


def _share(memory_bytes: int, device_bytes: int) -> float:
    """The share of a GPU for a stack that takes so much of its memory, in steps of GPU_STEP."""
    needed = (CONTEXT_BYTES + memory_bytes) / device_bytes
    return min(1.0, round(math.ceil(needed / GPU_STEP) * GPU_STEP, 2))


def fits(asked: Mapping[str, float], nodes: Sequence[Resources]) -> bool:
    """Whether some node has all that is asked for, when nothing else is trained there."""
    return any(
        all(node.get(RESOURCE[option], 0) >= amount for option, amount in asked.items())
        for node in nodes
    )


def described(asked: Mapping[str, float]) -> str:
    """What a task asks for, in words."""
    gpus = f", {asked['num_gpus']:g} of a GPU" if "num_gpus" in asked else ""
    return f"{asked['num_cpus']:g} CPU{gpus} and {asked['memory'] / 2**30:.1f} GiB of memory for a task"
