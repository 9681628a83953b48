"""What functions, classes and modules consist of, as generators: they yield parts and are sent the descriptions of these."""

import builtins
import functools
import sys
from collections.abc import Generator, Mapping
from enum import EnumType
from types import FunctionType, ModuleType
from typing import Any

from optsuite.training.canonical.annotations import annotated
from optsuite.training.canonical.contents import contents
from optsuite.training.canonical.imports import absolute, closure
from optsuite.training.canonical.members import added, members, unhooked
from optsuite.training.canonical.names import Code, Member, Module, Own, Texts, Written
from optsuite.training.canonical.own_code import (
    Home,
    class_home,
    class_kind,
    class_module,
    function_kind,
    home_of_module,
    is_ours,
    is_public,
    kind_of,
    qualname,
)
from optsuite.training.canonical.patches import patches
from optsuite.training.canonical.reads import Reads, reads, replaced
from optsuite.training.canonical.source import class_sources, code_source, code_text, file_text

Steps = Generator[tuple[object, str], Any, list[Any]]

PLACES = {"__name__", "__package__", "__qualname__"}  # where code is, not what it does
BUILT_IN = frozenset(dir(builtins))  # when this module was loaded
OF_BUILT_IN = ("builtins", "io", "_io", "_sitebuiltins")
DISPATCH = functools.singledispatch(lambda value: value).__code__  # type: ignore[attr-defined]


def function_steps(function: FunctionType) -> Steps:
    """A function of a person's own by all that it reads; another by its name, its version and what it closes over."""
    if function.__code__ is DISPATCH:
        return (yield from _dispatch_steps(function))
    attributes = dict(vars(function))
    wrapped = attributes.pop("__wrapped__", None)
    compiled = attributes.get("_torchdynamo_orig_callable")
    if compiled is not None:
        return ["compiled", (yield compiled, "function")]
    kind, code = function_kind(function), function.__code__
    if kind != "own":
        named = Code(str(function.__globals__.get("__name__")), code.co_qualname)
        parts: list[Any] = [kind, (yield named, "name")]
        attributes = {}
    else:
        own = Own(_of_optsuite(home_of_module(function.__globals__)), function.__qualname__)
        parts = ["function", (yield own, "name"), code_source(code, function.__globals__)]
    if wrapped is not None:
        parts.append(["wraps", (yield wrapped, "function")])
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:
            parts.append(["empty", name])
            continue
        if value is not wrapped:
            parts.append([name, (yield value, f"closure variable {name}")])
    if kind != "own":
        return parts
    for name, default in zip(
        reversed(_arguments(function)), reversed(function.__defaults__ or ()), strict=False
    ):
        parts.append((yield default, f"default of {name}"))
    for name, default in (function.__kwdefaults__ or {}).items():
        parts.append([name, (yield default, f"default of {name}")])
    for name, value in attributes.items():
        parts.append([name, (yield value, f"attribute {name}")])
    parts += annotated(function)
    parts.append((yield from _reading_steps(reads(code), function.__globals__)))
    return parts


def _of_optsuite(home: Home) -> str:
    """The name of a module that is one of optsuite's; empty where it is a person's own."""
    return home.name if is_ours(home.file) else ""


def _arguments(function: FunctionType) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def _dispatch_steps(function: FunctionType) -> Steps:
    """A function that functools dispatches by type: its implementations, less its cache."""
    parts = []
    for kind, implementation in function.registry.items():  # type: ignore[attr-defined]
        parts.append([(yield kind, "type"), (yield implementation, "implementation")])
    return ["dispatch", *parts]


def _reading_steps(found: Reads, scope: Mapping[str, Any]) -> Steps:
    """The globals that are read, the modules that are imported, and all texts where no name shows what is reached."""
    home = home_of_module(scope)
    parts: list[Any] = []
    for name, chains in sorted(found.names.items()):
        if name == "__file__":
            parts.append([name, str(scope.get(name, "")).replace("\\", "/").rpartition("/")[2]])
        elif name in PLACES:
            parts.append(name)  # a file that has been renamed computes the same
        elif name in scope:
            parts.append([name, (yield from _global_steps(name, scope[name], chains))])
        else:
            built_in = vars(sys.modules["builtins"]).get(name)
            patched = (
                name not in BUILT_IN
                or getattr(built_in, "__module__", "builtins") not in OF_BUILT_IN
            )
            parts.append([name, (yield built_in, f"built-in {name}") if patched else ""])
    for name, taken in found.imports:
        parts.append((yield from _import_steps(absolute(name, home.package), taken)))
    if found.hides(scope) and not is_ours(
        home.file
    ):  # optsuite's own modules load installed packages only
        parts.append(["hidden", (yield from text_steps([home]))])
    return parts


