"""What a task asks of a cluster that gives every task its CPUs, memory and share of a GPU."""

import math
from collections.abc import Mapping, Sequence

from optsuite.execution.pool import Task

PROCESS_BYTES = 2**29  # torch and a dataset
MEMORY_STEP = 2**28  # few different demands: a cluster queues each kind on its own
GPU_STEP = 1 / 20
Resources = Mapping[str, float]
RESOURCE = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}  # of a node, by the option of a task


def demand(task: Task, nodes: Sequence[Resources], device_bytes: int) -> dict[str, float]:
    """What a task asks for, never more than the largest node has; one that goes alone asks for all of its CPUs.

    `device_bytes` is the memory of a GPU, 0 where none is used.
    """
    usable = [node for node in nodes if not device_bytes or node.get("GPU")]
    largest = max(usable, key=lambda node: node.get("CPU", 0), default={})
    needed = PROCESS_BYTES + (0 if device_bytes else task.memory_bytes)
    memory = -(-needed // MEMORY_STEP) * MEMORY_STEP
    asked = {
        "num_cpus": max(1.0, largest.get("CPU", 1.0)) if task.alone else 1.0,
        "memory": min(memory, int(largest.get("memory", memory))),
    }
    if device_bytes:
        share = math.ceil(task.memory_bytes / device_bytes / GPU_STEP) * GPU_STEP
        asked["num_gpus"] = 1.0 if task.alone else min(1.0, max(GPU_STEP, round(share, 2)))
    return asked


def fits(asked: Mapping[str, float], nodes: Sequence[Resources]) -> bool:
    """Whether some node has all that is asked for, when nothing else is trained there."""
    return any(all(node.get(RESOURCE[option], 0) >= amount for option, amount in asked.items()) for node in nodes)
