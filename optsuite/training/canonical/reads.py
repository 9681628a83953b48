"""What a function reads by name: globals, what it takes from modules, what it imports, and what no name shows."""

import ast
import dis
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from optsuite.training.canonical import source
from optsuite.training.canonical.imports import LOADERS
from optsuite.training.canonical.own_code import kind_of
from optsuite.training.canonical.source import codes, file_text

GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
ASIDE = {"CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "NOT_TAKEN"}
HIDING = {
    "globals",
    "locals",
    "vars",
    "eval",
    "exec",
    "compile",
    "__import__",
}  # builtins that reach what has no name here
SCOPE = {"__builtins__", "__spec__", "__loader__", "__path__", "__dict__", "__annotations__"}
REACHING = {  # attributes that lead to what has no name here
    *(
        "__globals__",
        "f_globals",
        "f_locals",
        "f_back",
        "__subclasses__",
        "currentframe",
        "getmodule",
        "get_objects",
        "_getframe",
    ),
}
LOADING = {  # modules whose users load others by any name
    *(
        "importlib",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "runpy",
        "pkgutil",
        "imp",
        "zipimport",
        "builtins",
    ),
    *("pydoc", "pickle", "_pickle", "unittest"),
}
MANY = 10_000  # elements of a constant that are compared


@dataclass(frozen=True)
class Reads:
    """Each global by name, with the chains of attributes that are taken from it; imports as (name, names taken)."""

    names: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    imports: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)

    def hides(self, scope: Mapping[str, Any]) -> bool:
        """Whether something is reached that has no name here: the namespace as a mapping, or modules by any name."""
        if any(name in HIDING and name not in scope for name in self.names):
            return True
        if (
            self.names.keys() & SCOPE
            or self.attributes & (REACHING | LOADERS - HIDING)
            or any(name.lstrip(".").partition(".")[0] in LOADING for name, _ in self.imports)
        ):
            return True
        return any(
            _reaches(scope[name], chains) for name, chains in self.names.items() if name in scope
        )


def _reaches(value: object, chains: set[tuple[str, ...]]) -> bool:
    """Whether a global gives access to modules by any name."""
    if value is sys.modules:
        return True
    if isinstance(value, ModuleType):
        name = str(vars(value).get("__name__"))
        if name == "sys":
            return any(not c or c[0] in ("modules", "_getframe") for c in chains)
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
                level, taken = steps[i - 2].argval, steps[i - 1].argval
                found.imports.append(("." * int(level or 0) + step.argval, tuple(taken or ())))
    return found


def _chain(steps: list[dis.Instruction], start: int) -> tuple[str, ...]:
    """The names of the attributes that are taken one after another."""
    end = start
    while end < len(steps) and steps[end].opname in ATTRIBUTES:
        end += 1
    return tuple(step.argval for step in steps[start:end])


def replaced(name: str) -> dict[str, Any]:
    """What a loaded own module holds that is not what its text says, as others have set it: plain values and functions.

    Only what the text says plainly can be compared; what is the same there tells nothing that the text does not.
    """
    module = sys.modules.get(name)
    scope = vars(module) if type(module) is ModuleType else {}
    file = scope.get("__file__")
    text = file_text(file) if isinstance(file, str) and kind_of(name, file) == "own" else None
    if not text:
        return {}
    found = _bindings(text)
    values = {}
    for key, value in sorted(scope.items()):
        if key in found.literals:
            differs = is_plain(value) and repr(value) != repr(found.literals[key])
        elif key in found.functions:
            differs = isinstance(value, FunctionType) and value.__code__.co_filename != file
        else:
            strange = key not in found.known and not found.star and not key.startswith("__")
            differs = strange and (is_plain(value) or isinstance(value, FunctionType))
        if differs:
            values[key] = value
    return values


@dataclass(frozen=True)
class _Bindings:
    """The literal values and the functions that a module's text sets once and for all, and all names that it binds."""

    literals: dict[str, Any] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    star: bool = True  # whether it binds others, by an import of all


@lru_cache(maxsize=512)
def _bindings(text: str) -> _Bindings:
    tree = source.tree(text)
    if tree is None:
        return _Bindings()
    bound: list[str] = []
    moving: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Global():
                moving |= set(node.names)
            case ast.Name(ctx=ast.Store() | ast.Del()):
                bound.append(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound.append(node.name)
            case ast.Import() | ast.ImportFrom():
                bound += [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    literals: dict[str, Any] = {}
    functions: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = statement.value
                with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    if bound.count(name) == 1 and name not in moving and value is not None:
                        literals[name] = ast.literal_eval(value)
            case ast.FunctionDef(name=name, decorator_list=[]) if (
                bound.count(name) == 1 and name not in moving
            ):
                functions.add(name)
    known = frozenset({*bound, *moving})
    return _Bindings(
        literals=literals, functions=frozenset(functions), known=known, star="*" in known
    )


def is_plain(value: object) -> bool:
    """Whether it is of numbers, text and containers of these alone."""
    waiting: list[Any] = [value]
    for _ in range(MANY):
        if not waiting:
            return True
        part = waiting.pop()
        if type(part) is dict:
            waiting += [*part, *part.values()]
        elif type(part) in (list, tuple, set, frozenset):
            waiting += part
        elif type(part) not in (int, float, str, bytes, bool, complex, type(None)):
            return False
    return False
