"""Own code that a module registers with a library when it is loaded.

No function of a definition leads to it.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from optsuite.training.canonical import source
from optsuite.training.canonical.imports import closure
from optsuite.training.canonical.load_time import (
    Definition,
    calls,
    is_own,
    origins_of,
    roots,
    when_loaded,
)
from optsuite.training.canonical.names import public_name
from optsuite.training.canonical.own_code import Home

REGISTERING = re.compile(
    r"regist|custom_op|impl|hook|(?<!dis)patch|overrid|define|fallback", re.IGNORECASE
)


def registered(homes: Iterable[Home]) -> list[tuple[str, str]]:
    """The modules that register something, among these and their own imports, as (name, text)."""
    found = []
    for module, text in closure(homes):
        name = public_name(module)
        if name.partition(".")[0] != "optsuite" and _registers(text):
            found.append((name, text))
    return found


@lru_cache(maxsize=512)
def _registers(text: str) -> bool:
    """Whether a text hands something to an installed library.

    Such as `@register_kl(A, B)` or `library.impl("add", add)`.
    """
    if not text.startswith("text ") or not REGISTERING.search(text):
        return False
    tree = source.tree(text.removeprefix("text "))
    if tree is None:
        return False
    statements = when_loaded(tree)
    origins = dict(origins_of(tree, ""))
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            # What a library makes counts as the library's.
            made_by = _origin(statement.value, origins)
            for target in statement.targets:
                if isinstance(target, ast.Name) and made_by is not None:
                    origins[target.id] = made_by
    called: list[ast.expr] = []
    for statement in statements:
        called += _called(statement)
    return any(_is_registering(function, origins) for function in called)


def _called(statement: ast.stmt) -> list[ast.expr]:
    """The functions that a statement calls, or the decorators of a definition."""
    if not isinstance(statement, Definition):
        return [call.func for call in calls(statement)]
    found = []
    for decorator in statement.decorator_list:
        found.append(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return found


def _is_registering(function: ast.expr, origins: Mapping[str, str]) -> bool:
    """Whether a function belongs to an installed library and its name suggests registering."""
    module = _origin(function, origins)
    if module is None or public_name(module).partition(".")[0] == "optsuite" or is_own(module):
        return False
    return bool(REGISTERING.search(ast.unparse(function).rpartition(".")[2]))


def _origin(expression: ast.expr, origins: Mapping[str, str]) -> str | None:
    """The module that the first imported name of an expression is from."""
    return next((origins[name] for name in roots(expression) if name in origins), None)
