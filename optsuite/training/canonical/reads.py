"""What code reads by name: globals and their attributes, imports, and what no name shows."""

import dis
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from optsuite.training.canonical.import_scan import LOADERS
from optsuite.training.canonical.source import codes

GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
ASIDE = {"CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "NOT_TAKEN"}
# Built-in functions that reach what has no name in the code.
HIDING = {"globals", "locals", "vars", "eval", "exec", "compile", "__import__"}
SCOPE = {"__builtins__", "__spec__", "__loader__", "__path__", "__dict__", "__annotations__"}
# Attributes that lead to what has no name in the code.
REACHING = {
    "__globals__",
    "f_globals",
    "f_locals",
    "f_back",
    "__subclasses__",
    "currentframe",
    "getmodule",
    "get_objects",
    "_getframe",
}
# Modules whose users load others by any name.
LOADING = {
    "importlib",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "runpy",
    "pkgutil",
    "imp",
    "zipimport",
    "builtins",
    "pydoc",
    "pickle",
    "_pickle",
    "unittest",
}


@dataclass(frozen=True)
class Reads:
    """What code reads.

    `names` are globals with the chains of attributes taken from them, `imports` are modules with
    the names taken from them, and `attributes` are all names of attributes.
    """

    names: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    imports: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)

    def hides(self, scope: Mapping[str, Any]) -> bool:
        """Whether the code reaches what has no name in it: its namespace, or modules by any name.

        `scope` holds the globals.
        """
        if any(name in HIDING and name not in scope for name in self.names):
            return True
        if self.names.keys() & SCOPE or self.attributes & (REACHING | LOADERS - HIDING):
            return True
        if any(name.lstrip(".").partition(".")[0] in LOADING for name, _ in self.imports):
            return True
        read = [(scope[name], chains) for name, chains in self.names.items() if name in scope]
        return any(_reaches(value, chains) for value, chains in read)


def _reaches(value: object, chains: set[tuple[str, ...]]) -> bool:
    """Whether a global gives access to modules by any name."""
    if value is sys.modules:
        return True
    if isinstance(value, ModuleType):
        name = str(vars(value).get("__name__"))
        if name == "sys":
            return any(not chain or chain[0] in ("modules", "_getframe") for chain in chains)
        return name.partition(".")[0] in LOADING
    if type(value) not in (FunctionType, BuiltinFunctionType, type):
        return False
    module = value.__module__
    return isinstance(module, str) and module.partition(".")[0] in LOADING - {"builtins"}


@lru_cache(maxsize=4096)
def reads(code: CodeType) -> Reads:
    """What the code and all that is defined inside it read."""
    found = Reads()
    for part in codes(code):
        found.attributes.update(part.co_names)
        steps = [step for step in dis.get_instructions(part) if step.opname not in ASIDE]
        for i, step in enumerate(steps):
            if step.opname in GLOBALS:
                found.names.setdefault(step.argval, set()).add(_chain(steps, i + 1))
            elif step.opname == "IMPORT_NAME":
                # The two instructions before it load the level and the names that are taken.
                level, taken = steps[i - 2].argval, steps[i - 1].argval
                found.imports.append(("." * int(level or 0) + step.argval, tuple(taken or ())))
    return found


def _chain(steps: list[dis.Instruction], start: int) -> tuple[str, ...]:
    """The names of the attributes that are taken one after another."""
    end = start
    while end < len(steps) and steps[end].opname in ATTRIBUTES:
        end += 1
    return tuple(step.argval for step in steps[start:end])
