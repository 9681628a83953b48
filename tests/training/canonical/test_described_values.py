"""Values of any kind are distinguished from others of their kind, or raise InputError."""

import array
import collections
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
import types
import typing
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.values import (
    Color,
    Linked,
    Mass,
    Place,
    Point,
    Shouting,
    kept,
    later,
    looped,
    nested,
    noted,
    script,
    seeded,
    sparse,
    strings,
    structured,
    wrapped,
)
from torch import nn

from optsuite.training.canonical.canonicalize import canonicalize

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