def _global_steps(name: str, value: object, chains: set[tuple[str, ...]]) -> Steps:
    """A global; of a module of optsuite only what is taken from it."""
    where = f"global {name}"
    if not _is_optsuite(value):
        return [(yield value, where)]
    parts = []
    for chain in sorted(chains):
        taken, member = _taken(value, chain)
        parts.append([(yield member, "name"), (yield taken, where)])
    return parts


def _is_optsuite(value: object) -> bool:
    """Whether it is the module optsuite, or one of its modules or benchmarks that count as a person's own."""
    file = vars(value).get("__file__") if type(value) is ModuleType else None
    return isinstance(file, str) and (
        is_public(file) or (is_ours(file) and vars(value).get("__name__") == "optsuite")
    )


def _taken(module: Any, chain: tuple[str, ...]) -> tuple[Any, Member]:
    """What a chain of attributes takes from a module of optsuite, as far as it goes through modules."""
    value, path = module, [module.__name__]
    own, last = module.__name__, ""
    for name in chain:
        if not _is_optsuite(value):
            break
        value = getattr(value, name, None)
        path.append(name)
        last = name
        if _is_optsuite(value):
            own, last = str(vars(value)["__name__"]), ""
    return value, Member(".".join(path), own, last)


def _import_steps(name: str, taken: tuple[str, ...]) -> Steps:
    """An import inside a function: the text of what it imports; of optsuite what is taken by name."""
    if taken and "*" not in taken and _is_optsuite(sys.modules.get(name)):
        parts: list[Any] = [(yield Module(name), "name")]
        for part in taken:
            value, member = _taken(sys.modules[name], (part,))
            parts.append([(yield member, "name"), (yield value, f"import {part}")])
        return parts
    candidates = [f"{name}.{part}" for part in taken if part != "*"]
    return (yield from text_steps([], [name], candidates))


def text_steps(
    homes: list[Home], names: list[str] | None = None, candidates: list[str] | None = None
) -> Steps:
    """The texts of modules and of all own modules that they import, with what others have set in these."""
    texts = closure(homes, names or (), candidates or ())
    written: Written = yield Texts(texts), "modules"
    parts: list[Any] = [written.texts]
    for name in written.names:
        for key, value in replaced(name).items():
            module = yield Module(name), "name"
            parts.append([module, key, (yield value, f"global {key} of {name}")])
    own = {name for name, text in texts if text.startswith("text ")}
    for patch, scope in patches([name for name in written.names if name in own]):
        parts.append([(yield Module(patch.module), "name"), patch.text])
        for key in patch.names:
            if key in scope:
                parts.append([key, (yield scope[key], f"global {key}")])
    for part in written.parts:
        parts.append([part, (yield contents(part), f"module optsuite.{part}")])
    return parts


def module_steps(module: ModuleType) -> Steps:
    """A module: the texts where it is a person's own, its name and version where it is installed."""
    home = home_of_module(vars(module))
    folders = tuple(vars(module).get("__path__") or ())
    kind = kind_of(home.name, home.file or next(iter(map(str, folders)), None))
    if kind != "own":
        return [kind, (yield Code(home.name, ""), "name")]
    if (
        home.file is None and not folders and sys.modules.get(home.name) is not module
    ):  # made while the program runs
        contents = {
            name: value for name, value in vars(module).items() if not name.startswith("__")
        }
        return ["module", (yield contents, "contents")]
    return ["module", (yield Module(home.name), "name"), (yield from text_steps([home]))]


def class_steps(kind: type) -> Steps:
    """A class of a person's own by its source, its bases and every member; another by its name and version."""
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
    if "__dataclass_params__" in vars(kind):
        parts.append(repr(vars(kind)["__dataclass_params__"]))
    for item in vars(kind).get("__dataclass_fields__", {}).values():
        parts.append(
            [
                repr((item.init, item.repr, item.hash, item.compare, item.kw_only)),
                (yield item.metadata, item.name),
            ]
        )
        parts.append(
            [item.name, (yield item.default, item.name), (yield item.default_factory, item.name)]
        )
    if isinstance(kind, EnumType):
        for name, member in kind.__members__.items():
            parts.append(
                [
                    name,
                    (yield member._value_, f"member {name}"),
                    (yield added(member), f"attributes of {name}"),
                ]
            )
    return parts


def _class_source(kind: type) -> list[str]:
    """The source of a class, of all classes of that name where it cannot be told which; none where there is no text."""
    functions = [member for member in vars(kind).values() if type(member) is FunctionType]
    own = [
        function
        for function in map(unhooked, functions)
        if function.__qualname__.startswith(qualname(kind))
    ]
    home = class_home(kind)
    text = file_text(home.file) if home.file else None
    if text is None:
        texts = [code_text(function.__code__, function.__globals__) for function in own]
        text = next((found for found in texts if found), None)
    return (
        class_sources(text, qualname(kind), [function.__code__.co_firstlineno for function in own])
        if text
        else []
    )
