"""What the parts of optsuite define, independent of how their files are arranged."""

import importlib
import sys
from types import MappingProxyType
from typing import Any

from optsuite.training.canonical.reads import is_plain


def contents(part: str) -> dict[str, list[Any]]:
    """What a part of optsuite defines, by name, in any of its files.

    These are functions, classes, registries, and plain values.
    """
    whole = f"optsuite.{part}"
    importlib.import_module(whole)
    found: dict[str, list[Any]] = {}
    for name in sorted(sys.modules):
        if name != whole and not name.startswith(f"{whole}."):
            continue
        for key, value in vars(sys.modules[name]).items():
            known = found.get(key, [])
            is_new = not key.startswith("__") and all(value is not other for other in known)
            if is_new and _is_content(value, whole):
                found[key] = [*known, value]
    return dict(sorted(found.items()))


def _is_content(value: Any, whole: str) -> bool:
    """Whether a part of optsuite defines the value, rather than imports it."""
    home = getattr(value, "__module__", None)
    if callable(value) and isinstance(home, str):
        return f"{home}.".startswith(f"{whole}.")
    return type(value) in (tuple, MappingProxyType) or is_plain(value)
