"""Describing a definition so that two descriptions are equal only if what they describe behaves alike.

A function of a person's own files is its name, its source, its defaults, what it closes over and the globals it reads,
these described in turn: whoever edits a constant or a helper has changed the definition. Installed code is its name and
the version of its package.
"""

import functools
import hashlib
import inspect
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib import metadata
from pathlib import Path, PurePath
from random import Random
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optsuite.errors import BadInput

FOLDERS = {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), *site.getsitepackages()}
INSTALLED = tuple(str(Path(folder).resolve()) for folder in FOLDERS)
CONTAINERS = (Tensor, np.ndarray, Mapping, list, tuple, set, frozenset, functools.partial)
FAITHFUL = (str, bytes, int, bool, complex, range, PurePath, torch.dtype, torch.device, Enum, np.dtype, type(None))


def describe(value: object) -> Any:
    """The description, in terms of JSON. Raises BadInput for a value that cannot be told from others of its kind."""
    return _describe(value, {})


def tensor_bytes(tensor: Tensor) -> bytes:
    """The numbers of a tensor of any dtype, as they lie in memory."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().flatten()
    return flat.view(torch.uint8).numpy().tobytes()


def _describe(value: Any, seen: dict[int, tuple[int, object]]) -> Any:
    """`seen` numbers, by id, the functions, classes and instances met before, which may refer to each other."""
    if isinstance(value, np.generic):
        value = value.item()
    if getattr(value, "hooked", False):  # torch wraps the step of a class when it is first used: the same class still
        value = value.__wrapped__
    if isinstance(value, float):
        return ["float", float(value).hex()]
    if isinstance(value, FAITHFUL):
        return [type(value).__name__, repr(value)]
    if not isinstance(value, CONTAINERS):
        if id(value) in seen:
            return ["again", seen[id(value)][0]]
        seen[id(value)] = (len(seen), value)
    return [type(value).__name__, *_parts(value, seen)]


def _parts(value: Any, seen: dict[int, tuple[int, object]]) -> Iterator[Any]:
    """What a value that is no plain one consists of."""
    match value:
        case Tensor() | np.ndarray():
            array = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            yield from (str(array.dtype), list(array.shape), hashlib.blake2b(tensor_bytes(array)).hexdigest())
            if array.device.type != "cpu":
                yield array.device.type
        case Mapping():
            for key in sorted(value, key=repr):
                yield [_describe(key, seen), _describe(value[key], seen)]
        case list() | tuple():
            yield from (_describe(part, seen) for part in value)
        case set() | frozenset():
            yield from sorted((_describe(part, seen) for part in value), key=str)
        case functools.partial():
            yield from (_describe(part, seen) for part in (value.func, value.args, value.keywords))
        case staticmethod() | classmethod():
            yield _describe(value.__func__, seen)
        case property():
            yield from (_describe(part, seen) for part in (value.fget, value.fset))
        case MethodType():
            yield from (_describe(part, seen) for part in (value.__func__, value.__self__))
        case ModuleType():
            yield from _file(value)
        case type():
            yield from _class(value, seen)
        case FunctionType():
            yield from _function(value, seen)
        case _ if hasattr(value, "__wrapped__"):  # functools.cache and its like
            yield _describe(value.__wrapped__, seen)
        case BuiltinFunctionType() | _ if inspect.isroutine(value):
            yield _installed(value)
        case Random():
            yield _describe(value.getstate(), seen)
        case _ if hasattr(value, "__dict__"):
            yield from (_describe(type(value), seen), _describe(vars(value), seen))
        case _:
            raise BadInput(
                f"definition: got {value!r} of type {type(value).__name__}, which cannot be told from others of its kind; "
                "allowed: numbers, text, tensors, functions, classes and their instances, or making it inside the function"
            )


def _is_own(file: str | None) -> bool:
    return file is not None and not str(Path(file).resolve()).startswith(INSTALLED) and not file.startswith("<frozen")


def _installed(value: Any) -> str:
    """Name and version of installed code; of a wrapper, which pretends to be what it wraps, its own."""
    module = value.__globals__["__name__"] if isinstance(value, FunctionType) else getattr(value, "__module__", None)
    name = value.__code__.co_qualname if isinstance(value, FunctionType) else getattr(value, "__qualname__", repr(value))
    return f"{module}.{name} {_version(str(module).partition('.')[0])}"


@functools.cache
def _version(package: str) -> str:
    """As the package says, else as it was installed; empty for what is part of Python."""
    try:
        return str(getattr(sys.modules.get(package), "__version__", None) or metadata.version(package))
    except metadata.PackageNotFoundError:
        return ""


def _file(module: ModuleType) -> Iterator[Any]:
    """A module: its text where it is a person's own file."""
    file = getattr(module, "__file__", None)
    yield module.__name__
    yield Path(file).read_text() if file and _is_own(file) and file.endswith(".py") else getattr(module, "__version__", "")


def _class(value: type, seen: dict[int, tuple[int, object]]) -> Iterator[Any]:
    if not _is_own(getattr(sys.modules.get(value.__module__), "__file__", None)):
        yield _installed(value)
        return
    yield value.__qualname__
    yield inspect.getsource(value)
    yield from (_describe(base, seen) for base in value.__bases__)
    for member in vars(value).values():
        if isinstance(member, FunctionType | staticmethod | classmethod | property) or hasattr(member, "__wrapped__"):
            yield _describe(member, seen)


def _function(value: FunctionType, seen: dict[int, tuple[int, object]]) -> Iterator[Any]:
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None:
        yield _describe(wrapped, seen)
    cells = [cell.cell_contents for cell in value.__closure__ or () if cell.cell_contents is not wrapped]
    if not _is_own(value.__code__.co_filename):
        yield from (_installed(value), [_describe(cell, seen) for cell in cells] if wrapped is None else [])
        return
    yield value.__qualname__
    yield list(_code(value.__code__)) if wrapped or value.__name__ == "<lambda>" else _source(value)
    yield from (_describe(part, seen) for part in (value.__defaults__, value.__kwdefaults__, cells))
    names = dict.fromkeys(name for code in _codes(value.__code__) for name in code.co_names)
    for name in names:
        if name in value.__globals__:
            yield [name, _describe(value.__globals__[name], seen)]


def _source(value: FunctionType) -> Any:
    try:
        return inspect.getsource(value)
    except OSError:  # typed at a prompt
        return list(_code(value.__code__))


def _code(code: CodeType) -> Iterator[str]:
    """What a function does where its source cannot be trusted: that of a lambda over several lines ends with the first."""
    for part in _codes(code):
        yield part.co_code.hex()
        yield repr([c for c in part.co_consts if not isinstance(c, CodeType)])
        yield repr((part.co_names, part.co_varnames, part.co_freevars))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code and all that is defined inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
