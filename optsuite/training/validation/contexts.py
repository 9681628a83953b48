"""Contexts in which definitions are tried: errors become InputError, and time is limited."""

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optsuite.errors import InputError, one_line


@contextmanager
def error_context(culprit: str) -> Iterator[None]:
    """Turn any error inside into an InputError whose message begins with the culprit.

    torch's warning about shapes that broadcast counts as an error.
    """
    try:
        with warnings.catch_warnings():
            # A loss that broadcasts is wrong.
            warnings.filterwarnings("error", message=".*target size.*")
            yield
    except InputError as error:
        named = error if str(error).startswith("dataset:") else InputError(f"{culprit} {error}")
        raise named from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{culprit} raised {one_line(error)}") from error


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside after this time.

    No limit applies outside the main thread, or where the platform has no alarms.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "setitimer"):
        yield
        return

    def expire(number: int, frame: object) -> None:
        raise TimeoutError(f"it did not end within {seconds:.0f} seconds")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
