"""Starts worker processes, forked from a server that has done their imports and does nothing else.

So torch is imported once for all workers, while the caller is still importing MLflow. Where
forking is not safe, each worker is spawned.
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

# The server computes nothing and uses no GPU; its only other thread, OpenBLAS's, is fork-safe.
FORKING = sys.platform == "linux"
PRELOAD = ["optsuite.execution.local.preload"]
CONTEXT: ForkServerContext | SpawnContext
if FORKING:
    CONTEXT = multiprocessing.get_context("forkserver")
else:
    CONTEXT = multiprocessing.get_context("spawn")


def start_server() -> None:
    """Start the server, unless this process has one already; returns at once."""
    if FORKING:
        CONTEXT.set_forkserver_preload(PRELOAD)
        with _interrupts_ignored(), _safe_path():
            forkserver.ensure_running()


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that ends with this one.

    The target should ignore SIGINT first of all: the caller decides what Ctrl-C means.
    """
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
    """Start processes that Ctrl-C does not reach. Only the main thread can set this."""
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
    """Start processes that do not run the caller's script again; it may lack a `__main__` guard."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {}
    for name in ("__file__", "__spec__"):
        if name in vars(main):
            hidden[name] = vars(main).pop(name)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Start Python processes that do not import from the current folder, say a profile.py."""
    previous = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if previous is not None:
            os.environ["PYTHONSAFEPATH"] = previous
