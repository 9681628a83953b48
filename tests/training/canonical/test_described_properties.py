"""Properties of descriptions: equal for equal values, changed by a part, without exceptions."""

import contextlib
import copy
import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.values import Hostile, Linked

from optsuite.errors import InputError
from optsuite.training.canonical.canonicalize import canonicalize

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
