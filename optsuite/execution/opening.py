"""Which pool trains: worker processes of this machine, or a cluster."""

import os
from contextlib import AbstractContextManager

from optsuite.errors import BadInput
from optsuite.execution.pool import Pool
from optsuite.training.check import check_device
from optsuite.training.checkpoint import Checkpoints


def open_pool(
    cluster: str | None, n_workers: int | None, *, suite: str, device: str, checkpoints: Checkpoints | None = None
) -> AbstractContextManager[Pool]:
    """The pool at the address of a Ray cluster, or `auto`; of worker processes where it is None. Raises BadInput.

    There is a worker for each core or CPU where their number is None.
    """
    if cluster is None:
        from optsuite.execution.local import LocalPool

        return LocalPool(n_workers or n_cores(), suite=suite, device=device, checkpoints=checkpoints)
    check_device(device)
    if checkpoints is not None:
        raise BadInput("--checkpoint-every: got it with --ray, allowed: without; a cluster trains what is lost from its start")
    try:
        from optsuite.execution.ray import RayPool
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        allowed = "an address once Ray is installed: pip install 'optsuite[ray]'"
        raise BadInput(f"--ray: got {cluster!r}, but there is no Ray here; allowed: {allowed}") from None
    return RayPool(cluster, n_workers=n_workers, n_cores=n_cores(), suite=suite, device=device)


def n_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
