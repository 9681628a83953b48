"""Own code that was registered with a library when its module was loaded, which no function of a definition leads to."""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from optsuite.training.canonical import source
from optsuite.training.canonical.imports import closure
from optsuite.training.canonical.names import public_name
from optsuite.training.canonical.own_code import Home
from optsuite.training.canonical.patches import calls, is_own, origins_of, roots, when_loaded

REGISTERING = re.compile(
    r"regist|custom_op|impl|hook|(?<!dis)patch|overrid|define|fallback", re.IGNORECASE
)


def registered(homes: Iterable[Home]) -> list[tuple[str, str]]:
    """The texts of those modules that register something, by name, among these and all own modules that they import."""
    found = []
    for module, text in closure(homes):
        name = public_name(module)
        if name.partition(".")[0] != "optsuite" and _registers(text):
            found.append((name, text))
    return found


@lru_cache(maxsize=512)
def _registers(text: str) -> bool:
    """Whether a text hands something to an installed library: `@register_kl(A, B)`, `library.impl("add", add)`."""
    if not text.startswith("text ") or not REGISTERING.search(text):
        return False
    tree = source.tree(text.removeprefix("text "))
    if tree is None:
        return False
    statements = when_loaded(tree)
    origins = dict(origins_of(tree, ""))
    for statement in statements:  # what a library has made is the library's
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            made_by = [origins[name] for name in roots(statement.value) if name in origins]
            origins |= {
                target.id: made_by[0]
                for target in statement.targets
                if isinstance(target, ast.Name) and made_by
            }
    return any(
        _is_registering(call, origins) for statement in statements for call in _called(statement)
    )


def _called(statement: ast.stmt) -> list[ast.expr]:
    """What a statement calls, or decorates with."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [d.func if isinstance(d, ast.Call) else d for d in statement.decorator_list]
    return [call.func for call in calls(statement)]


def _is_registering(function: ast.expr, origins: Mapping[str, str]) -> bool:
    module = next((origins[name] for name in roots(function) if name in origins), None)
    if module is None or public_name(module).partition(".")[0] == "optsuite" or is_own(module):
        return False
    return bool(REGISTERING.search(ast.unparse(function).rpartition(".")[2]))
