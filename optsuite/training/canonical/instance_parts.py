"""Instances of classes by class, content and attributes, as generators: see `steps`."""

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

from optsuite.training.canonical.container_parts import Apart, OpaqueError, each, pairs, scalar
from optsuite.training.canonical.names import public_name, versioned
from optsuite.training.canonical.own_code import (
    by_name,
    class_kind,
    class_module,
    module_kind,
    qualname,
)
from optsuite.training.canonical.steps import Steps

BUILT_IN = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
REDUCING = {"__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs_ex__", "__getnewargs__"}
# The content of types from `typing` that are copied by name.
NAMED = ("__supertype__", "__value__", "__bound__", "__constraints__", "__default__")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")


def instance_steps(value: Any) -> Steps:
    """An instance: its class, content and attributes.

    Where an installed class defines how to copy an instance, that stands for the content. Raises
    OpaqueError if nothing distinguishes the value from others of its class.
    """
    kind = type(value)
    parts: list[Any] = ["instance", (yield kind, "class")]
    reduce = copyreg.dispatch_table.get(kind)
    provider = next((c for c in kind.__mro__[:-1] if REDUCING & vars(c).keys()), None)
    own_provider = provider is not None and class_kind(provider) == "own"
    content = next((base for base in BUILT_IN if issubclass(kind, base)), None)
    if reduce is not None or (provider is not None and not own_provider):
        reduced = reduce(value) if reduce else value.__reduce_ex__(4)
        parts.append((yield from _reduced_steps(reduced)))
        # Such a name tells where the value is, not what it is.
        if isinstance(reduced, str) and not _is_installed_as(reduced, value):
            parts += yield from _named_steps(value)
    elif content is not None:
        parts.append((yield from _content_steps(value, content)))
    elif not own_provider and not _is_all_visible(value):
        parts.append(_text_of(value))
    if class_kind(kind) == "own" or provider is None:
        named = f"{public_name(class_module(kind))}.{qualname(kind)}"
        for name, part in _attributes(value):
            parts.append([name, (yield versioned(named, value, name, part), f"attribute {name}")])
    return parts


def _is_installed_as(name: str, value: Any) -> bool:
    """Whether an installed module holds the value under that name."""
    modules = {getattr(value, "__module__", None), type(value).__module__}
    modules |= {"numpy", "scipy.special"}  # whose ufuncs name no module
    for module in modules:
        if not isinstance(module, str) or module_kind(module) != "installed":
            continue
        if by_name(module, name, value):
            return True
    return False


def _named_steps(value: Any) -> Steps:
    """The content of a value that is copied by name. Raises OpaqueError if it is unknown."""
    names = [name for name in NAMED if hasattr(value, name)]
    if not names:
        raise OpaqueError
    parts: list[Any] = []
    for name in names:
        parts.append([name, (yield getattr(value, name), name)])
    return parts


def _text_of(value: Any) -> str:
    """The repr of an instance of an installed class. Raises OpaqueError if it tells nothing."""
    kind = type(value)
    text = repr(value)
    is_default = kind.__repr__ is object.__dict__["__repr__"]
    if is_default or ADDRESS.search(text) or class_kind(kind) == "own":
        raise OpaqueError
    return text


def path_steps(value: PurePath) -> Steps:
    """A path by its kind, its text, and what an own class adds; not by what pathlib caches."""
    kind = type(value)
    parts: list[Any] = ["path", kind.__name__, (yield PurePath.__str__(value), "path")]
    if class_kind(kind) != "own":
        return parts
    slots_of_pathlib: set[str] = set()
    for owner in kind.__mro__:
        if class_kind(owner) != "own":
            slots_of_pathlib.update(vars(owner).get("__slots__", ()))
    parts.append((yield kind, "class"))
    for name, part in _attributes(value):
        if name not in slots_of_pathlib:
            parts.append([name, (yield part, f"attribute {name}")])
    return parts


def _reduced_steps(reduced: Any) -> Steps:
    """What a copy would be made from: a name; or a function, arguments, state, elements, items."""
    if isinstance(reduced, str):
        return [reduced]
    function, arguments, *rest = reduced
    state, elements, items = (*rest[:3], None, None, None)[:3]
    parts = [(yield function, "function"), (yield arguments, "arguments"), (yield state, "state")]
    for iterator, where in ((elements, "elements"), (items, "items")):
        parts.append((yield None if iterator is None else list(iterator), where))
    return parts


def _content_steps(value: Any, base: Any) -> Steps:
    """The content of an instance of a subclass of a built-in type, by the methods of that type."""
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
    """Whether an instance holds nothing but its attributes: nothing that only C can see."""
    try:
        object.__reduce_ex__(value, 2)
    except Exception:  # Types differ in how they refuse to be copied.
        return False
    return True


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    """The attributes and slots, without cached properties and what was copied from wrapped code."""
    kind = type(value)
    has_hooks = issubclass(kind, nn.Module | Optimizer)
    aside = _cached_properties(kind)
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        attributes = {}
    if "__wrapped__" in attributes:
        aside.update(functools.WRAPPER_ASSIGNMENTS)
    for name, part in attributes.items():
        if name in aside:
            continue
        if has_hooks and "_hooks" in name and isinstance(part, dict):
            # The keys count all hooks of the process.
            yield name, list(part.values())
        else:
            yield name, part
    yield from _of_proxy(value)
    yield from _of_slots(value)


def _cached_properties(kind: type) -> set[str]:
    found = set()
    for owner in kind.__mro__:
        for name, part in vars(owner).items():
            if type(part) is functools.cached_property:
                found.add(name)
    return found


def _of_slots(value: object) -> Iterator[tuple[str, Any]]:
    """The slots that are set, by mangled name."""
    for owner in type(value).__mro__:
        slots = vars(owner).get("__slots__", ())
        if isinstance(slots, str):
            slots = (slots,)
        for slot in slots:
            is_private = slot.startswith("__") and not slot.endswith("__")
            name = f"_{owner.__name__.lstrip('_')}{slot}" if is_private else slot
            try:
                yield name, vars(owner)[name].__get__(value)
            except (AttributeError, KeyError):
                continue  # never set


def _of_proxy(value: object) -> Iterator[tuple[str, Any]]:
    """What a proxy written in C, such as wrapt's, keeps itself: its `__dict__` is its target's."""
    for owner in type(value).__mro__:
        for name, member in vars(owner).items():
            if type(member) is not GetSetDescriptorType:
                continue
            if name == "__wrapped__" or name.startswith("_self_"):
                with suppress(Exception):  # Unset members differ in what they raise.
                    yield name, member.__get__(value)
