"""What can be wrong with what a person hands in. Each error's text is one line: what, received, allowed."""

import difflib
import logging
import math
import multiprocessing
import re
import sys
import traceback
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from optsuite.redact import printable, redact

LONGEST = 1_000  # characters of an error that a line and a tag in the store can take


class InputError(ValueError):
    """Something a person wrote cannot be used; nothing has been started because of it."""


class UnknownNameError(InputError):
    """A name that is in no list. The message names the true choices, and what may be made of them."""

    def __init__(self, what: str, name: str, choices: Iterable[str], *, forms: str = "") -> None:
        known = ", ".join(sorted(choices)) + (f"; or {forms}" if forms else "")
        close = difflib.get_close_matches(name, list(choices), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        super().__init__(
            f"{what}: got {name!r}, "
            + (f"one of: {known}{hint}" if known else f"there is no {what} yet")
        )


class DatasetUnavailableError(InputError):
    """A dataset that is neither where datasets lie nor can be downloaded, or is `damaged` there."""

    def __init__(self, name: str, root: object, cause: str, *, damaged: bool = False) -> None:
        state = (
            f"in {root} is damaged ({cause})"
            if damaged
            else f"is not in {root} and could not be downloaded ({cause})"
        )
        remedy = "remove it, or " if damaged else ""
        super().__init__(
            f"dataset: {name} {state}; {remedy}set OPTSUITE_DATA to the folder that holds it"
        )


class StoreUnavailableError(Exception):
    """The store could not be written to, and waiting has not helped or would not."""


class ClusterUnavailableError(Exception):
    """The cluster that trains cannot be reached any more, and waiting has not helped."""


def require(condition: object, what: str, received: object, allowed: str) -> None:
    """Raise InputError naming what, received and allowed unless the condition holds."""
    if not condition:
        text = _shown(received)
        raise InputError(
            f"{what}: got {text if len(text) < 200 else text[:200] + '...'}, allowed: {allowed}"
        )


def _shown(received: object) -> str:
    """The value as Python writes it, on one line; its type where it cannot be written."""
    try:
        return " ".join(repr(received).split())
    except Exception:
        return f"a {type(received).__name__}"


def require_name(what: str, name: object) -> None:
    """Raise InputError unless the name can stand in a table, a path and a message.

    Spreadsheets compute what starts with = + - or @, and a CSV that marked it as text would give other names to programs; the
    command line takes a dash for an option.
    """
    usable = (
        isinstance(name, str)
        and name.isprintable()
        and name == name.strip()
        and 0 < len(name) <= 100
    )
    usable = (
        usable
        and not re.search(r"[/\\]", str(name))
        and not str(name).startswith((".", "=", "+", "-", "@"))
    )
    require(
        usable,
        what,
        name,
        "1 to 100 printable characters without slashes, not starting with . = + - or @",
    )


def require_count(what: str, value: object, low: int = 1, high: int | None = None) -> None:
    """Raise InputError unless the value is a whole number from low to high."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    bound = f"a whole number from {low}" + (f" to {high}" if high is not None else "")
    require(whole and low <= value and (high is None or value <= high), what, value, bound)  # type: ignore[operator]


def require_rate(what: str, value: object) -> None:
    """Raise InputError unless the value is a finite learning rate above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    require(number and math.isfinite(value) and value > 0, what, value, "a finite number above 0")  # type: ignore


def one_line(error: BaseException) -> str:
    """The error as a single line: its type, unless it is bad input that speaks for itself, and its text without passwords."""
    try:
        text = str(error)
    except Exception:  # its own __str__ may be broken
        text = ""
    text = printable(redact(" ".join(text.split())))[:LONGEST] or "no message"
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


@cache
def warn_once(message: str) -> None:
    """Warn the person in one line, once in the process that they started; workers, which load the same files, do not."""
    if multiprocessing.parent_process() is None:
        logging.getLogger("optsuite").warning(message)


def location(error: BaseException) -> str:
    """Where in a person's own files the error arose, as ' (file.py, line 8)'; empty when nowhere there."""
    ours = Path(__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        installed = "site-packages" in file.parts or frame.filename.startswith(sys.base_prefix)
        if file.is_file() and not installed and ours not in file.parents:
            return f" ({file.name}, line {frame.lineno})"
    return ""


FORMER_NAMES = {  # accepted until 0.4
    "BadInput": InputError,
    "UnknownName": UnknownNameError,
    "DatasetUnavailable": DatasetUnavailableError,
    "StoreLost": StoreUnavailableError,
    "ClusterLost": ClusterUnavailableError,
}


def __getattr__(name: str) -> type[Exception]:
    if name not in FORMER_NAMES:
        raise AttributeError(f"module 'optsuite.errors' has no attribute {name!r}")
    error = FORMER_NAMES[name]
    warnings.warn(f"{name} is now {error.__name__}", DeprecationWarning, stacklevel=2)
    return error
