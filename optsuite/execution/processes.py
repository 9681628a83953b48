"""How worker processes come to be: forked from a server that has imported what they need, and does nothing else.

So torch is imported once, however many workers there are, and while the caller still imports MLflow. Where forking is not
safe, each worker starts from nothing.
"""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

FORKING = sys.platform == "linux"  # with threads or a GPU in use a fork deadlocks; the server has neither
IMPORTS = ["optsuite.execution.worker", "torch._dynamo", "sklearn.datasets"]  # torch imports the second with its first step
CONTEXT: ForkServerContext | SpawnContext = (
    multiprocessing.get_context("forkserver") if FORKING else multiprocessing.get_context("spawn")
)


def start_server() -> None:
    """Start the server, unless it runs; returns at once."""
    if FORKING:
        CONTEXT.set_forkserver_preload(IMPORTS)
        with _interrupts_ignored():
            forkserver.ensure_running()


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that ends with this one, and that Ctrl-C does not reach."""
    start_server()
    with _interrupts_ignored():
        process = CONTEXT.Process(target=target, args=arguments, daemon=True)
        process.start()
    return process


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: the driver alone decides what an interruption means."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
