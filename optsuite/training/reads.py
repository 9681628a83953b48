"""What a function reads by name: globals, what it takes from modules, what it imports, and what no name shows."""

import ast
import dis
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from optsuite.training.own_code import kind_of
from optsuite.training.source import codes, file_text

GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
ASIDE = {"CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "NOT_TAKEN"}
HIDING = {"globals", "locals", "vars", "eval", "exec", "compile", "__import__"}  # builtins that reach what has no name here
SCOPE = {"__builtins__", "__spec__", "__loader__", "__path__", "__dict__", "__annotations__"}
LOADING = {"importlib", "runpy", "pkgutil", "imp", "zipimport", "builtins"}  # modules whose users load others by any name
MANY = 10_000  # elements of a constant that are compared


@dataclass(frozen=True)
class Reads:
    """Each global by name, with the chains of attributes that are taken from it; imports as (name, names taken)."""

    names: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    imports: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def hides(self, scope: Mapping[str, Any]) -> bool:
        """Whether something is reached that has no name here: the namespace as a mapping, or modules by any name."""
        if any(name in HIDING and name not in scope for name in self.names):
            return True
        if self.names.keys() & SCOPE or any(name.lstrip(".").partition(".")[0] in LOADING for name, _ in self.imports):
            return True
        return any(_reaches(scope[name], chains) for name, chains in self.names.items() if name in scope)


def _reaches(value: object, chains: set[tuple[str, ...]]) -> bool:
    """Whether a global gives access to modules by any name."""
    if value is sys.modules:
        return True
    if isinstance(value, ModuleType):
        name = vars(value).get("__name__")
        return name in LOADING or (name == "sys" and any(not c or c[0] in ("modules", "_getframe") for c in chains))
    if type(value) not in (FunctionType, BuiltinFunctionType, type):
        return False
    module = value.__module__
    return isinstance(module, str) and module.partition(".")[0] in LOADING - {"builtins"}


@lru_cache(maxsize=4096)
def reads(code: CodeType) -> Reads:
    """What the code and all that is defined inside it read."""
    found = Reads()
    for part in codes(code):
        steps = [step for step in dis.get_instructions(part) if step.opname not in ASIDE]
        for i, step in enumerate(steps):
            if step.opname in GLOBALS:
                found.names.setdefault(step.argval, set()).add(_chain(steps, i + 1))
            elif step.opname == "IMPORT_NAME":
                level, taken = steps[i - 2].argval, steps[i - 1].argval
                found.imports.append(("." * int(level or 0) + step.argval, tuple(taken or ())))
    return found


def _chain(steps: list[dis.Instruction], start: int) -> tuple[str, ...]:
    """The names of the attributes that are taken one after another."""
    end = start
    while end < len(steps) and steps[end].opname in ATTRIBUTES:
        end += 1
    return tuple(step.argval for step in steps[start:end])


def constants(name: str) -> dict[str, Any]:
    """The plain values that a loaded own module holds and its text may not show, as others may have set them.

    Only names that are set without a call or from the environment, and never by its own functions: what is counted, drawn
    or timed while it is loaded says nothing. Names that its text does not know at all are among them.
    """
    module = sys.modules.get(name)
    scope = vars(module) if type(module) is ModuleType else {}
    file = scope.get("__file__")
    text = file_text(file) if isinstance(file, str) and kind_of(name, file) == "own" else None
    if not text:
        return {}
    found = _bindings(text)
    strange = set() if found.star else {name for name in scope if name not in found.known and not name.startswith("__")}
    values = {n: scope[n] for n in sorted(found.fixed & scope.keys() | strange) if _is_plain(scope[n])}
    replaced = sorted(found.known & scope.keys() - found.imported | strange)
    return values | {n: scope[n] for n in replaced if _is_from_elsewhere(scope[n], str(file))}


def _is_from_elsewhere(value: object, file: str) -> bool:
    """Whether it is a function of another file, under which a module's own name may now stand."""
    return isinstance(value, FunctionType) and value.__code__.co_filename != file


@dataclass(frozen=True)
class _Bindings:
    """The names that a module's text sets once and for all, those it imports, and all that it binds in any way."""

    fixed: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    star: bool = True  # whether it binds others, by an import of all


@lru_cache(maxsize=512)
def _bindings(text: str) -> _Bindings:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Bindings()
    fixed: set[str] = set()
    known: set[str] = set()
    imported: set[str] = set()
    moving: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Global():
                moving |= set(node.names)
            case ast.Name(ctx=ast.Store() | ast.Del()):
                known.add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                known.add(node.name)
            case ast.Import() | ast.ImportFrom():
                imported |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value and _is_settled(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            fixed |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return _Bindings(
        fixed=frozenset(fixed - moving),
        imported=frozenset(imported),
        known=frozenset(known | moving | imported),
        star="*" in imported,
    )


def _is_settled(value: ast.expr) -> bool:
    """Whether an expression calls nothing, or asks the environment."""
    nodes = list(ast.walk(value))
    asks = any(isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in nodes)
    return asks or not any(isinstance(node, ast.Call | ast.Await | ast.ListComp | ast.GeneratorExp) for node in nodes)


def _is_plain(value: object) -> bool:
    """Whether it is of numbers, text and containers of these alone."""
    waiting: list[Any] = [value]
    for _ in range(MANY):
        if not waiting:
            return True
        part = waiting.pop()
        if type(part) is dict:
            waiting += [*part, *part.values()]
        elif type(part) in (list, tuple, set, frozenset):
            waiting += part
        elif type(part) not in (int, float, str, bytes, bool, complex, type(None)):
            return False
    return False
