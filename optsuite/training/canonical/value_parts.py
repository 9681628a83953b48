"""Values that are neither code nor modules, by kind, as generators: see `steps`."""

import ctypes
import functools
import hashlib
import io
import random
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path, PurePath
from types import (
    ClassMethodDescriptorType,
    CodeType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optsuite.training.canonical.array_parts import array_steps, tensor_steps
from optsuite.training.canonical.container_parts import Apart, OpaqueError, each, pairs
from optsuite.training.canonical.instance_parts import instance_steps, path_steps
from optsuite.training.canonical.members import added
from optsuite.training.canonical.names import Code
from optsuite.training.canonical.own_code import by_name, class_kind, is_installed, module_kind
from optsuite.training.canonical.source import bytecode
from optsuite.training.canonical.steps import Steps

CACHED: type = type(functools.lru_cache(len))
DESCRIPTORS = {
    MethodDescriptorType,
    WrapperDescriptorType,
    ClassMethodDescriptorType,
    GetSetDescriptorType,
    MemberDescriptorType,
}
PLACE_OF_SCRIPT = re.compile(r" # .*")
WRAPPERS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
}
# The global generators. Every run seeds them, so their present state is irrelevant.
SEEDED = {
    id(random.random.__self__): "random",  # type: ignore[attr-defined]
    id(np.random.random.__self__): "numpy.random",  # type: ignore[attr-defined]
    id(torch.default_generator): "torch",
}
DICT_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def value_steps(value: Any) -> Steps:
    """A value that is neither code nor a module.

    Raises OpaqueError if nothing distinguishes it from others of its kind.
    """
    kind = type(value)
    if id(value) in SEEDED:
        return ["seeded", SEEDED[id(value)]]
    if kind in (list, tuple, *DICT_VIEWS):
        return [kind.__name__, (yield from each(value))]
    if kind in (dict, MappingProxyType):
        return [kind.__name__, (yield from pairs(value.items()))]
    if kind in (set, frozenset):
        return [kind.__name__, sorted((yield from each(map(Apart, value))))]
    if kind is functools.partial or kind is functools.partialmethod:
        return (yield from _partial_steps(value))
    if issubclass(kind, Tensor):
        return (yield from tensor_steps(value))
    if issubclass(kind, np.ndarray):
        return (yield from array_steps(value))
    if issubclass(kind, np.generic) and class_kind(kind) == "installed":
        return ["numpy", str(value.dtype), (yield np.asarray(value).reshape(1), "value")]
    if issubclass(kind, torch.Generator):
        return ["generator", str(value.device), (yield value.get_state(), "state")]
    if issubclass(kind, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        return (yield from _script_steps(value))
    if issubclass(kind, memoryview):
        return [kind.__name__, value.format, list(value.shape or ()), value.tobytes().hex()]
    if issubclass(kind, io.IOBase):
        raise OpaqueError
    if issubclass(kind, ctypes.CDLL):
        return ["library", *_library(value._name)]
    if issubclass(kind, PurePath):
        return (yield from path_steps(value))
    if issubclass(kind, Enum) and "_name_" in vars(value):
        return (yield from _member_steps(value))
    return (yield from _other_steps(value))


def _partial_steps(value: Any) -> Steps:
    """A partial function or method: what it calls, with which arguments, and its attributes."""
    parts: list[Any] = [type(value).__name__, (yield value.func, "function")]
    for i, argument in enumerate(value.args):
        parts.append((yield argument, f"argument {i}"))
    for name, argument in value.keywords.items():
        parts.append([name, (yield argument, f"argument {name}")])
    parts.append((yield vars(value), "vars"))
    return parts


def _member_steps(value: Any) -> Steps:
    """A member of an Enum: its class, name, value, and the attributes that it was given."""
    kind = yield type(value), "class"
    content = yield value._value_, "value"
    attributes = yield added(value), "added"
    return ["member", kind, value._name_, content, attributes]


def _script_steps(value: Any) -> Steps:
    """A script of torch: its graph with all that it calls, its constants and its state."""
    parts: list[Any] = []
    if issubclass(type(value), nn.Module):
        parts.append(value._c.dump_to_str(True, True, False))
        parts.append((yield dict(value.state_dict()), "state"))
    graph = getattr(value, "inlined_graph", None)
    if graph is not None:
        for node in graph.findAllNodes("prim::Constant"):
            if "value" in node.attributeNames() and node.kindOf("value") == "t":
                parts.append((yield node.t("value"), "constant"))
    return ["script", PLACE_OF_SCRIPT.sub("", f"{graph}"), *parts]


def _library(name: Any) -> Iterator[str]:
    """A C library: its name, and a hash of its content if it is the user's own file."""
    path = Path(str(name))
    yield path.name
    if path.is_file() and not is_installed(str(path)):
        yield hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _other_steps(value: Any) -> Steps:
    """Wrappers, bound methods, and instances of classes."""
    kind = type(value)
    wrapped = next((names for base, names in WRAPPERS.items() if issubclass(kind, base)), None)
    if wrapped is not None:
        parts: list[Any] = [kind.__name__]
        for name in wrapped:
            parts.append((yield getattr(value, name), name))
        if class_kind(kind) == "own":
            parts += [(yield kind, "class"), (yield getattr(value, "__dict__", {}), "attributes")]
        return parts
    if kind is MethodType:
        return ["method", (yield value.__func__, "function"), (yield value.__self__, "self")]
    if kind is CodeType:
        return ["code", bytecode(value)]
    if class_kind(kind) == "installed":
        return (yield from _installed_steps(value))
    return (yield from instance_steps(value))


def _installed_steps(value: Any) -> Steps:
    """An instance of an installed class, which includes functions not written in Python."""
    kind = type(value)
    name = getattr(value, "__qualname__", None)
    module = getattr(value, "__module__", None)
    owner = getattr(value, "__objclass__", None)
    if isinstance(name, str) and isinstance(module, str):
        is_found = module_kind(module) != "own" and by_name(module, name, value)
        if is_found:
            return [kind.__name__, (yield Code(module, name), "name")]
    if kind in DESCRIPTORS and isinstance(owner, type):
        return [kind.__name__, (yield owner, "class"), str(name)]
    if kind is CACHED:  # described without the results that it holds
        parameters = yield value.cache_parameters(), "parameters"
        aside = {"cache_parameters", *functools.WRAPPER_ASSIGNMENTS}
        attributes = {key: part for key, part in vars(value).items() if key not in aside}
        return [kind.__name__, parameters, (yield attributes, "attributes")]
    if kind in (type(len), MethodWrapperType):
        return [kind.__name__, str(name), (yield value.__self__, "self")]
    if issubclass(kind, nn.Module):
        modules = object.__getattribute__(value, "__dict__").get("_modules", {})
        if "_orig_mod" in modules:  # made by torch.compile
            return ["compiled", (yield modules["_orig_mod"], "module")]
    if kind in (np.finfo, np.iinfo):
        return [kind.__name__, str(value.dtype)]
    return (yield from instance_steps(value))
