"""What a module holds beside its tensors, as values that can be compared: what forward must leave alone in a stack.

A stack runs one module for all its runs and swaps in their parameters and buffers; whatever else forward changes would be
shared by all of them, or lost.
"""

import functools
import hashlib
import inspect
import types
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optsuite.training.canonical.canonicalize import tensor_bytes

State = Mapping[
    tuple[str, str], object
]  # what it belongs to and its name, as a message says them, to a token
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
OF_TORCH = {
    name for name in vars(nn.Module()) if name != "training"
}  # hooks, and the tensors, which are compared apart
LARGE = 10_000  # elements; whether larger tensors have changed is told by their version where the contents may wait
INSTALLED = ("torch.", "builtins", "abc", "typing")


def state_of(model: nn.Module, *, contents: bool = True) -> State:
    """The attributes of every submodule and of its classes, by (class name, attribute), less parameters and buffers.

    Tokens are equal where what they stand for is. Without `contents`, large tensors are told apart by version alone, so
    that the state of one module can be compared after every step.
    """
    known: dict[int, object] = {
        id(module): ("module", name) for name, module in model.named_modules()
    }
    known |= {
        id(tensor): ("tensor", name)
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    tokens = _Tokens(known, contents=contents)
    found: dict[tuple[str, str], object] = {}
    for path, module in model.named_modules():
        kind = type(module).__name__
        own = {name: value for name, value in vars(module).items() if name not in OF_TORCH}
        for name, value in (own | _structure(module)).items():
            found[f"{kind} {path}".strip(), name] = tokens.of(value)
        for cls, name, value in _class_attributes(type(module)):
            found[f"the class {cls}", name] = tokens.of(value)
    return found


def change(before: State, after: State) -> str:
    """The first attribute that differs, as `calls of Net`; empty where none does."""
    for owner, name in (*before, *after):
        key = (owner, name)
        if before.get(key, before) != after.get(key, after):
            return f"{name} of {owner}"
    return ""


def token_of(value: object) -> object:
    """The token of any value, such as a loss."""
    return _Tokens({}, contents=True).of(value)


def _structure(module: nn.Module) -> dict[str, object]:
    """Which tensors and modules there are, and which parameters are trained."""
    parameters = vars(module)["_parameters"].items()
    found: dict[str, object] = {
        f"{name} (frozen or not)": p.requires_grad for name, p in parameters if p is not None
    }
    for kind in ("_parameters", "_buffers", "_modules"):
        found[kind] = [(name, value is None) for name, value in vars(module)[kind].items()]
    return found


def _class_attributes(kind: type) -> Iterator[tuple[str, str, object]]:
    """(class, name, value) of what stands on the classes of a module, which its runs share with all others."""
    for cls in kind.__mro__:
        if cls.__module__.startswith(INSTALLED) or cls.__module__ == "torch":
            continue
        for name, value in vars(cls).items():
            if isinstance(value, types.FunctionType) and vars(value):
                yield cls.__name__, name, dict(vars(value))
            if (
                not name.startswith("__")
                and not inspect.isroutine(value)
                and not isinstance(value, type | property)
            ):
                yield cls.__name__, name, value


class _Tokens:
    """Makes tokens; values that were met before stand for themselves by number, so that circles end."""

    def __init__(self, known: Mapping[int, object], *, contents: bool) -> None:
        self._known = known
        self._contents = contents
        self._met: dict[int, tuple[int, object]] = {}

    def of(self, value: Any) -> object:
        if isinstance(value, PLAIN):
            return type(value).__name__, repr(value)
        if id(value) in self._known:
            return self._known[id(value)]
        if id(value) in self._met:
            return "again", self._met[id(value)][0]
        self._met[id(value)] = (len(self._met), value)
        return type(value).__qualname__, *self._parts(value)

    def _parts(self, value: Any) -> Iterator[object]:
        match value:
            case Tensor():
                yield from (
                    value.dtype,
                    tuple(value.shape),
                    value.requires_grad,
                    self._numbers(value),
                )
            case np.ndarray() | np.generic():
                yield from (str(value.dtype), np.shape(value), _hash(np.asarray(value)))
            case torch.Generator():
                yield hashlib.blake2b(tensor_bytes(value.get_state())).hexdigest()
            case np.random.Generator():
                yield repr(value.bit_generator.state)
            case np.random.RandomState():
                yield repr(value.get_state())
            case Random():
                yield hash(value.getstate())
            case Mapping():
                yield from ((self.of(key), self.of(item)) for key, item in list(value.items()))
            case list() | tuple() | deque():
                yield from (self.of(item) for item in list(value))
            case set() | frozenset():
                yield from sorted((self.of(item) for item in value), key=repr)
            case functools.partial():
                yield from (self.of(part) for part in (value.func, value.args, value.keywords))
            case types.MethodType():
                yield from (self.of(value.__func__), self.of(value.__self__))
            case types.FunctionType():
                yield from self._function(value)
            case type() | types.ModuleType() | types.BuiltinFunctionType():
                yield getattr(value, "__qualname__", value.__name__)
            case types.GeneratorType():
                yield from (
                    value.gi_frame is None,
                    self.of(value.gi_frame.f_locals) if value.gi_frame else None,
                )
            case _ if hasattr(value, "cache_info"):
                yield value.cache_info().currsize
            case _:
                yield from self._instance(value)

    def _function(self, value: types.FunctionType) -> Iterator[object]:
        yield value.__code__
        for cell in value.__closure__ or ():
            yield self.of(cell.cell_contents) if _is_filled(cell) else None
        yield from (
            self.of(vars(value)),
            self.of(value.__defaults__),
            self.of(value.__kwdefaults__),
        )

    def _instance(self, value: Any) -> Iterator[object]:
        slots = {
            name
            for cls in type(value).__mro__
            for name in getattr(cls, "__slots__", ())
            if hasattr(value, name)
        }
        if hasattr(value, "__dict__") or slots:
            yield self.of(
                {name: getattr(value, name) for name in sorted(slots)}
                | dict(getattr(value, "__dict__", {}))
            )
            return
        try:  # iterators and others of C: what a copy of it would be made from
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield self.of(value.__reduce_ex__(4))
        except Exception:
            yield "unknown"

    def _numbers(self, value: Tensor) -> object:
        if value.numel() > LARGE and not self._contents:
            return value._version, id(value)
        try:
            return hashlib.blake2b(tensor_bytes(value)).hexdigest()
        except (
            Exception
        ):  # sparse, on a device without memory to copy, or of a transform that is over
            return value._version, id(value)


def _hash(array: Any) -> str:
    return (
        repr(array.tolist())
        if array.dtype.hasobject
        else hashlib.blake2b(array.tobytes()).hexdigest()
    )


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
