"""Describing a definition so that two descriptions are equal only if what they describe behaves alike.

A function of a person's own files is its name, its source, its defaults, what it closes over and the globals it reads,
these described in turn: whoever edits a constant or a helper has changed the definition, and nobody else has. Where it cannot
be told what is read (a module, an import, a namespace), the texts of the modules concerned stand for it. Installed code is
its name; the versions of packages are collected separately. Descriptions are the same in every
process, and independent of folders and of what is installed.
"""

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

from optsuite.errors import InputError
from optsuite.training.canonical.array_parts import tensor_bytes
from optsuite.training.canonical.code_parts import Steps, class_steps, function_steps, module_steps
from optsuite.training.canonical.container_parts import Apart, is_absolute, scalar
from optsuite.training.canonical.contents import contents
from optsuite.training.canonical.imports import closure
from optsuite.training.canonical.members import unhooked
from optsuite.training.canonical.names import NAMES, Module, Names, Texts, Written
from optsuite.training.canonical.own_code import (
    Home,
    class_home,
    class_module,
    function_kind,
    home_of_module,
    kind_of,
    module_kind,
    qualname,
)
from optsuite.training.canonical.registered import registered
from optsuite.training.canonical.value_parts import value_steps

__all__ = ["Description", "canonicalize", "tensor_bytes"]

LONGEST = 200  # letters of a plain value that is not hashed
DEEPEST = 100_000  # parts within parts
SHARED = (
    nn.Module,
    Tensor,
    np.ndarray,
    list,
    dict,
    set,
)  # what is there once and used twice differs from two that are alike
N_NAMED = 3  # places that a message names


@dataclass(frozen=True)
class Description:
    """A short text that is independent of what is installed, and the packages with versions."""

    text: str
    packages: tuple[tuple[str, str], ...] = ()


def canonicalize(
    value: object,
    what: str = "definition",
    names: Callable[[], Names] = Names,
) -> Description:
    """Describe a value.

    `what` names the value in errors. `names` makes the writer of the names of code. Raises
    InputError, and nothing else, for a value that cannot be distinguished from others of its kind.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            walk = _Walk(names=names())
            found = walk.canonicalize(value)
            added = registered(walk.homes.values()) if walk.homes else []
            text = _hashed(json.dumps([found, added])) if added else found
            return Description(text, tuple(sorted(walk.names.packages.items())))
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    except Exception as error:  # whatever a person's own code raises where it is looked at
        raise InputError(
            f"{what}: describing it raised {type(error).__name__}; allowed: making it inside the function"
        ) from None


@dataclass(eq=False)
class _Open:
    """A value of which parts are being described. `known` are descriptions by id; `place` counts the open ones."""

    value: Any
    where: str
    steps: Steps
    place: int
    known: dict[int, str]
    is_coarse: bool = False


@dataclass(eq=False)
class _Walk:
    """Describes a value and its parts, without recursion: values may be nested deeper than Python's stack."""

    names: Names
    stack: list[_Open] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    homes: dict[str, Home] = field(default_factory=dict)  # by name, of all that was met
    alive: list[object] = field(
        default_factory=list
    )  # whose ids must not be taken by others while this goes on

    def canonicalize(self, root: object) -> str:
        result: Any = self._enter(root, "")
        while self.stack:
            top = self.stack[-1]
            try:
                value, where = top.steps.send(result)
            except StopIteration as stop:
                result = self._leave(stop.value)
            except InputError:
                raise
            except (
                Exception
            ):  # OpaqueError among them: what a person's own code raises here is its own
                if top.is_coarse:
                    raise
                top.steps, top.is_coarse, result = self._coarse(top), True, None
            else:
                is_name = type(value) in NAMES
                result = self.names.write(value) if is_name else self._enter(value, where)
        assert isinstance(result, str)
        return result if len(result) < LONGEST else _hashed(result)

    def _enter(self, value: Any, where: str) -> str | None:
        """The description of a plain or a known value; None once others have been opened."""
        known = self.stack[-1].known if self.stack else {}
        if isinstance(value, Apart):
            value, known = value.value, dict(known)
        value = unhooked(value)
        if is_absolute(value):
            return f"str {self._relative(value)}"
        plain = scalar(value)
        if plain is not None:
            return plain if len(plain) < LONGEST else _hashed(plain)
        if id(value) in known:
            return f"same {known[id(value)]}" if isinstance(value, SHARED) else known[id(value)]
        if id(value) in self.places:
            return f"again {len(self.stack) - self.places[id(value)]}"
        if len(self.stack) > DEEPEST:
            raise InputError(f"got a value nested more than {DEEPEST} deep, allowed: less")
        self.alive.append(value)
        if (home := _home(value)) is not None:
            self.homes[home.name] = home
        self.places[id(value)] = len(self.stack)
        self.stack.append(_Open(value, where, _steps(value), len(self.stack), known))
        return None

    def _leave(self, parts: list[Any]) -> str:
        """Close the innermost value, of which all parts have been described."""
        closed = self.stack.pop()
        del self.places[id(closed.value)]
        closed.known[id(closed.value)] = result = _hashed(json.dumps(parts))
        return result

    def _relative(self, path: str) -> str:
        """A path without the folder of the modules in which it was met: a copy elsewhere is the same."""
        for home in self._homes():
            if home.folder is not None and PurePath(path).is_relative_to(home.folder):
                return f"<folder> {PurePath(path).relative_to(home.folder).as_posix()}"
        return path

    def _homes(self) -> Iterator[Home]:
        """The modules of the person's own code that led here, the innermost first."""
        for opened in reversed(self.stack):
            home = _home(opened.value)
            if home is not None:
                yield home

    def _coarse(self, opened: _Open) -> Steps:
        """What stands for a value of which nothing can be told: its type and the texts of the modules that led to it."""
        homes = {home.name: home for home in self._homes()}
        kind = type(opened.value)
        if not homes:
            where = " of ".join([o.where for o in reversed(self.stack) if o.where][:N_NAMED])
            raise InputError(
                f"{where}{': ' if where else ''}got a value of type {kind.__name__}, which cannot be told from "
                "others of its kind; allowed: making it inside the function that uses it"
            )
        parts = ["opaque", (yield Module(class_module(kind)), "name"), qualname(kind)]
        written: Written = yield Texts(closure(homes.values())), "modules"
        parts.append(written.texts)
        for part in written.parts:
            parts.append([part, (yield contents(part), f"module optsuite.{part}")])
        return parts


def _home(value: Any) -> Home | None:
    """The module that a function, a class, a module or an instance belongs to, where it is a person's own."""
    kind = type(value)
    if kind is FunctionType:
        return home_of_module(value.__globals__) if function_kind(value) == "own" else None
    if issubclass(kind, ModuleType):
        home = home_of_module(vars(value))
        return home if kind_of(home.name, home.file) == "own" else None
    of = value if issubclass(kind, type) else kind
    return class_home(of) if module_kind(class_module(of)) == "own" else None


def _steps(value: Any) -> Steps:
    kind = type(value)
    if kind is FunctionType:
        return function_steps(value)
    if issubclass(kind, type):
        return class_steps(value)
    if issubclass(kind, ModuleType):
        return module_steps(value)
    if value is sys.modules:
        return _named("modules")
    if kind is dict and "__name__" in value:  # the namespace of a module
        module = sys.modules.get(str(value["__name__"]))
        if type(module) is ModuleType and vars(module) is value:
            return module_steps(module)
    return value_steps(value)


def _named(name: str) -> Steps:
    """A value that its name tells whole."""
    yield from ()
    return [name]


def _hashed(text: str) -> str:
    return f"#{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
