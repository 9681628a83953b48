"""What values consist of, as generators: they yield parts, are sent their descriptions, and return a list that tells all."""

import copyreg
import ctypes
import functools
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path, PurePath
from types import CodeType, MappingProxyType, MethodType, MethodWrapperType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.training.code_parts import Steps
from optsuite.training.own_code import by_name, class_kind, installed, is_installed, module_kind
from optsuite.training.source import bytecode

BUILT_IN = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
REDUCING = {"__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs_ex__", "__getnewargs__"}
ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
DICT_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


class Opaque(Exception):
    """A value of which nothing can be told."""


class Apart:
    """A part whose description must not depend on what was described before it: a set has no order."""

    def __init__(self, value: object) -> None:
        self.value = value


def tensor_bytes(tensor: Tensor) -> bytes:
    """The numbers of a tensor of any dtype, as they lie in memory."""
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().flatten()
    if flat.stride() != (1,):  # a single number may have any
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().tobytes()


def scalar(value: Any) -> str | None:
    """A plain number, text or constant, in full; None for anything else."""
    kind = type(value)
    if kind is str:
        return f"str {value}"
    if kind is int:
        return f"int {value:x}"
    if kind is float:
        return f"float {value.hex()}"
    if kind is bool or value is None or value is Ellipsis or value is NotImplemented:
        return repr(value)
    if kind is complex:
        return f"complex {value.real.hex()} {value.imag.hex()}"
    if kind is bytes:
        return f"bytes {value.hex()}"
    if kind is range:
        return f"range {value.start:x} {value.stop:x} {value.step:x}"
    if kind is np.float64:
        return f"float {float(value).hex()}"
    return None


def is_absolute(value: Any) -> bool:
    """Whether it is a path, or text that may be one, which names a place on this machine."""
    if type(value) is str:
        return value[:1] in ("/", "\\") or value[1:3] in (":/", ":\\")
    return issubclass(type(value), PurePath)


def value_steps(value: Any) -> Steps:
    """A value that is neither code nor a module. Raises Opaque where nothing tells it from others of its kind."""
    kind = type(value)
    if kind in (list, tuple):
        return [kind.__name__, (yield from _each(value))]
    if kind in (dict, MappingProxyType):
        return [kind.__name__, (yield from _pairs(value.items()))]
    if kind in (set, frozenset):
        return [kind.__name__, sorted((yield from _each(map(Apart, value))))]
    if kind in DICT_VIEWS:
        return [kind.__name__, (yield from _each(value))]
    if issubclass(kind, Tensor):
        return (yield from _tensor_steps(value))
    if issubclass(kind, np.ndarray):
        return (yield from _array_steps(value))
    if issubclass(kind, np.generic):
        return ["numpy", str(value.dtype), (yield np.asarray(value).reshape(1), "value")]
    if kind is functools.partial or kind is functools.partialmethod:
        return [kind.__name__, (yield value.func, "function"), *(yield from _call_steps(value)), (yield vars(value), "vars")]
    if issubclass(kind, torch.Generator):
        return ["generator", str(value.device), (yield value.get_state(), "state")]
    if issubclass(kind, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        parts = value.modules() if issubclass(kind, nn.Module) else [value]
        state = dict(value.state_dict()) if issubclass(kind, nn.Module) else {}
        return ["script", [str(getattr(part, "code", "")) for part in parts], (yield state, "state")]
    if issubclass(kind, memoryview):
        return [kind.__name__, value.format, list(value.shape or ()), value.tobytes().hex()]
    if issubclass(kind, io.IOBase):
        raise Opaque
    if issubclass(kind, ctypes.CDLL):
        return ["library", *_library(value._name)]
    if issubclass(kind, PurePath):
        return ["path", kind.__name__, str(value)]
    if issubclass(kind, Enum) and "_name_" in vars(value):
        return ["member", (yield kind, "class"), value._name_, (yield value._value_, "value")]
    return (yield from _other_steps(value))


def _call_steps(value: Any) -> Steps:
    parts: list[Any] = []
    for i, argument in enumerate(value.args):
        parts.append((yield argument, f"argument {i}"))
    for name, argument in value.keywords.items():
        parts.append([name, (yield argument, f"argument {name}")])
    return parts


def _each(values: Iterable[Any]) -> Steps:
    parts = []
    for value in values:
        plain = None if is_absolute(value) else scalar(value)
        parts.append(plain or (yield value, "element"))
    return parts


def _pairs(items: Iterable[tuple[Any, Any]]) -> Steps:
    parts = []
    for key, value in items:
        where = f"element {key!r:.40}" if type(key) in (str, int) else "element"
        parts.append([(yield key, "key"), (yield value, where)])
    return parts


def _tensor_steps(value: Tensor) -> Steps:
    """A tensor of any layout by its kind, dtype, shape and numbers."""
    kind = type(value)
    parts: list[Any] = [str(value.dtype), str(value.layout), value.device.type, value.requires_grad]
    if kind is not Tensor:
        parts.append((yield kind, "class"))
        attributes = object.__getattribute__(value, "__dict__")
        parts.append((yield dict(attributes), "vars"))
    with torch._C.DisableTorchFunctionSubclass():
        parts += _numbers(value.detach())
    return ["tensor", *parts]


def _numbers(value: Tensor) -> list[Any]:
    if value.is_nested:
        return ["nested", [_numbers(part) for part in value.unbind()]]
    shape = list(value.shape)
    if value.is_meta:
        return ["meta", shape, list(value.stride())]
    if value.is_quantized:
        scales = value.q_scale() if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric) else ""
        return ["quantized", shape, str(value.qscheme()), str(scales), _numbers(value.int_repr()), _numbers(value.dequantize())]
    if value.layout is torch.sparse_coo:
        return [shape, value.is_coalesced(), _numbers(value._indices()), _numbers(value._values())]
    if value.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [shape, _numbers(value.crow_indices()), _numbers(value.col_indices()), _numbers(value.values())]
    if value.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [shape, _numbers(value.ccol_indices()), _numbers(value.row_indices()), _numbers(value.values())]
    if value.layout is not torch.strided:
        value = value.to_dense()
    return [shape, str(value.dtype), hashlib.blake2b(tensor_bytes(value), digest_size=16).hexdigest()]


