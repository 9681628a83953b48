"""What runs when a module is loaded, told from its syntax: statements, calls, imported names."""

import ast
import sys
from collections.abc import Iterator

from optsuite.training.canonical.import_scan import absolute
from optsuite.training.canonical.own_code import is_ours, kind_of

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def when_loaded(tree: ast.Module) -> list[ast.stmt]:
    """All statements that run when the module is loaded.

    These are the statements outside of functions, and those of functions that are called there.
    """
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions[node.name] = node
    found = list(_statements(tree))
    waiting = list(found)
    while waiting:
        called = _called_names(waiting.pop())
        for name in sorted(called & functions.keys()):
            inside = list(_statements(functions.pop(name)))
            found += inside
            waiting += inside
    return found


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements except those inside functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, Definition | ast.Lambda):
            yield from _statements(child)


def _called_names(statement: ast.stmt) -> set[str]:
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
    return found


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """The calls in a statement itself, neither in statements inside it nor in what it defines."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child
        if not isinstance(child, ast.stmt | ast.Lambda):
            yield from calls(child)


def origins_of(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """The names that imports bind in a module of that package, each with the module it is from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom):
            base = absolute("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield alias.asname or alias.name, base


def is_own(module: str) -> bool:
    """Whether a module is the user's own. So is an empty name, of what was not imported."""
    if not module:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return isinstance(file, str) and not is_ours(file) and kind_of(module, file) == "own"


def names_in(node: ast.AST) -> set[str]:
    """All names in an expression or a statement."""
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
