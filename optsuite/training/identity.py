"""The fingerprint of a run: a hash of everything that determines its bits. Same fingerprint, same curve."""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor

from optsuite.definition import Benchmark, OptimizerSpec, Splits
from optsuite.training.run import Run

PROTOCOL = 1  # raise it when the training code changes what a run computes: older results then count as superseded


def digest(*parts: object) -> str:
    """16 hexadecimal digits that name the parts."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2^63) of its own for each list of parts, the same in every process."""
    return int(digest(*parts), 16) >> 1


def hash_splits(splits: Splits) -> str:
    """A hash of the tensors of a dataset."""
    content = hashlib.blake2b(digest_size=8)
    for split in (splits.train, splits.validation, splits.test):
        for tensor in split:
            content.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            content.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()


def describe(value: object, seen: tuple[object, ...] = ()) -> Any:
    """A description that two values share only if they behave alike, in terms of JSON.

    A function is its qualified name, source, defaults, what it closes over, and the globals of its own module that it
    reads: whoever edits a constant or a helper in a suite file has changed the definition.
    """
    if any(value is earlier for earlier in seen):
        return "recursion"
    seen = (*seen, value)
    match value:
        case None | bool() | int() | float() | str():
            return repr(value)
        case Tensor():
            return [str(value.dtype), hashlib.blake2b(value.detach().cpu().numpy().tobytes()).hexdigest()]
        case Mapping():
            return [[str(key), describe(value[key], seen)] for key in sorted(value, key=str)]
        case list() | tuple() | set() | frozenset():
            parts = [describe(part, seen) for part in value]
            return sorted(parts, key=str) if isinstance(value, set | frozenset) else parts
        case partial():
            return ["partial", *(describe(part, seen) for part in (value.func, value.args, value.keywords))]
        case ModuleType():
            return value.__name__
        case FunctionType():
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            parts = [describe(part, seen) for part in (value.__defaults__, value.__kwdefaults__, cells)]
            return [*_source(value), *parts, describe(_globals_read(value), seen)]
        case type():
            methods = [m for m in vars(value).values() if isinstance(m, FunctionType)] if _is_own(value) else []
            return [*_source(value), [describe(_globals_read(method), seen) for method in methods]]
        case _ if is_dataclass(value):
            return [type(value).__qualname__, *(describe(getattr(value, f.name), seen) for f in fields(value))]
        case _ if inspect.isroutine(value):
            return getattr(value, "__qualname__", repr(type(value)))
    state = getattr(value, "__dict__", {})
    return [describe(type(value), seen), describe(state, seen)]


def _source(value: Callable[..., object]) -> list[str]:
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        code = getattr(value, "__code__", None)
        source = code.co_code.hex() + repr(code.co_consts) if isinstance(code, CodeType) else ""
    return [f"{value.__module__}.{value.__qualname__}", source]


def _is_own(value: Any) -> bool:
    return str(value.__module__).partition(".")[0] not in ("torch", "torchvision", "builtins", "numpy")


def _globals_read(function: FunctionType) -> dict[str, object]:
    """The globals that a function reads: plain values, and functions and classes of its own module."""
    if not _is_own(function):
        return {}
    found = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
    plain = (bool, int, float, str, tuple, list, dict, set, frozenset, Tensor, partial)
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, plain) or getattr(value, "__module__", None) == function.__module__
    }


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def setting(benchmark: Benchmark, splits: Splits, *, dtype: torch.dtype, device: str) -> str:
    """What all runs that may be compared with each other share: the benchmark, its data, the numerics, the protocol."""
    parts = {f.name: describe(getattr(benchmark, f.name)) for f in fields(benchmark) if f.name not in ("name", "dataset")}
    kind = torch.device(device).type
    return digest(PROTOCOL, benchmark.name, parts, hash_splits(splits), str(dtype), kind, torch.__version__)


def definition(spec: OptimizerSpec) -> str:
    """What determines the steps of an optimizer, but for its rate."""
    return digest(spec.name, describe(spec.build), describe(spec.fixed))


def fingerprint(run: Run, *, setting: str, definition: str, engine: str) -> str:
    """The identity of a run: `setting-definition-rest`, so that what became of an older run can be told from it."""
    return f"{setting}-{definition}-{digest(run.lr, run.seed, run.kind, run.arm, engine)}"
