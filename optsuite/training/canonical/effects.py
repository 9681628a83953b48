"""Whether a function changes globals, told from its syntax."""

import ast
from types import FunctionType

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
    shared = function.__globals__.keys() - set(function.__code__.co_varnames)
    return any(_changes(node, shared) for node in ast.walk(tree))


def _changes(node: ast.AST, shared: set[str]) -> bool:
    match node:
        case ast.Global():
            return True
        case ast.Assign(targets=targets):
            return any(_is_inside(target, shared) for target in targets)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return _is_inside(target, shared)
        case ast.Call(func=ast.Attribute(value=value, attr=attr)):
            return attr in CHANGING and _root(value) in shared
    return False


def _is_inside(target: ast.expr, shared: set[str]) -> bool:
    """Whether it is an element or an attribute of a global."""
    return isinstance(target, ast.Subscript | ast.Attribute) and _root(target) in shared


def _root(value: ast.expr) -> str:
    while isinstance(value, ast.Attribute | ast.Subscript):
        value = value.value
    return value.id if isinstance(value, ast.Name) else ""
