"""What code reaches by name, and modules, as generators: see `steps`."""

import builtins
import sys
from collections.abc import Generator, Mapping
from types import ModuleType
from typing import Any

from optsuite.training.canonical.contents import contents
from optsuite.training.canonical.import_scan import absolute
from optsuite.training.canonical.imports import closure, locate, own_package
from optsuite.training.canonical.names import Code, Member, Module, Texts, Written
from optsuite.training.canonical.own_code import (
    Home,
    home_of_module,
    is_ours,
    is_public,
    kind_of,
)
from optsuite.training.canonical.patches import patches
from optsuite.training.canonical.reads import Reads
from optsuite.training.canonical.replaced import replaced
from optsuite.training.canonical.steps import Steps, reached

PLACES = {"__name__", "__package__", "__qualname__"}  # where code is, not what it does
BUILT_IN = frozenset(dir(builtins))  # when this module was loaded
OF_BUILT_IN = ("builtins", "io", "_io", "_sitebuiltins")


def reading_steps(found: Reads, scope: Mapping[str, Any]) -> Steps:
    """The globals and imports that code reads; all texts if it reaches what has no name."""
    home = home_of_module(scope)
    parts: list[Any] = []
    for name, chains in sorted(found.names.items()):
        if name == "__file__":
            parts.append([name, str(scope.get(name, "")).replace("\\", "/").rpartition("/")[2]])
        elif name in PLACES:
            parts.append(name)  # A renamed file computes the same.
        elif name in scope:
            parts.append([name, (yield from _global_steps(name, scope[name], chains))])
        else:
            parts.append([name, (yield from _built_in_steps(name))])
    for name, taken in found.imports:
        parts.append((yield from _import_steps(absolute(name, home.package), taken)))
    # Modules of optsuite itself load nothing but installed packages.
    if found.hides(scope) and not is_ours(home.file):
        parts.append(["hidden", (yield from text_steps([home]))])
    return parts


def _built_in_steps(name: str) -> Generator[tuple[object, str], Any, Any]:
    """The description of a built-in that somebody has replaced or added; empty for Python's own."""
    value = vars(sys.modules["builtins"]).get(name)
    if name in BUILT_IN and getattr(value, "__module__", "builtins") in OF_BUILT_IN:
        return ""
    return (yield value, f"built-in {name}")


def _global_steps(name: str, value: object, chains: set[tuple[str, ...]]) -> Steps:
    """A global; of a module of optsuite only what is taken from it."""
    where = f"global {name}"
    parts: list[Any] = []
    if not _is_optsuite(value):
        is_followed = isinstance(value, ModuleType) and () not in chains
        parts.append((yield reached(value) if is_followed else value, where))
        for module in _reached(value, chains):
            parts.append((yield reached(module), where))
        return parts
    for chain in sorted(chains):
        taken, member = _taken(value, chain)
        parts.append([(yield member, "name"), (yield taken, where)])
    return parts


def _reached(value: object, chains: set[tuple[str, ...]]) -> list[ModuleType]:
    """The own modules that chains of attributes lead to, if the text of the first shows no such."""
    if not isinstance(value, ModuleType):
        return []
    found: dict[str, ModuleType] = {}
    for chain in chains:
        inner: object = value
        for name in chain:
            inner = vars(inner).get(name)
            if not isinstance(inner, ModuleType):
                break
            home = home_of_module(vars(inner))
            if kind_of(home.name, home.file) != "own":
                break
            found[home.name] = inner
    if not found:
        return []
    shown = {name for name, _ in closure([home_of_module(vars(value))])}
    return [module for name, module in sorted(found.items()) if name not in shown]


def _is_optsuite(value: object) -> bool:
    """Whether it is the module optsuite, or one of its parts that count as the user's own."""
    if type(value) is not ModuleType:
        return False
    file = vars(value).get("__file__")
    if not isinstance(file, str):
        return False
    return is_public(file) or (is_ours(file) and vars(value).get("__name__") == "optsuite")


def _taken(module: Any, chain: tuple[str, ...]) -> tuple[Any, Member]:
    """The value that a chain of attributes takes from a module of optsuite, and its name.

    The chain is followed while it leads through modules of optsuite.
    """
    value = module
    path = [module.__name__]
    own = module.__name__
    last = ""
    for name in chain:
        if not _is_optsuite(value):
            break
        value = getattr(value, name, None)
        path.append(name)
        last = name
        if _is_optsuite(value):
            own = str(vars(value)["__name__"])
            last = ""
    return value, Member(".".join(path), own, last)


def _import_steps(name: str, taken: tuple[str, ...]) -> Steps:
    """An import inside a function: the text of the module; of optsuite only the names taken."""
    if taken and "*" not in taken and _is_optsuite(sys.modules.get(name)):
        parts: list[Any] = [(yield Module(name), "name")]
        for part in taken:
            value, member = _taken(sys.modules[name], (part,))
            parts.append([(yield member, "name"), (yield value, f"import {part}")])
        return parts
    candidates = [f"{name}.{part}" for part in taken if part != "*"]
    # What is taken from a package that a local variable holds cannot be told: all of it counts.
    packages = [own_package(one) for one in candidates or [name.partition(".")[0]]]
    folders = [folder for folder in packages if folder is not None]
    return (yield from text_steps([], [name], candidates, folders))


def text_steps(
    homes: list[Home],
    names: list[str] | None = None,
    candidates: list[str] | None = None,
    packages: list[str] | None = None,
) -> Steps:
    """The texts of modules and of all own modules that they import, with what others set there.

    See `imports.closure` for the arguments.
    """
    texts = closure(homes, names or (), candidates or (), packages or ())
    written: Written = yield Texts(texts), "modules"
    parts: list[Any] = [written.texts]
    for name in written.names:
        for key, value in replaced(name).items():
            module = yield Module(name), "name"
            parts.append([module, key, (yield value, f"global {key} of {name}")])
    with_text = {name for name, text in texts if text.startswith("text ")}
    patched = [name for name in written.names if name in with_text]
    for patch, scope in patches(patched):
        parts.append([(yield Module(patch.module), "name"), patch.text])
        for key in patch.names:
            if key in scope:
                parts.append([key, (yield scope[key], f"global {key}")])
    for part in written.parts:
        parts.append([part, (yield contents(part), f"module optsuite.{part}")])
    return parts


def module_steps(module: ModuleType, *, is_followed: bool = False) -> Steps:
    """A module: the texts of the user's own, the name and version of an installed one.

    Every file of an own package counts, unless what is taken from it `is_followed`.
    """
    scope = vars(module)
    home = home_of_module(scope)
    folders = tuple(scope.get("__path__") or ())
    kind = kind_of(home.name, home.file or next(map(str, folders), None))
    if kind != "own":
        return [kind, (yield Code(home.name, ""), "name")]
    is_loaded = sys.modules.get(home.name) is module
    if home.file is None and not folders and not is_loaded:  # made while the program runs
        own = {name: value for name, value in scope.items() if not name.startswith("__")}
        return ["module", (yield own, "contents")]
    if home.file is None and not folders:
        place = locate(home.name)
        home = place.home if place else home
    is_whole = not is_followed and not is_public(home.file)
    packages = [str(folder) for folder in folders[:1]] if is_whole else []
    texts = yield from text_steps([home], packages=packages)
    return ["module", (yield Module(home.name), "name"), texts]
