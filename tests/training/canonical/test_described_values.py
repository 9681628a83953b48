"""Values of any kind are distinguished from others of their kind, or raise InputError."""

import array
import collections
import contextlib
import copy
import ctypes
import datetime
import decimal
import enum
import fractions
import functools
import itertools
import logging
import operator
import random
import re
import threading
import types
import typing
import weakref
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils._available_if import _AvailableIfDescriptor
from torch import nn

from optsuite.errors import InputError
from optsuite.training.canonical.canonicalize import canonicalize

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


PAIRS: list[tuple[str, Callable[[Any], Any], Any, Any]] = [
    ("pattern", lambda flags: re.compile("a", flags), 0, re.IGNORECASE),
    ("slice", lambda n: slice(0, n), 3, 4),
    ("logger", logging.getLogger, "a", "b"),
    ("finfo", torch.finfo, torch.float32, torch.float16),
    ("iinfo", torch.iinfo, torch.int8, torch.int16),
    ("finfo of numpy", np.finfo, "f4", "f8"),
    ("deque", lambda n: collections.deque([1], n), 2, 3),
    ("fraction", lambda n: fractions.Fraction(1, n), 2, 3),
    ("date", lambda n: datetime.date(2020, 1, n), 1, 2),
    ("decimal", decimal.Decimal, "1.1", "1.10"),
    ("attrgetter", operator.attrgetter, "a", "b"),
    ("itemgetter", operator.itemgetter, 1, 2),
    ("optional", typing.Optional.__getitem__, int, str),
    ("union", lambda kind: kind | None, int, str),
    ("generic", list.__class_getitem__, int, str),
    ("data frame", lambda n: pd.DataFrame({"a": [n], "b": ["x"]}), 1, 2),
    ("series", lambda n: pd.Series([1.0], index=[n]), "a", "b"),
    ("named tuple", lambda n: Point(1, n), 2, 3),
    ("member of an enum", Color, 1, 2),
    ("enum", lambda names: enum.Enum("Kind", names), "A B", "A C"),
    ("class by type()", lambda n: type("Made", (), {"n": n}), 1, 2),
    ("array of text", lambda text: np.array(["a", text]), "b", "c"),
    ("array of objects", lambda part: np.array([1, part], dtype=object), "a", None),
    ("array of long strings", strings, "a", "b"),
    ("array backwards", lambda n: np.arange(n)[::-1], 3, 4),
    ("array by fields", structured, 1.0, 2.0),
    ("array with a mask", lambda n: np.ma.array([1, 2], mask=[0, n]), 0, 1),
    ("array by bytes", lambda order: np.array([1], dtype=f"{order}i4"), "<", ">"),
    ("number of numpy", np.float32, 1, 2),
    ("sparse tensor", sparse, 1.0, 2.0),
    ("tensor in rows", lambda n: (n * torch.eye(3)).to_sparse_csr(), 1.0, 2.0),
    ("complex tensor", lambda n: torch.tensor([1 + n * 1j]), 1, 2),
    ("conjugate tensor", lambda n: torch.tensor([1 + n * 1j]).conj(), 1, -1),
    ("nested tensor", nested, 1, 2),
    ("meta tensor", lambda n: torch.empty(n, device="meta"), 1, 2),
    ("small floats", lambda n: torch.tensor([n]).to(torch.float8_e4m3fn), 1.0, 2.0),
    ("parameter", lambda grad: nn.Parameter(torch.ones(1), requires_grad=grad), True, False),
    ("list in itself", looped, 1, 2),
    ("instance in itself", Linked, 1, 2),
    ("huge number", lambda n: 10**5_000 + n, 1, 2),
    ("sign of zero", float, "0.0", "-0.0"),
    ("random.Random", random.Random, 1, 2),
    ("numpy.Generator", np.random.default_rng, 1, 2),
    ("torch.Generator", seeded, 1, 2),
    ("OrderedDict", collections.OrderedDict, {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ("defaultdict", collections.defaultdict, int, list),
    ("Counter", collections.Counter, "aab", "abb"),
    ("mapping", types.MappingProxyType, {1: 2}, {1: 3}),
    ("namespace", lambda n: types.SimpleNamespace(n=n), 1, 2),
    ("number of C", ctypes.c_int, 1, 2),
    ("array.array", lambda n: array.array("d", [n]), 1.0, 2.0),
    ("bytearray", bytearray, b"a", b"b"),
    ("partial", lambda n: functools.partial(int, base=n), 2, 3),
    ("bound method", lambda n: [n].count, 1, 2),
    ("method of text", lambda text: text.join, "a", "b"),
    ("iterator", lambda n: itertools.count(n), 1, 2),
    ("own text", Shouting, "a", "b"),
    ("closure", later, 1, 2),
    ("path", Path, "a", "b"),
    ("own path", Place, "a", "b"),
    ("kind of path", lambda kind: kind("a"), PurePosixPath, Path),
    ("float of numpy", lambda kind: kind(2.0), float, np.float64),
    ("own float of numpy", Mass, 1.0, 2.0),
    ("wrapper of a class", wrapped, len, callable),
    ("cache", kept, True, False),
    ("attribute of a cache", noted, "a", "b"),
    ("script", script, False, True),
    ("distribution", lambda n: torch.distributions.Normal(0.0, n), 1.0, 2.0),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "one", "other"),
    [pytest.param(make, one, other, id=name) for name, make, one, other in PAIRS],
)
def test_values_of_one_kind_have_different_descriptions(
    make: Callable[[Any], Any], one: Any, other: Any
) -> None:
    assert canonicalize(make(one)) == canonicalize(make(one))
    assert canonicalize(make(one)) != canonicalize(make(other))


def test_constants_are_described() -> None:
    values = [..., NotImplemented, None, True, 1, 1.0, "1", b"1", (1,), [1], {1}, {1: 1}]
    assert len(set(map(canonicalize, values))) == 12


def test_deep_values_are_described() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert canonicalize(deep) != canonicalize(deep[0])


ODD: dict[str, Callable[[], object]] = {
    "lock": threading.Lock,
    "weak reference": lambda: weakref.ref(Hostile),
    "hostile": Hostile,
    "hostile inside": lambda: {"a": [Hostile()]},
    "generator": lambda: iter(lambda: 0, 1),
    "argument": lambda: functools.partial(len, Hostile()),
    "class that lies": lambda: type("Lying", (), {"__class__": property(lambda self: 1 / 0)})(),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_raise_nothing_but_input_error(name: str) -> None:
    value = ODD[name]()
    with contextlib.suppress(InputError):
        assert canonicalize(value) == canonicalize(value)


NUMBERS = st.booleans() | st.integers() | st.floats() | st.complex_numbers()
PLAIN = st.none() | NUMBERS | st.text() | st.binary()
KEYS = st.integers() | st.text() | st.booleans() | st.tuples(st.integers(), st.text())


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner)
    return lists | lists.map(tuple) | st.dictionaries(KEYS, inner) | lists.map(Linked)


NESTED = st.recursive(PLAIN | st.frozensets(KEYS), containers, max_leaves=12)
QUICK = settings(max_examples=60, deadline=None, database=None)


def leaves(value: Any) -> int:
    """How many places of a value can be replaced."""
    if isinstance(value, Linked):
        return leaves(value.value)
    if isinstance(value, dict):
        return sum(leaves(part) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(leaves(part) for part in value)
    return 1


def replaced(value: Any, place: int, new: object) -> Any:
    """The value with a new one in the given place."""
    if isinstance(value, Linked):
        return Linked(replaced(value.value, place, new))
    if not isinstance(value, dict | list | tuple):
        return new if place == 0 else value
    old = list(value.values()) if isinstance(value, dict) else value
    parts = []
    for part in old:
        is_here = 0 <= place < leaves(part)
        parts.append(replaced(part, place, new) if is_here else part)
        place -= leaves(part)
    if isinstance(value, dict):
        return dict(zip(value, parts, strict=True))
    return type(value)(parts)


@QUICK
@given(NESTED)
def test_property_equal_values_have_equal_descriptions(value: Any) -> None:
    assert canonicalize(copy.deepcopy(value)) == canonicalize(value)


@QUICK
@given(NESTED, st.data())
def test_property_a_changed_part_changes_the_description(value: Any, data: st.DataObject) -> None:
    count = leaves(value)
    if count:
        place = data.draw(st.integers(0, count - 1))
        changed = replaced(value, place, "a text that no strategy draws: 1d9f")
        assert canonicalize(changed) != canonicalize(value)


HOSTILE = st.builds(Hostile) | st.builds(threading.Lock)


@QUICK
@given(st.recursive(PLAIN | HOSTILE, lambda inner: st.lists(inner) | st.lists(inner).map(Linked)))
def test_property_hostile_values_raise_nothing_but_input_error(value: Any) -> None:
    with contextlib.suppress(InputError):
        assert canonicalize(value) == canonicalize(value)


@QUICK
@given(st.lists(st.text(), min_size=2, unique=True))
def test_property_sets_have_no_order(words: list[str]) -> None:
    turned = words[::-1]
    assert canonicalize(set(words)) == canonicalize(set(turned))
    assert canonicalize(dict.fromkeys(words)) != canonicalize(dict.fromkeys(reversed(words)))
