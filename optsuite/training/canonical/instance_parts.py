"""Instances of classes by class, content and attributes, as generators: see `code_parts`."""

import copyreg
import functools
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePath
from types import GetSetDescriptorType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from optsuite.training.canonical.code_parts import Steps
from optsuite.training.canonical.container_parts import Apart, OpaqueError, each, pairs, scalar
from optsuite.training.canonical.names import public_name, versioned
from optsuite.training.canonical.own_code import (
    by_name,
    class_kind,
    class_module,
    module_kind,
    qualname,
)

BUILT_IN = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
REDUCING = {"__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs_ex__", "__getnewargs__"}
NAMED = (
    "__supertype__",
    "__value__",
    "__bound__",
    "__constraints__",
    "__default__",
)  # what types hold that copy by name
ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")


def instance_steps(value: Any) -> Steps:
    """An instance: its class and content, by the class's own way to copy it where an installed class has one."""
    kind = type(value)
    parts: list[Any] = ["instance", (yield kind, "class")]
    reduce = copyreg.dispatch_table.get(kind)
    provider = next((c for c in kind.__mro__[:-1] if REDUCING & vars(c).keys()), None)
    own_provider = provider is not None and class_kind(provider) == "own"
    content = next((base for base in BUILT_IN if issubclass(kind, base)), None)
    if reduce is not None or (provider is not None and not own_provider):
        reduced = reduce(value) if reduce else _reduce(value)
        parts.append((yield from _reduced_steps(reduced)))
        if isinstance(reduced, str) and not _is_installed_as(
            reduced, value
        ):  # the name tells where it is, not what
            names = [name for name in NAMED if hasattr(value, name)]
            if not names:
                raise OpaqueError
            for name in names:
                parts.append([name, (yield getattr(value, name), name)])
    elif content is not None:
        parts.append((yield from _content_steps(value, content)))
    elif not own_provider and not _is_all_visible(value):
        text = repr(value)
        if (
            kind.__repr__ is object.__dict__["__repr__"]
            or ADDRESS.search(text)
            or class_kind(kind) == "own"
        ):
            raise OpaqueError
        parts.append(text)
    if class_kind(kind) == "own" or provider is None:
        named = f"{public_name(class_module(kind))}.{qualname(kind)}"
        for name, part in _attributes(value):
            parts.append([name, (yield versioned(named, value, name, part), f"attribute {name}")])
    return parts


def _is_installed_as(name: str, value: Any) -> bool:
    """Whether an installed module holds the value under that name."""
    modules = {
        getattr(value, "__module__", None),
        type(value).__module__,
        "numpy",
        "scipy.special",
    }  # ufuncs name none
    return any(
        isinstance(m, str) and module_kind(m) == "installed" and by_name(m, name, value)
        for m in modules
    )


def path_steps(value: PurePath) -> Steps:
    """A path by its kind and text, and what a class of a person's own adds; not what pathlib keeps in it."""
    kind = type(value)
    parts: list[Any] = ["path", kind.__name__, (yield PurePath.__str__(value), "path")]
    if class_kind(kind) == "own":
        kept = {
            slot
            for c in kind.__mro__
            if class_kind(c) != "own"
            for slot in vars(c).get("__slots__", ())
        }
        parts.append((yield kind, "class"))
        for name, part in _attributes(value):
            if name not in kept:
                parts.append([name, (yield part, f"attribute {name}")])
    return parts


def _reduce(value: Any) -> Any:
    """What its class says that a copy would be made from."""
    return value.__reduce_ex__(4)


def _reduced_steps(reduced: Any) -> Steps:
    """What a copy would be made from: a name, or a function, its arguments, a state, elements and items."""
    if isinstance(reduced, str):
        return [reduced]
    function, arguments, *rest = reduced
    state, elements, items = (*rest[:3], None, None, None)[:3]
    parts = [(yield function, "function"), (yield arguments, "arguments"), (yield state, "state")]
    parts.append((yield None if elements is None else list(elements), "elements"))
    parts.append((yield None if items is None else list(items), "items"))
    return parts


def _content_steps(value: Any, base: Any) -> Steps:
    """The content of an instance of a subclass of a built-in type, whatever the subclass overrides."""
    if base is dict:
        return (yield from pairs(dict.items(value)))
    if base in (set, frozenset):
        return sorted((yield from each(map(Apart, base.__iter__(value)))))
    if base in (list, tuple):
        return (yield from each(base.__iter__(value)))
    if base in (str, bytes, bytearray):
        return [(yield base.__getitem__(value, slice(None)), "content")]
    return [scalar(base.__pos__(value))]


def _is_all_visible(value: object) -> bool:
    """Whether an instance holds nothing beside its attributes: nothing that only C can see."""
    try:
        object.__reduce_ex__(value, 2)
    except Exception:  # how each type says that it cannot be copied is its own
        return False
    return True


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    """Attributes and slots. Of torch's hooks without their numbers, which count all that a process did; no cached values."""
    kind = type(value)
    has_hooks = issubclass(kind, nn.Module | Optimizer)
    cached = {
        name
        for c in kind.__mro__
        for name, part in vars(c).items()
        if type(part) is functools.cached_property
    }
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        attributes = {}
    copied = (
        functools.WRAPPER_ASSIGNMENTS if "__wrapped__" in attributes else ()
    )  # names and texts of what it wraps
    for name, part in attributes.items():
        if name not in cached and name not in copied:
            yield (
                name,
                list(part.values())
                if has_hooks and "_hooks" in name and isinstance(part, dict)
                else part,
            )
    yield from _of_proxy(value)
    for owner in kind.__mro__:
        slots = vars(owner).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            private = slot.startswith("__") and not slot.endswith("__")
            name = f"_{owner.__name__.lstrip('_')}{slot}" if private else slot
            try:
                yield name, vars(owner)[name].__get__(value)
            except (AttributeError, KeyError):
                continue  # never set


def _of_proxy(value: object) -> Iterator[tuple[str, Any]]:
    """What a proxy that is written in C, as those of wrapt are, keeps beside what it stands for: its dict is that one's."""
    for owner in type(value).__mro__:
        for name, member in vars(owner).items():
            if type(member) is GetSetDescriptorType and (
                name == "__wrapped__" or name.startswith("_self_")
            ):
                with suppress(Exception):  # whatever it raises where nothing is set
                    yield name, member.__get__(value)
