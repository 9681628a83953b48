"""Values that are neither code nor modules, by kind, as generators: see `code_parts`."""

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
from optsuite.training.canonical.code_parts import Steps
from optsuite.training.canonical.container_parts import Apart, OpaqueError, each, pairs
from optsuite.training.canonical.instance_parts import instance_steps, path_steps
from optsuite.training.canonical.members import added
from optsuite.training.canonical.names import Code
from optsuite.training.canonical.own_code import by_name, class_kind, is_installed, module_kind
from optsuite.training.canonical.source import bytecode

CACHED: type = type(functools.lru_cache(len))
DESCRIPTORS = {
    *(
        MethodDescriptorType,
        WrapperDescriptorType,
        ClassMethodDescriptorType,
        GetSetDescriptorType,
        MemberDescriptorType,
    ),
}
PLACE_OF_SCRIPT = re.compile(r" # .*")
WRAPPERS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
}
SEEDED = {  # generators of their modules, which every run seeds: what they hold now is not part of anything
    id(random.random.__self__): "random",  # type: ignore[attr-defined]
    id(np.random.random.__self__): "numpy.random",  # type: ignore[attr-defined]
    id(torch.default_generator): "torch",
}
DICT_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def value_steps(value: Any) -> Steps:
    """A value that is neither code nor a module. Raises OpaqueError where nothing tells it from others of its kind."""
    kind = type(value)
    if id(value) in SEEDED:
        return ["seeded", SEEDED[id(value)]]
    if kind in (list, tuple):
        return [kind.__name__, (yield from each(value))]
    if kind in (dict, MappingProxyType):
        return [kind.__name__, (yield from pairs(value.items()))]
    if kind in (set, frozenset):
        return [kind.__name__, sorted((yield from each(map(Apart, value))))]
    if kind in DICT_VIEWS:
        return [kind.__name__, (yield from each(value))]
    if issubclass(kind, Tensor):
        return (yield from tensor_steps(value))
    if issubclass(kind, np.ndarray):
        return (yield from array_steps(value))
    if issubclass(kind, np.generic) and class_kind(kind) == "installed":
        return ["numpy", str(value.dtype), (yield np.asarray(value).reshape(1), "value")]
    if kind is functools.partial or kind is functools.partialmethod:
        return [
            kind.__name__,
            (yield value.func, "function"),
            *(yield from _call_steps(value)),
            (yield vars(value), "vars"),
        ]
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
        return [
            "member",
            (yield kind, "class"),
            value._name_,
            (yield value._value_, "value"),
            (yield added(value), "added"),
        ]
    return (yield from _other_steps(value))


def _script_steps(value: Any) -> Steps:
    """A script of torch: its graph with all that it calls, the constants in it, and what its modules hold."""
    kind, parts = type(value), list[Any]()
    if issubclass(kind, nn.Module):
        parts += [
            value._c.dump_to_str(True, True, False),
            (yield dict(value.state_dict()), "state"),
        ]
    graph = getattr(value, "inlined_graph", None)
    for node in graph.findAllNodes("prim::Constant") if graph is not None else ():
        if "value" in node.attributeNames() and node.kindOf("value") == "t":
            parts.append((yield node.t("value"), "constant"))
    return ["script", PLACE_OF_SCRIPT.sub("", f"{graph}"), *parts]


def _call_steps(value: Any) -> Steps:
    parts: list[Any] = []
    for i, argument in enumerate(value.args):
        parts.append((yield argument, f"argument {i}"))
    for name, argument in value.keywords.items():
        parts.append([name, (yield argument, f"argument {name}")])
    return parts


def _library(name: Any) -> Iterator[str]:
    """A C library: its name, and its content where it is a person's own file."""
    path = Path(str(name))
    yield path.name
    if path.is_file() and not is_installed(str(path)):
        yield hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _other_steps(value: Any) -> Steps:
    """What wraps or binds something else, and instances of classes."""
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
    """An instance of an installed class, functions that are not written in Python among them."""
    kind = type(value)
    name, module = getattr(value, "__qualname__", None), getattr(value, "__module__", None)
    owner = getattr(value, "__objclass__", None)
    if (
        isinstance(name, str)
        and isinstance(module, str)
        and module_kind(module) != "own"
        and by_name(module, name, value)
    ):
        return [kind.__name__, (yield Code(module, name), "name")]
    if kind in DESCRIPTORS and isinstance(owner, type):
        return [kind.__name__, (yield owner, "class"), str(name)]
    if kind is CACHED:  # less what it has kept
        parameters = yield value.cache_parameters(), "parameters"
        aside = {"cache_parameters", *functools.WRAPPER_ASSIGNMENTS}
        attributes = {key: part for key, part in vars(value).items() if key not in aside}
        return [kind.__name__, parameters, (yield attributes, "attributes")]
    if kind in (type(len), MethodWrapperType):
        return [kind.__name__, str(name), (yield value.__self__, "self")]
    original = (
        object.__getattribute__(value, "__dict__").get("_modules", {})
        if issubclass(kind, nn.Module)
        else {}
    )
    if "_orig_mod" in original:
        return ["compiled", (yield original["_orig_mod"], "module")]
    if kind in (np.finfo, np.iinfo):
        return [kind.__name__, str(value.dtype)]
    return (yield from instance_steps(value))
