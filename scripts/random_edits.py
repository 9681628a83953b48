"""Every small edit of some Python files: of a constant, of an operator, or of a whole line."""

import ast
import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.GtE,
    ast.Gt: ast.LtE,
    ast.Eq: ast.NotEq,
    ast.Pow: ast.Mult,
}


def all_edits(sources: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Every edit of every file: the file, what is edited, and the text afterwards."""
    for file, text in sources.items():
        tree = ast.parse(text)
        for position, node in enumerate(ast.walk(tree)):
            for what, change in changes(node):
                edited = copy.deepcopy(tree)
                twin = next(own for i, own in enumerate(ast.walk(edited)) if i == position)
                change(twin)
                yield (
                    file,
                    f"line {getattr(node, 'lineno', '?')}: {what}",
                    ast.unparse(ast.fix_missing_locations(edited)),
                )


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """What may be done to one node."""
    match node:
        case ast.Constant(value=bool() as flag):
            yield f"{flag} -> {not flag}", partial(_set, "value", not flag)
        case ast.Constant(value=int() | float() as number):
            for value in (number + 1, number * 2):
                yield f"{number} -> {value}", partial(_set, "value", value)
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            other = SWAPS[type(op)]
            yield f"{type(op).__name__} -> {other.__name__}", partial(_set, "op", other())
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            other = SWAPS[type(op)]
            yield f"{type(op).__name__} -> {other.__name__}", partial(_set, "ops", [other()])
        case ast.FunctionDef() | ast.If() | ast.For() | ast.With():
            for i, line in enumerate(node.body):
                is_deletable = isinstance(line, ast.Assign | ast.AugAssign | ast.Expr | ast.If)
                if is_deletable and not _is_text(line):
                    yield f"delete {ast.unparse(line)[:50]!r}", partial(_delete, i)


def _set(name: str, value: object, node: Any) -> None:
    setattr(node, name, value)


def _delete(i: int, node: Any) -> None:
    node.body[i] = ast.Pass()


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
