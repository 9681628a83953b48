"""What functions and classes consist of, as generators: see `steps`."""

import functools
from collections.abc import Mapping
from enum import EnumType
from types import FunctionType
from typing import Any

from optsuite.training.canonical.annotations import annotated
from optsuite.training.canonical.members import added, members, unhooked
from optsuite.training.canonical.names import Code, Own
from optsuite.training.canonical.own_code import (
    Home,
    class_home,
    class_kind,
    class_module,
    function_kind,
    home_of_module,
    is_ours,
    qualname,
)
from optsuite.training.canonical.reading_parts import reading_steps
from optsuite.training.canonical.reads import reads
from optsuite.training.canonical.source import class_sources, code_source, code_text
from optsuite.training.canonical.steps import Steps
from optsuite.training.canonical.texts import file_text

DISPATCH = functools.singledispatch(lambda value: value).__code__  # type: ignore[attr-defined]


def function_steps(function: FunctionType) -> Steps:
    """A function: the user's own by all that it reads, an installed one by name and closure."""
    code = function.__code__
    if code is DISPATCH:
        return (yield from _dispatch_steps(function))
    attributes = dict(vars(function))
    wrapped = attributes.pop("__wrapped__", None)
    compiled = attributes.get("_torchdynamo_orig_callable")
    if compiled is not None:
        return ["compiled", (yield compiled, "function")]
    kind = function_kind(function)
    scope = function.__globals__
    if kind == "own":
        own = Own(_of_optsuite(home_of_module(scope)), function.__qualname__)
        parts: list[Any] = ["function", (yield own, "name"), code_source(code, scope)]
    else:
        named = Code(str(scope.get("__name__")), code.co_qualname)
        parts = [kind, (yield named, "name")]
    if wrapped is not None:
        parts.append(["wraps", (yield wrapped, "function")])
    parts += yield from _closure_steps(function, wrapped)
    if kind != "own":
        return parts
    parts += yield from _default_steps(function)
    for name, value in attributes.items():
        parts.append([name, (yield value, f"attribute {name}")])
    parts += annotated(function)
    parts.append((yield from reading_steps(reads(code), scope)))
    return parts


def _of_optsuite(home: Home) -> str:
    """The name of a module of optsuite; empty for the user's own."""
    return home.name if is_ours(home.file) else ""


def _dispatch_steps(function: FunctionType) -> Steps:
    """A function made by functools.singledispatch: its implementations without its cache."""
    parts = []
    for kind, implementation in function.registry.items():  # type: ignore[attr-defined]
        parts.append([(yield kind, "type"), (yield implementation, "implementation")])
    return ["dispatch", *parts]


def _closure_steps(function: FunctionType, wrapped: object) -> Steps:
    """The variables that a function closes over, except the function that it wraps."""
    parts: list[Any] = []
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:
            parts.append(["empty", name])
            continue
        if value is not wrapped:
            parts.append([name, (yield value, f"closure variable {name}")])
    return parts


def _default_steps(function: FunctionType) -> Steps:
    """The defaults of a function: positional ones from the last to the first, then keyword-only."""
    parts: list[Any] = []
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    last_first = reversed(function.__defaults__ or ())
    for name, default in zip(reversed(arguments), last_first, strict=False):
        parts.append((yield default, f"default of {name}"))
    for name, default in (function.__kwdefaults__ or {}).items():
        parts.append([name, (yield default, f"default of {name}")])
    return parts


def class_steps(kind: type) -> Steps:
    """A class: the user's own by source, bases and every member, an installed one by name."""
    whose = class_kind(kind)
    if whose != "own":
        return [whose, (yield Code(class_module(kind), qualname(kind)), "name")]
    name_of_own = Own(_of_optsuite(class_home(kind)), qualname(kind))
    parts: list[Any] = ["class", (yield name_of_own, "name"), _class_source(kind)]
    for base in kind.__bases__:
        parts.append((yield base, "base"))
    if class_kind(type(kind)) == "own":
        parts.append(["metaclass", (yield type(kind), "metaclass")])
    for name, member in members(kind):
        parts.append([name, (yield member, f"attribute {name}")])
    parts += annotated(kind)
    parts += yield from _dataclass_steps(vars(kind))
    if isinstance(kind, EnumType):
        for name, member in kind.__members__.items():
            value = yield member._value_, f"member {name}"
            attributes = yield added(member), f"attributes of {name}"
            parts.append([name, value, attributes])
    return parts


def _dataclass_steps(scope: Mapping[str, Any]) -> Steps:
    """The flags and fields of a dataclass, whose members are in `scope`; nothing for another."""
    parts: list[Any] = []
    if "__dataclass_params__" in scope:
        parts.append(repr(scope["__dataclass_params__"]))
    for item in scope.get("__dataclass_fields__", {}).values():
        flags = repr((item.init, item.repr, item.hash, item.compare, item.kw_only))
        parts.append([flags, (yield item.metadata, item.name)])
        default = yield item.default, item.name
        factory = yield item.default_factory, item.name
        parts.append([item.name, default, factory])
    return parts


def _class_source(kind: type) -> list[str]:
    """The source of a class, or of all classes of that name if ambiguous; empty without a text."""
    name = qualname(kind)
    functions = []
    for member in vars(kind).values():
        if type(member) is FunctionType:
            function = unhooked(member)
            if function.__qualname__.startswith(name):
                functions.append(function)
    home = class_home(kind)
    text = file_text(home.file) if home.file else None
    if text is None:
        texts = [code_text(function.__code__, function.__globals__) for function in functions]
        text = next((found for found in texts if found), None)
    if not text:
        return []
    lines = [function.__code__.co_firstlineno for function in functions]
    return class_sources(text, name, lines)
