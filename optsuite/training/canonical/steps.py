"""The protocol of the generators that take values apart, for `canonicalize` to describe.

They yield a part with a note of where it is, and are sent its description. They return a list that
consists of text, numbers and descriptions, in nested lists.
"""

from collections.abc import Generator
from typing import Any

Steps = Generator[tuple[object, str], Any, list[Any]]
