"""Errors in the user's input, and checks that raise them. Each message is a single line."""

import difflib
import logging
import math
import multiprocessing
import sys
import traceback
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from optsuite.redact import printable, redact

LONGEST = 1_000  # characters of an error that a line and a tag in the store can hold
LONGEST_VALUE = 200  # characters of a value in an error


class InputError(ValueError):
    """Something the user wrote cannot be used, so nothing was started."""


def suggestion(name: str, choices: Iterable[str]) -> str:
    """A clause that asks whether the most similar choice is meant; empty if none is similar."""
    close = difflib.get_close_matches(name, list(choices), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class UnknownNameError(InputError):
    """A name that does not exist. The message lists the choices, and `forms` that derive others."""

    def __init__(self, what: str, name: str, choices: Iterable[str], *, forms: str = "") -> None:
        choices = sorted(choices)
        known = ", ".join(choices)
        if forms:
            known += f"; or {forms}"
        allowed = f"one of: {known}" if known else f"there is no {what} yet"
        super().__init__(f"{what}: got {name!r}, {allowed}{suggestion(name, choices)}")


class DatasetUnavailableError(InputError):
    """A dataset that is missing and cannot be downloaded, or is `damaged` in its folder."""

    def __init__(self, name: str, root: object, cause: str, *, damaged: bool = False) -> None:
        if damaged:
            problem, remedy = f"in {root} is damaged ({cause})", "remove it, or "
        else:
            problem, remedy = f"is not in {root} and could not be downloaded ({cause})", ""
        place = "set OPTSUITE_DATA to the folder that holds it"
        super().__init__(f"dataset: {name} {problem}; {remedy}{place}")


class StoreUnavailableError(Exception):
    """The store could not be written to, and waiting has not helped or would not."""


class ClusterUnavailableError(Exception):
    """The training cluster cannot be reached any more, and waiting has not helped."""


def require(condition: object, what: str, received: object, allowed: str) -> None:
    """Raise InputError naming what, received and allowed unless the condition holds."""
    if condition:
        return
    text = _shown(received)
    if len(text) >= LONGEST_VALUE:
        text = f"{text[:LONGEST_VALUE]}..."
    raise InputError(f"{what}: got {text}, allowed: {allowed}")


def _shown(received: object) -> str:
    """The repr of a value on one line, or its type if the repr fails."""
    try:
        return " ".join(repr(received).split())
    except Exception:
        return f"a {type(received).__name__}"


def require_name(what: str, name: object) -> None:
    """Raise InputError unless the name can be used in a table, a path and a message.

    Spreadsheets compute cells that start with = + - or @, and quoting them in a CSV would change
    the names for programs. The command line takes a leading dash for an option.
    """
    allowed = "1 to 100 printable characters without slashes, not starting with . = + - or @"
    require(_is_name(name), what, name, allowed)


def _is_name(name: object) -> bool:
    if not isinstance(name, str) or not 0 < len(name) <= 100:
        return False
    if name.startswith((".", "=", "+", "-", "@")) or "/" in name or "\\" in name:
        return False
    return name.isprintable() and name == name.strip()


def require_count(what: str, value: object, low: int = 1, high: int | None = None) -> None:
    """Raise InputError unless the value is a whole number from low to high."""
    allowed = f"a whole number from {low}"
    if high is not None:
        allowed += f" to {high}"
    highest = math.inf if high is None else high
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    require(is_whole and low <= value <= highest, what, value, allowed)  # type: ignore[operator]


def require_rate(what: str, value: object) -> None:
    """Raise InputError unless the value is a finite learning rate above 0."""
    is_rate = False
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_rate = math.isfinite(value) and value > 0
    require(is_rate, what, value, "a finite number above 0")


def one_line(error: BaseException) -> str:
    """The text of an error on one line, without passwords, and its type unless it is InputError."""
    try:
        text = str(error)
    except Exception:  # its own __str__ may be broken
        text = ""
    text = printable(redact(" ".join(text.split())))[:LONGEST] or "no message"
    if isinstance(error, InputError):
        return text
    return f"{type(error).__name__}: {text}"


@cache
def warn_once(message: str) -> None:
    """Warn the user in one line, once. Workers, which load the same files, do not warn."""
    if multiprocessing.parent_process() is None:
        logging.getLogger("optsuite").warning(message)


def location(error: BaseException) -> str:
    """Where in the user's own files an error arose, as ' (file.py, line 8)'; empty if elsewhere."""
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
