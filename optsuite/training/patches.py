"""What other modules do to a module when they are loaded: `net.WIDTH = 4`, `net.configure(4)`, `@net.register`."""

import ast
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from optsuite.training.imports import absolute
from optsuite.training.own_code import is_ours, kind_of
from optsuite.training.source import file_text, stripped

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Patch:
    """A statement that reaches into a module, and the names that it reads where it stands."""

    module: str
    text: str
    names: tuple[str, ...]


def patches(modules: Sequence[str]) -> Iterator[tuple[Patch, Mapping[str, Any]]]:
    """The statements of other own modules that reach into these, with the namespaces in which they stand."""
    for name, module in sorted(sys.modules.items()):
        scope = vars(module) if type(module) is ModuleType else {}
        file = scope.get("__file__")
        if name in modules or not isinstance(file, str) or not file.endswith(".py"):
            continue
        if is_ours(file) or kind_of(name, file) != "own":
            continue
        package = scope.get("__package__")
        for patch in _reaching(file_text(file) or "", package if isinstance(package, str) else ""):
            if any(other == patch.module or other.startswith(f"{patch.module}.") for other in modules):
                yield patch, scope


@lru_cache(maxsize=512)
def _reaching(text: str, package: str) -> tuple[Patch, ...]:
    """The statements outside of functions that change what was imported, or call it for what it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    origins = dict(_origins(tree, package))
    found = []
    for statement in _statements(tree):
        reached = _reached(statement)
        if isinstance(statement, Definition):
            names = {statement.name}
        else:
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - origins.keys()
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        source = "" if isinstance(statement, Definition) else stripped(text).text(first, last)
        found += [Patch(origins[name], source, tuple(sorted(names))) for name in sorted(reached & origins.keys())]
    return tuple(found)


def _origins(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """The names that imports bind, with the modules that they are of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            base = absolute("." * node.level + (node.module or ""), package)
            yield from ((alias.asname or alias.name, base) for alias in node.names)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements but those inside functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, Definition | ast.Lambda):
            yield from _statements(child)


def _reached(statement: ast.stmt) -> set[str]:
    """The names that the targets, the call or the decorators of a statement begin with."""
    match statement:
        case ast.Assign(targets=places) | ast.Delete(targets=places):
            places = [place for place in places if not isinstance(place, ast.Name)]
        case ast.AugAssign(target=place) | ast.AnnAssign(target=place):
            places = [] if isinstance(place, ast.Name) else [place]
        case ast.Expr(value=ast.Call() as call):
            places = [call.func, *call.args]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            places = statement.decorator_list
        case _:
            places = []
    return {name for place in places for name in _roots(place)}


def _roots(place: ast.expr) -> Iterator[str]:
    while isinstance(place, ast.Attribute | ast.Subscript | ast.Call):
        place = place.func if isinstance(place, ast.Call) else place.value
    if isinstance(place, ast.Name):
        yield place.id
    elif isinstance(place, ast.Tuple | ast.List):
        for part in place.elts:
            yield from _roots(part)
