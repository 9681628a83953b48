"""Whether a function changes globals, told from its syntax."""

import ast
from collections.abc import Mapping
from types import FunctionType, ModuleType

from optsuite.training.canonical import source
from optsuite.training.canonical.own_code import function_kind
from optsuite.training.canonical.source import code_source

# Methods of containers that change them.
CHANGING = {"add", "append", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def changes_globals(function: object) -> bool:
    """Whether a function of the user's own sets a global, or fills a container that is one.

    What is done by functions that it calls is not seen.
    """
    if type(function) is not FunctionType or function_kind(function) != "own":
        return False
    tree = source.tree(code_source(function.__code__, function.__globals__))
    if tree is None:
        return False
    local = set(function.__code__.co_varnames)
    shared = {name: value for name, value in function.__globals__.items() if name not in local}
    return any(_changes(node, shared) for node in ast.walk(tree))


def _changes(node: ast.AST, shared: Mapping[str, object]) -> bool:
    match node:
        case ast.Global():
            return True
        case ast.Assign(targets=targets):
            return any(_is_inside(target, shared) for target in targets)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return _is_inside(target, shared)
        case ast.Call(func=ast.Attribute(value=value, attr=attr)):
            # torch.add changes nothing
            return attr in CHANGING and _begins_in(value, shared) and not _is_module(value, shared)
    return False


def _is_inside(target: ast.expr, shared: Mapping[str, object]) -> bool:
    """Whether it is an element or an attribute of a global."""
    return isinstance(target, ast.Subscript | ast.Attribute) and _begins_in(target, shared)


def _begins_in(value: ast.expr, shared: Mapping[str, object]) -> bool:
    """Whether it is reached from a global. What a call returns is none: `torch.ones(2).add(1)`."""
    while isinstance(value, ast.Attribute | ast.Subscript):
        value = value.value
    return isinstance(value, ast.Name) and value.id in shared


def _is_module(value: ast.expr, shared: Mapping[str, object]) -> bool:
    """Whether it is a global module, or a module within one, by its dotted name."""
    first, *rest = ast.unparse(value).split(".")
    found = shared.get(first)
    for name in rest:
        found = vars(found).get(name) if isinstance(found, ModuleType) else None
    return isinstance(found, ModuleType)
