"""The text of code: decoded whatever its encoding, found for a function or class, less its comments and blank lines."""

import ast
import io
import linecache
import tokenize
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

T = TypeVar("T")
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
N_FILES = 512  # whose texts are kept, parsed
N_STRIPPED = 4_096
STARTS, ENDS = (
    ("FSTRING_START", "TSTRING_START"),
    ("FSTRING_END", "TSTRING_END"),
)  # tokens of Python 3.12 and 3.14


def file_text(file: str) -> str | None:
    """The text of a file; None where it cannot be read."""
    try:
        return decoded(Path(file).read_bytes())
    except (OSError, ValueError):
        return None


def decoded(data: bytes) -> str:
    """The text of a Python file, by the encoding that its first lines name; by Latin-1, which takes all, where it lies."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True)
class Stripped:
    """The lines of a text without comments; None where nothing is left. Rows in `inside` begin within a string."""

    lines: tuple[str | None, ...]
    inside: frozenset[int]

    def text(self, first: int, last: int) -> str:
        """The rows `first` to `last`, counted from 1, without the margin of the first."""
        rows = [
            row
            for row in range(first - 1, min(last, len(self.lines)))
            if self.lines[row] is not None
        ]
        if not rows:
            return ""
        start = self.lines[rows[0]] or ""
        margin = start[: len(start) - len(start.lstrip())]
        kept = []
        for row in rows:
            line = self.lines[row] or ""
            kept.append(line if row in self.inside else line.removeprefix(margin))
        return "\n".join(kept)


@lru_cache(maxsize=N_STRIPPED)
def stripped(text: str) -> Stripped:
    """The text by lines, of which comments, blank lines and spaces at the end are left out; strings are left alone."""
    lines: list[str | None] = list(text.split("\n"))
    strings: list[tuple[int, int]] = []
    comments: list[tuple[int, int]] = []
    open_strings: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            name = tokenize.tok_name[token.type]
            if name in STARTS:
                open_strings.append(token.start[0])
            elif name in ENDS:
                strings.append((open_strings.pop(), token.end[0]))
            elif name == "STRING":
                strings.append((token.start[0], token.end[0]))
            elif name == "COMMENT" and not open_strings:
                comments.append(token.start)
    except (tokenize.TokenError, SyntaxError):
        return Stripped(tuple(lines), frozenset(range(len(lines))))
    for row, column in comments:
        lines[row - 1] = (lines[row - 1] or "")[:column]
    inside = frozenset(row for first, last in strings for row in range(first, last))
    going_on = {row - 1 for row in inside}  # whose end is within a string
    for row, line in enumerate(lines):
        if row not in going_on:
            bare = (line or "").rstrip()
            lines[row] = bare if bare or row in inside else None
    return Stripped(tuple(lines), inside)


def bare_text(text: str) -> str:
    """A whole text without comments and blank lines."""
    return "\n".join(line for line in stripped(text).lines if line is not None)


def tree(text: str) -> ast.Module | None:
    """The syntax tree of a text; None where it is not Python. Shows no warnings about the text."""
    return _unless_broken(lambda: ast.parse(text))


def _unless_broken(read: Callable[[], T]) -> T | None:
    """What `read` makes of a text; None where the text is not Python."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read()
    return None


@dataclass(frozen=True)
class Parsed:
    """A text's functions and lambdas by their first line, its classes by qualified name, its code by name and first line."""

    functions: dict[int, list[Function]] = field(default_factory=dict)
    classes: dict[str, list[ast.ClassDef]] = field(default_factory=dict)
    codes: dict[tuple[str, int], list[CodeType]] = field(default_factory=dict)


@lru_cache(maxsize=N_FILES)
def parsed(text: str) -> Parsed | None:
    """What a text defines; None where it is not Python."""
    found, top = Parsed(), tree(text)
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
        waiting += [(child, inner) for child in ast.iter_child_nodes(node)]
    for code in codes(compiled):
        found.codes.setdefault((code.co_name, code.co_firstlineno), []).append(code)
    return found


def _first_line(node: Function | ast.ClassDef) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code and all that is defined inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def code_source(code: CodeType, scope: Mapping[str, Any]) -> str:
    """What a function does: its source, or its bytecode where there is none, both where they do not belong together."""
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
    return source if any(bytecode(other) == own for other in compiled) else source + own


def code_text(code: CodeType, scope: Mapping[str, Any]) -> str | None:
    """The text of the file, notebook cell or archive that the code was compiled from."""
    text = file_text(code.co_filename)
    if text is None:
        text = "".join(linecache.getlines(code.co_filename, dict(scope))) or None
    return text


def _node(code: CodeType, found: Parsed) -> Function | None:
    """The function of that name and line; of several lambdas, the innermost whose body holds all that the code does."""
    nodes = found.functions.get(code.co_firstlineno, [])
    if code.co_name != "<lambda>":
        return next(
            (n for n in nodes if not isinstance(n, ast.Lambda) and n.name == code.co_name), None
        )
    lambdas = [node for node in nodes if isinstance(node, ast.Lambda)]
    spans = [
        ((first, start), (last, end))
        for first, last, start, end in code.co_positions()
        if None not in (first, last, start, end) and (first, start) != (last, end)
    ]
    if not spans:
        return lambdas[0] if len(lambdas) == 1 else None
    low, high = min(start for start, _ in spans), max(end for _, end in spans)
    around = []
    for node in lambdas:
        start, end = _span(node.body)
        if start <= low and high <= end:
            around.append((start, node))
    return max(around, key=lambda pair: pair[0])[1] if around else None


def _span(node: ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _source(node: Function | ast.ClassDef, text: str) -> str:
    if isinstance(node, ast.Lambda):
        strings = (
            part for part in ast.walk(node) if isinstance(part, ast.Constant | ast.JoinedStr)
        )
        if any(part.lineno != part.end_lineno for part in strings):
            return ast.unparse(node)  # the lines of a string are not to be stripped
        segment = ast.get_source_segment(text, node) or ""
        lines = bare_text(f"({segment}\n)").split("\n")
        return "\n".join(line.strip() for line in lines)
    return stripped(text).text(_first_line(node), node.end_lineno or node.lineno)


def class_sources(text: str, qualname: str, lines: list[int]) -> list[str]:
    """The sources of the classes of that name; only of those that hold one of the lines, if any does."""
    found = parsed(text)
    nodes = found.classes.get(qualname, []) if found else []
    holding = [
        node
        for node in nodes
        if any(_first_line(node) <= n <= (node.end_lineno or 0) for n in lines)
    ]
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
