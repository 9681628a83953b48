"""What the parts of optsuite define, independent of how their files are arranged."""

import importlib
import sys
from types import MappingProxyType
from typing import Any

from optsuite.training.canonical.imports import closure
from optsuite.training.canonical.own_code import home_of_module
from optsuite.training.canonical.replaced import is_plain


def contents(part: str) -> dict[str, list[Any]]:
    """The functions, classes, registries and plain values of a part of optsuite, by name.

    The name of its file plays no role; a name that several files define has several values. Only
    the modules that the part itself imports count, whatever else this process has loaded.
    """
    whole = f"optsuite.{part}"
    package = importlib.import_module(whole)
    imported = {name for name, _ in closure([home_of_module(vars(package))])}
    found: dict[str, list[Any]] = {}
    for name in sorted(imported & sys.modules.keys()):
        if name != whole and not name.startswith(f"{whole}."):
            continue
        for key, value in vars(sys.modules[name]).items():
            known = found.get(key, [])
            is_new = all(value is not other for other in known)
            if is_new and not key.startswith("__") and _is_content(value, whole):
                found[key] = [*known, value]
    return dict(sorted(found.items()))


def _is_content(value: Any, whole: str) -> bool:
    """Whether a part of optsuite defines the value, rather than imports it."""
    home = getattr(value, "__module__", None)
    if callable(value) and isinstance(home, str):
        return f"{home}.".startswith(f"{whole}.")
    return type(value) in (tuple, MappingProxyType) or is_plain(value)
