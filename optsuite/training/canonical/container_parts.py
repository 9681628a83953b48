"""Plain values and containers of values, as generators: see `steps`."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from optsuite.training.canonical.steps import Steps


class OpaqueError(Exception):
    """A value whose content cannot be described."""


class Apart:
    """A part that is described independently of the parts before it, since a set has no order."""

    def __init__(self, value: object) -> None:
        self.value = value


def scalar(value: Any) -> str | None:
    """A plain number, text or constant, in full; None for anything else."""
    kind = type(value)
    if kind is str:
        return f"str {value}"
    if kind is int:
        return f"int {value:x}"
    if kind is float:
        return f"float {value.hex()}"
    if kind is bool or value is None or value is Ellipsis or value is NotImplemented:
        return repr(value)
    if kind is complex:
        return f"complex {value.real.hex()} {value.imag.hex()}"
    if kind is bytes:
        return f"bytes {value.hex()}"
    if kind is range:
        return f"range {value.start:x} {value.stop:x} {value.step:x}"
    if kind is np.float64:
        # With float32 it gives a dtype that differs from that of a float.
        return f"numpy float64 {float(value).hex()}"
    return None


def is_absolute(value: Any) -> bool:
    """Whether it is text that may be an absolute path, which names a place on this machine."""
    return type(value) is str and (value[:1] in ("/", "\\") or value[1:3] in (":/", ":\\"))


def each(values: Iterable[Any]) -> Steps:
    """The elements in their order."""
    parts = []
    for value in values:
        plain = None if is_absolute(value) else scalar(value)
        parts.append(plain or (yield value, "element"))
    return parts


def pairs(items: Iterable[tuple[Any, Any]]) -> Steps:
    """The keys and values in their order, on which random draws may depend."""
    parts = []
    for key, value in items:
        where = f"element {key!r:.40}" if type(key) in (str, int) else "element"
        parts.append([(yield key, "key"), (yield value, where)])
    return parts
