"""Describes definitions so that two descriptions are equal only if the definitions behave alike.

A function from the user's own files is described by its name, source, defaults, closure and the
globals that it reads, which are described in turn. So an edit of a constant or a helper changes the
definitions that use it, and no others. Where it cannot be told what is read (a module, an import, a
namespace), the texts of the modules concerned stand for it. Installed code is described by its
name; the versions of packages are collected separately. Descriptions are the same in every process,
and independent of folders and of what is installed.
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
from optsuite.training.canonical.code_parts import class_steps, function_steps
from optsuite.training.canonical.container_parts import Apart, is_absolute, scalar
from optsuite.training.canonical.contents import contents
from optsuite.training.canonical.imports import closure
from optsuite.training.canonical.members import unhooked
from optsuite.training.canonical.names import NAMES, Module, Names, Texts, Written
from optsuite.training.canonical.own_code import Home, class_module, home_of, qualname
from optsuite.training.canonical.reading_parts import module_steps
from optsuite.training.canonical.registered import registered
from optsuite.training.canonical.steps import Steps
from optsuite.training.canonical.value_parts import value_steps

__all__ = ["Description", "canonicalize", "tensor_bytes"]

LONGEST = 200  # characters of a plain value that is not hashed
DEEPEST = 100_000  # levels of nesting
# Mutable values: one that is used twice differs from two equal ones.
SHARED = (nn.Module, Tensor, np.ndarray, list, dict, set)
N_NAMED = 3  # places that a message names


@dataclass(frozen=True)
class Description:
    """A short text that is independent of what is installed, and the packages with versions."""

    text: str
    packages: tuple[tuple[str, str], ...] = ()


def canonicalize(
    value: object, what: str = "definition", names: Callable[[], Names] = Names
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
    except Exception as error:  # Inspecting the user's own objects may raise anything.
        kind = type(error).__name__
        raise InputError(
            f"{what}: describing it raised {kind}; create it inside the function that uses it"
        ) from None


@dataclass(eq=False)
class _Open:
    """A value whose parts are being described.

    `where` tells its place in the value around it. `known` are descriptions by id. `is_coarse` once
    the description by `_coarse` has replaced the one by parts.
    """

    value: Any
    where: str
    steps: Steps
    known: dict[int, str]
    is_coarse: bool = False


@dataclass(eq=False)
class _Walk:
    """Describes a value and its parts, without recursion since nesting may exceed Python's stack.

    `homes` are all own modules that were met, by name. `alive` keeps the values, so that no id is
    used twice.
    """

    names: Names
    stack: list[_Open] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    homes: dict[str, Home] = field(default_factory=dict)
    alive: list[object] = field(default_factory=list)

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
            except Exception:  # OpaqueError, or whatever the user's own objects raise
                if top.is_coarse:
                    raise
                top.steps = self._coarse(top)
                top.is_coarse = True
                result = None
            else:
                if type(value) in NAMES:
                    result = self.names.write(value)
                else:
                    result = self._enter(value, where)
        assert isinstance(result, str)
        return _short(result)

    def _enter(self, value: Any, where: str) -> str | None:
        """The description of a plain or a known value; None if the value was opened instead."""
        known = self.stack[-1].known if self.stack else {}
        if isinstance(value, Apart):
            value, known = value.value, dict(known)
        value = unhooked(value)
        if is_absolute(value):
            return f"str {self._relative(value)}"
        plain = scalar(value)
        if plain is not None:
            return _short(plain)
        if id(value) in known:
            found = known[id(value)]
            return f"same {found}" if isinstance(value, SHARED) else found
        if id(value) in self.places:
            return f"again {len(self.stack) - self.places[id(value)]}"
        if len(self.stack) > DEEPEST:
            raise InputError(f"got a value nested more than {DEEPEST} deep, allowed: less")
        self.alive.append(value)
        home = home_of(value)
        if home is not None:
            self.homes[home.name] = home
        self.places[id(value)] = len(self.stack)
        self.stack.append(_Open(value, where, _steps(value), known))
        return None

    def _leave(self, parts: list[Any]) -> str:
        """Close the innermost value, of which all parts have been described."""
        closed = self.stack.pop()
        del self.places[id(closed.value)]
        result = _hashed(json.dumps(parts))
        closed.known[id(closed.value)] = result
        return result

    def _relative(self, path: str) -> str:
        """A path relative to the folder of the modules that led to it, so that folders may move."""
        for home in self._homes():
            if home.folder is not None and PurePath(path).is_relative_to(home.folder):
                return f"<folder> {PurePath(path).relative_to(home.folder).as_posix()}"
        return path

    def _homes(self) -> Iterator[Home]:
        """The own modules that led to the present value, the innermost first."""
        for opened in reversed(self.stack):
            home = home_of(opened.value)
            if home is not None:
                yield home

    def _coarse(self, opened: _Open) -> Steps:
        """A value that cannot be described by parts: its type, and the texts that led to it.

        Raises InputError if no own module led to it.
        """
        homes = {home.name: home for home in self._homes()}
        kind = type(opened.value)
        if not homes:
            raise InputError(
                f"{self._place()}got a value of type {kind.__name__}, which cannot be "
                "distinguished from others of its kind; create it inside the function that uses it"
            )
        parts = ["opaque", (yield Module(class_module(kind)), "name"), qualname(kind)]
        written: Written = yield Texts(closure(homes.values())), "modules"
        parts.append(written.texts)
        for part in written.parts:
            parts.append([part, (yield contents(part), f"module optsuite.{part}")])
        return parts

    def _place(self) -> str:
        """Where the present value was met, as the start of a message."""
        places = [opened.where for opened in reversed(self.stack) if opened.where]
        where = " of ".join(places[:N_NAMED])
        return f"{where}: " if where else ""


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
    """A value that its name describes entirely."""
    yield from ()
    return [name]


def _short(text: str) -> str:
    return text if len(text) < LONGEST else _hashed(text)


def _hashed(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return f"#{hashlib.blake2b(data, digest_size=16).hexdigest()}"
