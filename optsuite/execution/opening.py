"""Which pool trains: worker processes of this machine, a cluster, or this process."""

import os
from contextlib import AbstractContextManager

from optsuite.definitions.suite import Suite
from optsuite.errors import BadInput
from optsuite.execution.options import ExecutionOptions
from optsuite.execution.pool import Pool
from optsuite.execution.suite_source import SuiteSource, pickled
from optsuite.training.checkpoint import Checkpoints
from optsuite.training.device import check_device


def open_pool(
    suite: str | Suite, options: ExecutionOptions, *, checkpoints: Checkpoints | None = None
) -> AbstractContextManager[Pool]:
    """The pool that trains a suite, which workers load by themselves. Raises BadInput.

    A Suite with parts that no other process can import is trained in this one.
    """
    source: SuiteSource | None = suite if isinstance(suite, str) else pickled(suite)
    if options.ray is not None:
        return _open_cluster(options.ray, source, options, checkpoints)
    if source is None:
        from optsuite.execution.inline import InlinePool

        assert isinstance(suite, Suite)
        return InlinePool(suite, device=options.device, checkpoints=checkpoints)
    from optsuite.execution.local.pool import LocalPool

    n_workers = options.workers or n_cores()
    return LocalPool(n_workers, suite=source, device=options.device, checkpoints=checkpoints)


def _open_cluster(
    address: str,
    source: SuiteSource | None,
    options: ExecutionOptions,
    checkpoints: Checkpoints | None,
) -> AbstractContextManager[Pool]:
    check_device(options.device)
    if checkpoints is not None:
        raise BadInput("--checkpoint-every cannot be combined with --ray: a cluster trains lost runs again from step 0")
    if source is None:
        raise BadInput(
            "--ray: parts of this suite were made in a notebook or in __main__, which no worker can import; "
            "put them into a module"
        )
    try:
        from optsuite.execution.ray.pool import RayPool
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise BadInput("--ray: Ray is not installed; run: pip install 'optsuite[ray]'") from None
    return RayPool(
        address,
        n_workers=options.workers,
        n_cores=n_cores(),
        suite=source,
        device=options.device,
    )


def n_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
