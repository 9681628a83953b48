"""What a module holds apart from its tensors, as values that can be compared.

A stack runs one module for all its runs and swaps in their parameters and buffers. Anything else
that forward changes would be shared by all runs, or lost.
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

# From an owner and the name of its attribute, in the words of messages, to a token.
State = Mapping[tuple[str, str], object]
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
# Hooks, and the tensors, which are compared separately.
OF_TORCH = {name for name in vars(nn.Module()) if name != "training"}
# Elements. Without `contents`, only the version tells whether a larger tensor has changed.
LARGE = 10_000
INSTALLED = ("torch.", "builtins", "abc", "typing")


def state_of(model: nn.Module, *, contents: bool = True) -> State:
    """The attributes of all submodules and their classes, except parameters and buffers.

    The keys are (class name, attribute). Tokens are equal if the values they stand for are. Without
    `contents`, large tensors are told apart by version alone, which is cheap enough to compare the
    state of one module after every step.
    """
    known: dict[int, object] = {}
    for name, module in model.named_modules():
        known[id(module)] = ("module", name)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        known[id(tensor)] = ("tensor", name)
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
    """The first attribute that differs, in words such as `calls of Net`; empty if none does."""
    for owner, name in (*before, *after):
        key = (owner, name)
        if before.get(key, before) != after.get(key, after):
            return f"{name} of {owner}"
    return ""


def token_of(value: object) -> object:
    """The token of any value, such as a loss."""
    return _Tokens({}, contents=True).of(value)


def _structure(module: nn.Module) -> dict[str, object]:
    """The names of its tensors and modules, and which parameters are trained."""
    found: dict[str, object] = {}
    for name, parameter in vars(module)["_parameters"].items():
        if parameter is not None:
            found[f"{name} (frozen or not)"] = parameter.requires_grad
    for kind in ("_parameters", "_buffers", "_modules"):
        found[kind] = [(name, value is None) for name, value in vars(module)[kind].items()]
    return found


def _class_attributes(kind: type) -> Iterator[tuple[str, str, object]]:
    """(class, name, value) of attributes of the classes of a module, which all runs share."""
    for cls in kind.__mro__:
        if cls.__module__.startswith(INSTALLED) or cls.__module__ == "torch":
            continue
        for name, value in vars(cls).items():
            if isinstance(value, types.FunctionType) and vars(value):
                yield cls.__name__, name, dict(vars(value))
            is_code = inspect.isroutine(value) or isinstance(value, type | property)
            if not name.startswith("__") and not is_code:
                yield cls.__name__, name, value


class _Tokens:
    """Makes tokens. A value that was met before is represented by its number, so cycles end."""

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
                yield from (value.dtype, tuple(value.shape), value.requires_grad)
                yield self._numbers(value)
            case np.ndarray() | np.generic():
                yield from (str(value.dtype), np.shape(value), _hash(np.asarray(value)))
            case torch.Generator() | np.random.Generator() | np.random.RandomState() | Random():
                yield _generator_state(value)
            case Mapping() | list() | tuple() | deque() | set() | frozenset():
                yield from self._items(value)
            case functools.partial():
                yield from map(self.of, (value.func, value.args, value.keywords))
            case types.MethodType():
                yield from map(self.of, (value.__func__, value.__self__))
            case types.FunctionType():
                yield from self._function(value)
            case type() | types.ModuleType() | types.BuiltinFunctionType():
                yield getattr(value, "__qualname__", value.__name__)
            case types.GeneratorType():
                frame = value.gi_frame
                yield frame is None
                yield self.of(frame.f_locals) if frame else None
            case _ if hasattr(value, "cache_info"):
                yield value.cache_info().currsize
            case _:
                yield from self._instance(value)

    def _items(self, value: Any) -> Iterator[object]:
        match value:
            case Mapping():
                for key, item in list(value.items()):
                    yield self.of(key), self.of(item)
            case set() | frozenset():
                yield from sorted(map(self.of, value), key=repr)
            case _:
                yield from map(self.of, list(value))

    def _function(self, value: types.FunctionType) -> Iterator[object]:
        yield value.__code__
        for cell in value.__closure__ or ():
            yield self.of(cell.cell_contents) if _is_filled(cell) else None
        yield from map(self.of, (vars(value), value.__defaults__, value.__kwdefaults__))

    def _instance(self, value: Any) -> Iterator[object]:
        slots: set[str] = set()
        for cls in type(value).__mro__:
            slots.update(name for name in getattr(cls, "__slots__", ()) if hasattr(value, name))
        if hasattr(value, "__dict__") or slots:
            attributes = {name: getattr(value, name) for name in sorted(slots)}
            yield self.of(attributes | dict(getattr(value, "__dict__", {})))
            return
        # Iterators and other objects implemented in C: what a copy would be made from.
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield self.of(value.__reduce_ex__(4))
        except Exception:
            yield "unknown"

    def _numbers(self, value: Tensor) -> object:
        if value.numel() > LARGE and not self._contents:
            return value._version, id(value)
        # Fails if sparse, on a device without memory to copy, or left over from a transform.
        try:
            return hashlib.blake2b(tensor_bytes(value)).hexdigest()
        except Exception:
            return value._version, id(value)


def _generator_state(value: Any) -> object:
    match value:
        case torch.Generator():
            return hashlib.blake2b(tensor_bytes(value.get_state())).hexdigest()
        case np.random.Generator():
            return repr(value.bit_generator.state)
        case np.random.RandomState():
            return repr(value.get_state())
        case _:
            return hash(value.getstate())


def _hash(array: Any) -> str:
    if array.dtype.hasobject:
        return repr(array.tolist())
    return hashlib.blake2b(array.tobytes()).hexdigest()


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
