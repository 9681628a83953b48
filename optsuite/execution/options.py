"""Where and how a command trains. Loads nothing slow."""

import os
from dataclasses import dataclass

ENGINE_CHOICES = ("auto", "plain", "stacked")


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Where and how to train.

    `workers` is the number of worker processes; None means one per core. `ray` is the address of
    a Ray cluster to train on instead: HOST:PORT, or "auto" for a running one, else a local one.
    `device` is a torch device name. `engine` is "auto", "plain" or "stacked". Runs trained one by
    one save a checkpoint every `checkpoint_every` steps. Unless `trust_store`, one stored run of
    each study is trained again before its results are reused.
    """

    workers: int | None = None
    ray: str | None = None
    device: str = "cpu"
    engine: str = "auto"
    checkpoint_every: int | None = None
    trust_store: bool = False

    @property
    def n_cores(self) -> int:
        """The cores that this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