def _array_steps(value: Any) -> Steps:
    """An array of numpy by its kind, dtype, shape and content; of objects and text by its elements."""
    kind = type(value)
    if issubclass(kind, np.ma.MaskedArray):
        return ["masked", (yield kind, "class"), (yield value.data, "data"), (yield value.mask, "mask"), str(value.fill_value)]
    parts: list[Any] = ["array", str(value.dtype), list(value.shape)]
    plain = value.view(np.ndarray)
    if kind not in (np.ndarray, np.memmap):
        parts += [(yield kind, "class"), (yield dict(vars(value)), "vars")]
    if plain.dtype.names:
        for name in plain.dtype.names:
            parts.append([name, (yield plain[name], f"field {name}")])
    elif plain.dtype.hasobject or plain.dtype.kind == "T":
        parts.append((yield plain.ravel().tolist(), "elements"))
    else:
        parts += [plain.dtype.str, hashlib.blake2b(np.ascontiguousarray(plain).tobytes(), digest_size=16).hexdigest()]
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
    if issubclass(kind, staticmethod | classmethod):
        return [kind.__name__, (yield value.__func__, "function")]
    if issubclass(kind, property):
        return [kind.__name__, (yield value.fget, "fget"), (yield value.fset, "fset"), (yield value.fdel, "fdel")]
    if issubclass(kind, functools.cached_property):
        return [kind.__name__, (yield value.func, "function")]
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
    if isinstance(name, str) and isinstance(module, str) and module_kind(module) != "own" and by_name(module, name, value):
        return [kind.__name__, installed(module, name)]
    if isinstance(owner, type):
        return [kind.__name__, (yield owner, "class"), str(name)]
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None and callable(value) and not issubclass(kind, nn.Module):
        parameters: object = getattr(value, "cache_parameters", dict)()
        return [kind.__name__, (yield wrapped, "function"), (yield parameters, "parameters")]
    if kind in (type(len), MethodWrapperType):
        return [kind.__name__, str(name), (yield value.__self__, "self")]
    original = object.__getattribute__(value, "__dict__").get("_modules", {}) if issubclass(kind, nn.Module) else {}
    if "_orig_mod" in original:
        return ["compiled", (yield original["_orig_mod"], "module")]
    if kind in (np.finfo, np.iinfo):
        return [kind.__name__, str(value.dtype)]
    return (yield from instance_steps(value))


def instance_steps(value: Any) -> Steps:
    """An instance: its class and content, by the class's own way to copy it where an installed class has one."""
    kind = type(value)
    parts: list[Any] = ["instance", (yield kind, "class")]
    reduce = copyreg.dispatch_table.get(kind)
    provider = next((c for c in kind.__mro__[:-1] if REDUCING & vars(c).keys()), None)
    own_provider = provider is not None and class_kind(provider) == "own"
    content = next((base for base in BUILT_IN if issubclass(kind, base)), None)
    if reduce is not None or (provider is not None and not own_provider):
        parts.append((yield from _reduced_steps(reduce(value) if reduce else _reduce(value))))
    elif content is not None:
        parts.append((yield from _content_steps(value, content)))
    elif not own_provider and not _is_all_visible(value):
        text = repr(value)
        if kind.__repr__ is object.__dict__["__repr__"] or ADDRESS.search(text) or class_kind(kind) == "own":
            raise Opaque
        parts.append(text)
    if class_kind(kind) == "own" or provider is None:
        for name, part in _attributes(value):
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
        return (yield from _pairs(dict.items(value)))
    if base in (set, frozenset):
        return sorted((yield from _each(map(Apart, base.__iter__(value)))))
    if base in (list, tuple):
        return (yield from _each(base.__iter__(value)))
    if base in (str, bytes, bytearray):
        return [str(base.__getitem__(value, slice(None)))]
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
    cached = {name for c in kind.__mro__ for name, part in vars(c).items() if type(part) is functools.cached_property}
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        attributes = {}
    for name, part in attributes.items():
        if name not in cached:
            yield name, list(part.values()) if has_hooks and "_hooks" in name and isinstance(part, dict) else part
    for owner in kind.__mro__:
        slots = vars(owner).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            private = slot.startswith("__") and not slot.endswith("__")
            name = f"_{owner.__name__.lstrip('_')}{slot}" if private else slot
            try:
                yield name, vars(owner)[name].__get__(value)
            except (AttributeError, KeyError):
                continue  # never set
