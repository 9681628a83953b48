"""What other modules do to a module when they are loaded: `net.WIDTH = 4`, `net.configure(4)`, `@net.register`."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from optsuite.training.canonical import source
from optsuite.training.canonical.imports import absolute
from optsuite.training.canonical.own_code import is_ours, kind_of
from optsuite.training.canonical.source import file_text

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Patch:
    """A statement that reaches into a module, and the names that it reads where it stands."""

    module: str
    text: str
    names: tuple[str, ...]


def patches(modules: Sequence[str]) -> Iterator[tuple[Patch, Mapping[str, Any]]]:
    """The statements of other own modules that reach into these, with the namespaces in which they stand."""
    for name, scope, text in own_modules():
        if name in modules:
            continue
        package = scope.get("__package__")
        for patch in _reaching(text, package if isinstance(package, str) else ""):
            if any(
                other == patch.module or other.startswith(f"{patch.module}.") for other in modules
            ):
                yield patch, scope


def own_modules() -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """The loaded modules of a person's own, by name, with their namespaces and texts."""
    for name, module in sorted(sys.modules.items()):
        scope = vars(module) if type(module) is ModuleType else {}
        file = scope.get("__file__")
        if scope.get("__name__") == f"optsuite.{name}":
            continue  # a module of optsuite.benchmarks under its other name
        if (
            isinstance(file, str)
            and file.endswith(".py")
            and not is_ours(file)
            and kind_of(name, file) == "own"
        ):
            yield name, scope, file_text(file) or ""


@lru_cache(maxsize=512)
def _reaching(text: str, package: str) -> tuple[Patch, ...]:
    """The statements outside of functions that change what was imported, or call it for what it does."""
    tree = source.tree(text)
    if tree is None:
        return ()
    statements = when_loaded(tree)
    origins = dict(origins_of(tree, package))
    origins |= dict(_aliases(statements, origins))
    found = []
    for statement in statements:
        for node, reached in _acts(statement, origins):
            if isinstance(node, Definition):
                names, written = {node.name}, ""
            else:
                names, written = _names(node) - origins.keys(), ast.unparse(node)
            found += [
                Patch(origins[name], written, tuple(sorted(names)))
                for name in sorted(reached & origins.keys())
            ]
    return tuple(found)


def origins_of(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """The names that imports bind, with the modules that they are of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    (alias.asname, alias.name)
                    if alias.asname
                    else (alias.name.partition(".")[0],) * 2
                )
        elif isinstance(node, ast.ImportFrom):
            base = absolute("." * node.level + (node.module or ""), package)
            yield from ((alias.asname or alias.name, base) for alias in node.names)


def _aliases(
    statements: Sequence[ast.stmt], origins: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Other names for what was imported: `part = net.Config`, `for part in (net.Config, net.Other)`."""
    for statement in statements:
        match statement:
            case ast.Assign(targets=[target], value=ast.Name() | ast.Attribute() as value):
                found = list(roots(value))
            case ast.For(target=target, iter=value):
                found = sorted(_names(value))
            case _:
                continue
        yield from (
            (name, origins[root]) for name in _names(target) for root in found if root in origins
        )


def when_loaded(tree: ast.Module) -> list[ast.stmt]:
    """All statements that run when the module is loaded: those outside of functions, and those of functions called there."""
    functions = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found, waiting = list(_statements(tree)), list(_statements(tree))
    while waiting:
        called = {
            n.func.id
            for n in ast.walk(waiting.pop())
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        for name in sorted(called & functions.keys()):
            inside = list(_statements(functions.pop(name)))
            found += inside
            waiting += inside
    return found


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements but those inside functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, Definition | ast.Lambda):
            yield from _statements(child)


def _acts(statement: ast.stmt, origins: Mapping[str, str]) -> Iterator[tuple[ast.AST, set[str]]]:
    """The parts of a statement that may change something, with the names that they begin with.

    What is handed to installed code within an expression, as a definition's parts are, is left alone by it.
    """
    match statement:
        case ast.Assign(targets=places) | ast.Delete(targets=places):
            places = [place for place in places if not isinstance(place, ast.Name)]
        case ast.AugAssign(target=place) | ast.AnnAssign(target=place):
            places = [] if isinstance(place, ast.Name) else [place]
        case ast.Expr(value=ast.Call() as call):
            places = [call.func, *call.args, *(keyword.value for keyword in call.keywords)]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            places = statement.decorator_list
        case ast.For(iter=iterable):
            yield statement, _names(iterable)
            return
        case _:
            places = []
    if places:
        yield statement, {name for place in places for name in roots(place)}
        return
    for call in calls(statement):
        places = [call.func]
        if all(is_own(origins.get(name, "")) for name in roots(call.func)):
            places += [
                value
                for value in (*call.args, *(k.value for k in call.keywords))
                if isinstance(value, ast.Name)
            ]
        yield (
            call,
            {name for place in places for name in roots(place) if is_own(origins.get(name, ""))},
        )


def is_own(module: str) -> bool:
    """Whether a module is a person's own, or nothing that was imported."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return not module or (
        isinstance(file, str) and not is_ours(file) and kind_of(module, file) == "own"
    )


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """The calls in a statement itself, neither in statements inside it nor in what it defines."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child
        if not isinstance(child, ast.stmt | ast.Lambda):
            yield from calls(child)


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def roots(place: ast.expr) -> Iterator[str]:
    """The names that an expression begins with: `a` of `a.b[0](c)`, all of a tuple."""
    while isinstance(place, ast.Attribute | ast.Subscript | ast.Call):
        place = place.func if isinstance(place, ast.Call) else place.value
    if isinstance(place, ast.Name):
        yield place.id
    elif isinstance(place, ast.Tuple | ast.List):
        for part in place.elts:
            yield from roots(part)
