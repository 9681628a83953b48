"""A whole split is measured at once, on outputs of any structure, joined from chunks."""

from collections import namedtuple
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from suites import tiny
from support.measured import Distribution, Penalised, line, notes, of, perplexity
from torch import Tensor

from optsuite import OPTIMIZERS, Splits
from optsuite.errors import InputError
from optsuite.training import plain, stacked
from optsuite.training.outputs import joined, leaves, sliced
from optsuite.training.plain import initial_model, values_of
from optsuite.training.results import Measurement, Run

SGD = OPTIMIZERS["sgd"]


@pytest.mark.parametrize("engine", [plain, stacked])
def test_whole_split_is_measured_at_once(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = of(100, metrics={"perplexity": perplexity}, whole_split=True, max_steps=10)
    x, y = benchmark.dataset().test
    expected = perplexity(initial_model(benchmark, 0)(x), y).item()
    monkeypatch.setattr(plain, "CHUNK", 7)
    one = Run(benchmark="tiny_line", optimizer="sgd", lr=0.1, seed=0, kind="trial")
    chunked = replace(benchmark, whole_split=False)
    _, whole = next(iter(engine.train(benchmark, SGD, [one], benchmark.dataset())))
    _, in_chunks = next(iter(engine.train(chunked, SGD, [one], benchmark.dataset())))
    assert isinstance(whole, Measurement)
    assert isinstance(in_chunks, Measurement)
    assert whole.values["test/perplexity"] == pytest.approx(expected)
    assert in_chunks.values["test/perplexity"] != pytest.approx(expected, abs=1e-3)
    assert whole.values["test/loss"] == pytest.approx(in_chunks.values["test/loss"])


Pair = namedtuple("Pair", "a b")


@dataclass
class Named:
    logits: Tensor
    scale: float


@pytest.mark.parametrize(
    "nested",
    [
        lambda t: t,
        lambda t: (t, None),
        lambda t: [t, t],
        lambda t: {"a": t, "b": (t,)},
        lambda t: Pair(t, 1),
        lambda t: Named(t, 2.0),
    ],
)
def test_outputs_of_any_structure_are_joined_and_sliced(nested: Any) -> None:
    whole = torch.randn(10, 3)
    together = joined([nested(whole[:4]), nested(whole[4:])], [4, 6])
    assert type(together) is type(nested(whole))
    for own, expected in zip(leaves(together), leaves(nested(whole)), strict=True):
        assert torch.equal(own, expected) if isinstance(own, Tensor) else own == expected
    part = sliced(together, 10, slice(2, 5))
    assert all(torch.equal(leaf, whole[2:5]) for leaf in leaves(part) if isinstance(leaf, Tensor))


def test_outputs_that_cannot_be_joined_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "CHUNK", 5)
    benchmark = line(model=Distribution, loss=lambda o, y: -o.log_prob(y).mean(), whole_split=True)
    with pytest.raises(ValueError, match="cannot be put together; return tensors"):
        values_of(benchmark, initial_model(benchmark, 0), benchmark.dataset().validation)
    large = Splits(
        **{name: (x.repeat(32, 1), y.repeat(32, 1)) for name, (x, y) in vars(tiny.line()).items()}
    )
    with monkeypatch.context() as patch:
        patch.setattr("optsuite.training.validation.passes.CHUNK", 5)
        with pytest.raises(
            InputError, match="tiny_line: whole_split: the model's outputs for several chunks"
        ):
            notes(replace(benchmark, dataset=lambda: large))
    penalized = line(
        model=Penalised, loss=lambda o, y: F.mse_loss(o[0], y) + o[1], whole_split=True
    )
    model, split = initial_model(penalized, 0), penalized.dataset().validation
    (value,) = values_of(penalized, model, split).values()
    assert value == pytest.approx(penalized.loss(model(split[0]), split[1]).item())
