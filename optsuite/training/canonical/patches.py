"""What modules do to others when they are loaded: `net.WIDTH = 4`, `net.configure(4)`."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from optsuite.training.canonical import source
from optsuite.training.canonical.load_time import (
    Definition,
    calls,
    is_own,
    names_in,
    origins_of,
    roots,
    when_loaded,
)
from optsuite.training.canonical.own_code import is_ours, kind_of
from optsuite.training.canonical.texts import file_text


@dataclass(frozen=True)
class Patch:
    """A statement that reaches into a module, and the names that it reads from its own module."""

    module: str
    text: str
    names: tuple[str, ...]


def patches(modules: Sequence[str]) -> Iterator[tuple[Patch, Mapping[str, Any]]]:
    """The statements of the other own modules that reach into these, with their namespaces."""
    for name, scope, text in own_modules():
        if name in modules:
            continue
        package = scope.get("__package__")
        for patch in _reaching(text, package if isinstance(package, str) else ""):
            if any(_holds(patch.module, module) for module in modules):
                yield patch, scope


def _holds(package: str, module: str) -> bool:
    """Whether a module is that package, or lies inside it."""
    return module == package or module.startswith(f"{package}.")


def own_modules() -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """The loaded modules of the user, by name, with their namespaces and texts."""
    for name, module in sorted(sys.modules.items()):
        if type(module) is not ModuleType:
            continue
        scope = vars(module)
        if scope.get("__name__") == f"optsuite.{name}":
            continue  # a module of optsuite.benchmarks under its second name
        file = scope.get("__file__")
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        if not is_ours(file) and kind_of(name, file) == "own":
            yield name, scope, file_text(file) or ""


@lru_cache(maxsize=512)
def _reaching(text: str, package: str) -> tuple[Patch, ...]:
    """The statements that run on loading and change what was imported, or call it for an effect."""
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
                names, written = names_in(node) - origins.keys(), ast.unparse(node)
            for name in sorted(reached & origins.keys()):
                found.append(Patch(origins[name], written, tuple(sorted(names))))
    return tuple(found)


def _aliases(
    statements: Sequence[ast.stmt], origins: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Further names for imports: `part = net.Config`, `for part in (net.Config, net.Other)`."""
    for statement in statements:
        match statement:
            case ast.Assign(targets=[target], value=ast.Name() | ast.Attribute() as value):
                found = list(roots(value))
            case ast.For(target=target, iter=value):
                found = sorted(names_in(value))
            case _:
                continue
        for name in names_in(target):
            for root in found:
                if root in origins:
                    yield name, origins[root]


def _acts(statement: ast.stmt, origins: Mapping[str, str]) -> Iterator[tuple[ast.AST, set[str]]]:
    """The parts of a statement that may change something, with the names that they begin with.

    Installed code does not change what it is handed within an expression.
    """
    if isinstance(statement, ast.For):
        yield statement, names_in(statement.iter)
        return
    places = _changed(statement)
    if places:
        yield statement, {name for place in places for name in roots(place)}
        return
    for call in calls(statement):
        reached = set(roots(call.func))
        if all(is_own(origins.get(name, "")) for name in reached):
            for argument in _arguments(call):
                if isinstance(argument, ast.Name):
                    reached.add(argument.id)
        yield call, {name for name in reached if is_own(origins.get(name, ""))}


def _changed(statement: ast.stmt) -> list[ast.expr]:
    """What a statement may change: the places that it sets, what it calls, and the arguments."""
    match statement:
        case ast.Assign(targets=places) | ast.Delete(targets=places):
            return [place for place in places if not isinstance(place, ast.Name)]
        case ast.AugAssign(target=place) | ast.AnnAssign(target=place):
            return [] if isinstance(place, ast.Name) else [place]
        case ast.Expr(value=ast.Call() as call):
            return [call.func, *_arguments(call)]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return statement.decorator_list
    return []


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]
