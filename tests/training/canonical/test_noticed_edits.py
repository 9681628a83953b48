"""Edits of functions, and of values that they read or close over, are noticed."""

import importlib.util
import linecache
import random
import sys
import threading
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from optsuite import models
from optsuite.errors import InputError
from optsuite.training.canonical.canonicalize import canonicalize


def load(folder: Path, text: str) -> ModuleType:
    """The text as a new module, always named `written`, beside the module `neighbour`."""
    path = folder / f"m{len(list(folder.iterdir()))}.py"
    path.write_text(text)
    if not (folder / "neighbour.py").exists():
        (folder / "neighbour.py").write_text("WIDTH = 1\n")
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        importlib.invalidate_caches()
        sys.modules.pop("neighbour", None)
        spec = importlib.util.spec_from_file_location("written", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["written"] = module
        linecache.checkcache()
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = before
    return module


TEXT = """
import functools
import numpy as np
import torch
import neighbour
from neighbour import WIDTH as OTHER
WIDTH = 4
TABLE = np.arange(3)
def helper():
    return 1
def model(n=2):
    return torch.nn.Linear(WIDTH, n + helper())
def made(scale):
    def loss(outputs, targets):
        return outputs.mean() * scale
    return loss
loss = made(2.0)
def orthogonal(g):
    return g * 3
class Base(torch.optim.Optimizer):
    def scale(self):
        return 7
class Own(Base):
    @torch.no_grad()
    def step(self):
        return orthogonal(TABLE)
    @staticmethod
    def constant():
        return WIDTH
def build(model, lr):
    return Own(model.parameters(), {})
@functools.cache
def cached():
    return 11
def reads_cached():
    return cached()
bound = Own.constant
spread = lambda x: (
    x + 13
)
def imported():
    return OTHER
def called():
    return neighbour.WIDTH
"""


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("model", "WIDTH = 4", "WIDTH = 5"),
        ("model", "return 1\n", "return 2\n"),
        ("model", "n=2", "n=3"),
        ("model", "n + helper()", "n - helper()"),
        ("build", "g * 3", "g * 4"),
        ("build", "arange(3)", "arange(4)"),
        ("build", "return 7", "return 8"),
        ("build", "WIDTH = 4", "WIDTH = 5"),
        ("bound", "WIDTH = 4", "WIDTH = 5"),
        ("reads_cached", "return 11", "return 12"),
        ("spread", "x + 13", "x + 14"),
    ],
)
def test_edits_of_what_a_definition_reads_are_noticed(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    (tmp_path / "neighbour.py").write_text("WIDTH = 1\n")
    before, after = load(tmp_path, TEXT), load(tmp_path, TEXT.replace(old, new))
    assert canonicalize(getattr(before, name)) != canonicalize(getattr(after, name))
    assert canonicalize(before.loss) == canonicalize(after.loss)


@pytest.mark.parametrize("name", ["imported", "called"])
def test_edits_in_another_file_are_noticed(tmp_path: Path, name: str) -> None:
    descriptions = []
    for text in ("WIDTH = 1\n", "WIDTH = 2\n"):
        (tmp_path / "neighbour.py").write_text(text)
        descriptions.append(canonicalize(getattr(load(tmp_path, TEXT), name)))
    assert descriptions[0] != descriptions[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(3), np.arange(3.0)),
        (torch.bfloat16, torch.float32),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
        (torch.tensor(True), torch.tensor(False)),
        (Path("a"), Path("b")),
        (range(3), range(4)),
        (1, 1.0),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (random.Random(1), random.Random(2)),
        (torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_told_apart(one: object, other: object) -> None:
    assert canonicalize(one) != canonicalize(other)
    assert canonicalize(one) == canonicalize(one)


def test_numbers_of_numpy_are_their_own() -> None:
    # In sums with float32, their dtype prevails, and that of a float does not.
    assert canonicalize(np.float64(0.9)) == canonicalize(np.float64(0.9)) != canonicalize(0.9)


def test_value_without_distinction_raises() -> None:
    message = "element 'lock': got a value of type lock, which cannot be distinguished from others"
    with pytest.raises(InputError, match=message):
        canonicalize({"lock": threading.Lock()})


def test_what_a_function_closes_over_is_noticed(tmp_path: Path) -> None:
    before, after = load(tmp_path, TEXT), load(tmp_path, TEXT.replace("made(2.0)", "made(3.0)"))
    assert canonicalize(before.loss) != canonicalize(after.loss)


def test_functions_that_call_each_other_are_described(tmp_path: Path) -> None:
    text = "def even(n):\n    return n == 0 or odd(n - 1)\n"
    text += "def odd(n):\n    return n != 0 and even(n - 1)\n"
    module = load(tmp_path, text)
    assert canonicalize(module.even) != canonicalize(module.odd)


def test_classes_and_partials_are_described_by_source_and_arguments() -> None:
    assert canonicalize(partial(models.mlp, (3, 1))) != canonicalize(partial(models.mlp, (3, 2)))
    assert canonicalize(partial(models.mlp, (3, 1))) == canonicalize(partial(models.mlp, (3, 1)))
