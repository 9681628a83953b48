"""What others have set in a module after it was loaded, told by comparison with its text."""

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

from optsuite.training.canonical import source
from optsuite.training.canonical.own_code import kind_of
from optsuite.training.canonical.texts import file_text

MANY = 10_000  # elements of a constant that are compared


def replaced(name: str) -> dict[str, Any]:
    """The plain values and functions in a loaded own module that differ from its text, by name.

    Only literal values and functions can be compared; those that are equal add nothing to the text.
    """
    module = sys.modules.get(name)
    scope = vars(module) if type(module) is ModuleType else {}
    file = scope.get("__file__")
    if not isinstance(file, str) or kind_of(name, file) != "own":
        return {}
    text = file_text(file)
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
            is_unknown = key not in found.known and not found.star and not key.startswith("__")
            differs = is_unknown and (is_plain(value) or isinstance(value, FunctionType))
        if differs:
            values[key] = value
    return values


@dataclass(frozen=True)
class _Bindings:
    """The literal values and the functions that a text binds exactly once, and all bound names."""

    literals: dict[str, Any] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    star: bool = True  # whether `import *` binds names that the text does not show


@lru_cache(maxsize=512)
def _bindings(text: str) -> _Bindings:
    tree = source.tree(text)
    if tree is None:
        return _Bindings()
    bound: list[str] = []
    moving: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            moving |= set(node.names)
        bound += _bound_by(node)
    literals: dict[str, Any] = {}
    functions: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = statement.value
                if bound.count(name) > 1 or name in moving or value is None:
                    continue
                with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    literals[name] = ast.literal_eval(value)
            case ast.FunctionDef(name=name, decorator_list=[]):
                if bound.count(name) == 1 and name not in moving:
                    functions.add(name)
    known = frozenset({*bound, *moving})
    return _Bindings(literals, frozenset(functions), known, star="*" in known)


def _bound_by(node: ast.AST) -> Iterator[str]:
    """The names that a node binds itself, not by what is inside it."""
    match node:
        case ast.Name(ctx=ast.Store() | ast.Del()):
            yield node.id
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            for alias in node.names:
                yield (alias.asname or alias.name).partition(".")[0]


def is_plain(value: object) -> bool:
    """Whether it consists of numbers, text and containers of these alone."""
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
