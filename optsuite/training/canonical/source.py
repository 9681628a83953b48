"""The source of functions and classes, found in the text of their file, and bytecode as text."""

import ast
import linecache
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType
from typing import Any, TypeVar

from optsuite.training.canonical.texts import bare_text, file_text, stripped

T = TypeVar("T")
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Position = tuple[int, int]  # line and column
N_FILES = 512  # texts that are kept, parsed


def tree(text: str) -> ast.Module | None:
    """The syntax tree of a text; None if it is not Python. Shows no warnings about the text."""
    return _unless_broken(lambda: ast.parse(text))


def _unless_broken(read: Callable[[], T]) -> T | None:
    """The result of `read`, which parses a text; None if the text is not Python."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read()
    return None


@dataclass(frozen=True)
class Parsed:
    """What a text defines.

    Functions and lambdas by first line, classes by qualified name, code by name and first line.
    """

    functions: dict[int, list[Function]] = field(default_factory=dict)
    classes: dict[str, list[ast.ClassDef]] = field(default_factory=dict)
    codes: dict[tuple[str, int], list[CodeType]] = field(default_factory=dict)


@lru_cache(maxsize=N_FILES)
def parsed(text: str) -> Parsed | None:
    """What a text defines; None if it is not Python."""
    found = Parsed()
    top = tree(text)
    compiled = _unless_broken(lambda: compile(text, "<described>", "exec", dont_inherit=True))
    if top is None or compiled is None:
        return None
    waiting: list[tuple[ast.AST, str]] = [(top, "")]
    while waiting:
        node, prefix = waiting.pop()
        inner = prefix
        if isinstance(node, Function):
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            inner = f"{prefix}{name}.<locals>."
            found.functions.setdefault(_first_line(node), []).append(node)
        elif isinstance(node, ast.ClassDef):
            inner = f"{prefix}{node.name}."
            found.classes.setdefault(prefix + node.name, []).append(node)
        for child in ast.iter_child_nodes(node):
            waiting.append((child, inner))
    for code in codes(compiled):
        found.codes.setdefault((code.co_name, code.co_firstlineno), []).append(code)
    return found


def _first_line(node: Function | ast.ClassDef) -> int:
    if isinstance(node, ast.Lambda):
        return node.lineno
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code and all that is defined inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def code_source(code: CodeType, scope: Mapping[str, Any]) -> str:
    """What a function does: its source, or its bytecode without one; both if they do not match."""
    text = code_text(code, scope)
    found = parsed(text) if text else None
    own = bytecode(code)
    if text is None or found is None:
        return own
    node = _node(code, found)
    if node is None:
        return own
    source = _source(node, text)
    compiled = found.codes.get((code.co_name, code.co_firstlineno), ())
    if any(bytecode(candidate) == own for candidate in compiled):
        return source
    return source + own


def code_text(code: CodeType, scope: Mapping[str, Any]) -> str | None:
    """The text of the file, notebook cell or archive that the code was compiled from."""
    text = file_text(code.co_filename)
    if text is None:
        text = "".join(linecache.getlines(code.co_filename, dict(scope))) or None
    return text


def _node(code: CodeType, found: Parsed) -> Function | None:
    """The function of that name and line; None if it cannot be told which."""
    nodes = found.functions.get(code.co_firstlineno, [])
    if code.co_name == "<lambda>":
        return _lambda([node for node in nodes if isinstance(node, ast.Lambda)], code)
    for node in nodes:
        if not isinstance(node, ast.Lambda) and node.name == code.co_name:
            return node
    return None


def _lambda(lambdas: list[ast.Lambda], code: CodeType) -> ast.Lambda | None:
    """Of several lambdas in a line, the innermost whose body holds all that the code does."""
    spans = list(_spans(code))
    if not spans:
        return lambdas[0] if len(lambdas) == 1 else None
    low = min(start for start, _ in spans)
    high = max(end for _, end in spans)
    innermost: tuple[Position, ast.Lambda] | None = None
    for node in lambdas:
        body = node.body
        start = body.lineno, body.col_offset
        end = body.end_lineno or 0, body.end_col_offset or 0
        if start <= low and high <= end and (innermost is None or start > innermost[0]):
            innermost = start, node
    return innermost[1] if innermost else None


def _spans(code: CodeType) -> Iterator[tuple[Position, Position]]:
    """Where the instructions of code come from, as (start, end), without unknown and empty ones."""
    for first, last, start, end in code.co_positions():
        if first is None or last is None or start is None or end is None:
            continue
        if (first, start) != (last, end):
            yield (first, start), (last, end)


def _source(node: Function | ast.ClassDef, text: str) -> str:
    if not isinstance(node, ast.Lambda):
        return stripped(text).text(_first_line(node), node.end_lineno or node.lineno)
    for part in ast.walk(node):
        if isinstance(part, ast.Constant | ast.JoinedStr) and part.lineno != part.end_lineno:
            return ast.unparse(node)  # The lines of a string must not be stripped.
    segment = ast.get_source_segment(text, node) or ""
    lines = bare_text(f"({segment}\n)").split("\n")
    return "\n".join(line.strip() for line in lines)


def class_sources(text: str, qualname: str, lines: list[int]) -> list[str]:
    """The sources of the classes of that name; only of those that hold one of the lines, if any."""
    found = parsed(text)
    nodes = found.classes.get(qualname, []) if found else []
    holding = []
    for node in nodes:
        first, last = _first_line(node), node.end_lineno or 0
        if any(first <= line <= last for line in lines):
            holding.append(node)
    return sorted(_source(node, text) for node in holding or nodes)


def bytecode(code: CodeType) -> str:
    """What code does, the same in every process of one version of Python."""
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    constants = [_constant(constant) for constant in code.co_consts]
    return repr((code.co_code.hex(), constants, names, counts, code.co_exceptiontable.hex()))


def _constant(value: Any) -> str:
    match value:
        case CodeType():
            return bytecode(value)
        case frozenset():
            return repr(sorted(map(_constant, value)))
        case tuple():
            return repr(list(map(_constant, value)))
        case float():
            return value.hex()
    return f"{type(value).__name__} {value!r}"
