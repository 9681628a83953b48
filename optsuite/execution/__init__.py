"""Where training happens: in worker processes, on a cluster or inline, behind one interface.

Loads nothing slow until a pool is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optsuite.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from optsuite.definitions.suite import Suite
    from optsuite.execution.options import ExecutionOptions
    from optsuite.execution.pool import Pool
    from optsuite.execution.suite_source import SuiteSource
    from optsuite.training.checkpoint import Checkpoints


def open_pool(
    suite: str | Suite, options: ExecutionOptions, *, checkpoints: Checkpoints | None = None
) -> AbstractContextManager[Pool]:
    """The pool that trains a suite; its workers load the suite themselves. Raises InputError.

    It consists of processes on this machine, or on a cluster if the options name one. A Suite
    with parts that no other process can import is trained in this process.
    """
    from optsuite.execution.suite_source import pickled

    source = suite if isinstance(suite, str) else pickled(suite)
    if options.ray is not None:
        return _open_cluster(options.ray, source, options, checkpoints)
    if source is None:
        from optsuite.execution.inline import InlinePool

        assert not isinstance(suite, str)
        return InlinePool(suite, device=options.device, checkpoints=checkpoints)
    from optsuite.execution.local.pool import LocalPool

    n_workers = options.workers or options.n_cores
    return LocalPool(n_workers, suite=source, device=options.device, checkpoints=checkpoints)


def _open_cluster(
    address: str,
    source: SuiteSource | None,
    options: ExecutionOptions,
    checkpoints: Checkpoints | None,
) -> AbstractContextManager[Pool]:
    from optsuite.training.device import check_device

    check_device(options.device)
    if checkpoints is not None:
        raise InputError(
            "--checkpoint-every cannot be combined with --ray: "
            "a cluster trains lost runs again from step 0"
        )
    if source is None:
        raise InputError(
            "--ray: parts of this suite were made in a notebook or in __main__, "
            "which no worker can import; put them into a module"
        )
    try:
        from optsuite.execution.ray.pool import RayPool
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError("--ray: Ray is not installed; run: pip install 'optsuite[ray]'") from None
    return RayPool(
        address,
        n_workers=options.workers,
        n_cores=options.n_cores,
        suite=source,
        device=options.device,
    )
