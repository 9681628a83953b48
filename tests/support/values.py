"""Values that are hard to describe."""

import collections
import enum
import functools
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from sklearn.utils._available_if import _AvailableIfDescriptor
from torch import nn

Point = collections.namedtuple("Point", "a b")
Color = enum.Enum("Color", "RED GREEN")


class Hostile:
    """Raises in every method."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("reduce")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")


class Shouting(str):
    """A str with content, whose own `__str__` hides it."""

    __slots__ = ()

    def __str__(self) -> str:
        return "the same"


class Place(PurePosixPath):
    """A path with an attribute beside its text."""

    def __new__(cls, part: str) -> "Place":
        return super().__new__(cls, "/tmp/place")

    def __init__(self, part: str) -> None:
        self.part = part


class Mass(np.float64):
    def __init__(self, number: float) -> None:
        self.unit = number

    def __new__(cls, number: float) -> "Mass":
        return super().__new__(cls, 1.0)


class Linked:
    def __init__(self, value: object) -> None:
        self.value, self.me = value, self


def structured(number: float) -> Any:
    return np.array([(1, number)], dtype=[("a", "i4"), ("b", "f8")])


def sparse(number: float) -> Any:
    return (number * torch.eye(3)).to_sparse()


def strings(text: str) -> Any:
    return np.array([text], dtype=np.dtypes.StringDType())


def nested(number: float) -> Any:
    return torch.nested.nested_tensor([torch.ones(2), number * torch.ones(1)])


def script(is_frozen: bool) -> Any:
    if is_frozen:
        return torch.jit.freeze(torch.jit.script(nn.Identity().eval()))
    return torch.jit.script(nn.ReLU())


def looped(value: object) -> list[object]:
    found: list[object] = [value]
    found.append(found)
    return found


def later(value: int) -> Callable[[], int]:
    def function() -> int:
        return value

    return function


def seeded(seed: int) -> Any:
    return torch.Generator().manual_seed(seed)


def wrapped(check: Callable[..., Any]) -> object:
    return _AvailableIfDescriptor(looped, check, "a")


def kept(typed: bool) -> object:
    return functools.lru_cache(typed=typed)(looped)


def noted(note: str) -> object:
    function = functools.lru_cache(looped)
    vars(function)["note"] = note
    return function
