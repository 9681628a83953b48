"""The protocol of the generators that take values apart, for `canonicalize` to describe.

They yield a part with a note of where it is, and are sent its description. They return a list that
consists of text, numbers and descriptions, in nested lists.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

Steps = Generator[tuple[object, str], Any, list[Any]]


@dataclass(frozen=True, eq=False)
class Reached:
    """A module of which all that is taken is known by name, and described beside it."""

    module: ModuleType


@cache
def reached(module: ModuleType) -> Reached:
    """The one Reached of a module, so that cycles end."""
    return Reached(module)
