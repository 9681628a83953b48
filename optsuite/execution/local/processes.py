"""How worker processes come to be: forked from a server that has imported what they need, and does nothing else.

So torch is imported once, however many workers there are, and while the caller still imports MLflow. Where forking is not
safe, each worker starts from nothing.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

# The server computes nothing and uses no GPU; its only other thread is OpenBLAS's, which knows how to be forked.
FORKING = sys.platform == "linux"
PRELOAD = ["optsuite.execution.local.preload"]
CONTEXT: ForkServerContext | SpawnContext = (
    multiprocessing.get_context("forkserver") if FORKING else multiprocessing.get_context("spawn")
)


def start_server() -> None:
    """Start the server, unless this process has one, whoever started it; returns at once."""
    if FORKING:
        CONTEXT.set_forkserver_preload(PRELOAD)
        with _interrupts_ignored(), _safe_path():
            forkserver.ensure_running()


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that ends with this one. It should ignore SIGINT first of all: the caller says what Ctrl-C means."""
    start_server()
    process = CONTEXT.Process(target=target, args=arguments, daemon=True)
    with _main_hidden():
        if FORKING:
            process.start()  # waits for the server's imports, in which Ctrl-C must reach the caller
        else:
            with _interrupts_ignored():
                process.start()
    return process


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, as far as Python lets a thread say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Start processes that do not run the caller's script again, which may have no guard against that."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {
        name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)
    }
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Start Python processes that do not look for modules in the current folder, where a person's profile.py may lie."""
    previous = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if previous is not None:
            os.environ["PYTHONSAFEPATH"] = previous
