"""A model that cannot be trained is refused in one line that names it; an odd one trains."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from support.refusals import LINE, WORDS, learns, line, losses, numbers, reader, refusal
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Splits


def frozen() -> nn.Module:
    return line().requires_grad_(False)


class Container(nn.Module):
    """A model with something odd inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


def traced() -> Any:
    return torch.jit.trace(line(), torch.zeros(2, 3))  # type: ignore[no-untyped-call]


class CompiledForward(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 1)

    @torch.compile
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def compiled_inside() -> nn.Module:
    inner: Any = torch.compile(line())
    return Container(inner)


def compiled_in_place() -> nn.Module:
    module = line()
    module.compile()
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Identity, "its model has no parameters, so there is nothing to train"),
        (
            frozen,
            "its model has no parameter that requires gradients, so nothing would be trained; "
            "unfreeze some of it",
        ),
        (
            lambda: nn.LazyLinear(1),
            "has weight without a shape because it is lazy; "
            "call the module once in model(): module(torch.zer",
        ),
        (
            lambda: nn.Sequential(nn.Linear(3, 4), nn.LazyBatchNorm1d(), nn.Linear(4, 1)),
            "has 1.weight without a shape",
        ),
        (
            lambda: torch.compile(line()),
            "its model is compiled, which takes longer than the runs here",
        ),
        (compiled_inside, "its model inner is compiled"),
        (compiled_in_place, "its model is compiled"),
        (CompiledForward, "its model is compiled"),
        (
            lambda: torch.jit.script(line()),
            "its model is scripted by torch.jit, which leaves no source to identify it by",
        ),
        (traced, "its model is scripted by torch.jit"),
        (
            lambda: nn.DataParallel(line()),
            "its model is a DataParallel, but a run has one device; return the module inside",
        ),
        (lambda: nn.Linear(3, 1, device="meta"), "has weight on the device meta"),
        (
            lambda: nn.Linear(4, 1),
            "its model, given inputs (8, 3), raised RuntimeError: addmm: mat1 and mat2 shapes",
        ),
        (lambda: 3, "its model returned int; it must return an nn.Module"),
    ],
)
def test_model_that_cannot_be_trained_is_named(model: Callable[[], Any], message: str) -> None:
    line = refusal(replace(LINE, model=model))
    assert line.startswith(("benchmark line: its model ", "benchmark line: its model, "))
    assert message in line


@pytest.mark.filterwarnings("ignore")
def test_quantized_model_is_named() -> None:
    def quantized() -> Any:
        quantize: Any = torch.ao.quantization.quantize_dynamic
        return quantize(nn.Sequential(nn.Linear(3, 1)), {nn.Linear})

    line = refusal(replace(LINE, model=quantized))
    assert "its model has no parameters because 0 is quantized; return the module before" in line


def materialized() -> nn.Module:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    model(torch.zeros(2, 3))
    return model


def test_advice_for_lazy_modules_trains() -> None:
    assert "module(torch.zeros(2, 3))" in refusal(replace(LINE, model=lambda: nn.LazyLinear(1)))
    assert learns(replace(LINE, model=materialized))


def partly_frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "muon"])
def test_partly_frozen_model_trains(name: str) -> None:
    assert learns(replace(LINE, model=partly_frozen), OPTIMIZERS[name], lr=0.01)


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def single(splits: Splits) -> Splits:
    """One example to validate and one to test on."""
    (vx, vy), (tx, ty) = splits.validation, splits.test
    return Splits(train=splits.train, validation=(vx[:1], vy[:1]), test=(tx[:1], ty[:1]))


def test_batch_norm_is_measured_on_one_example() -> None:
    benchmark = replace(LINE, model=normed, dataset=lambda: single(numbers()))
    assert len(losses(benchmark)) == 3


def test_batch_norm_with_batches_of_one_is_named() -> None:
    line = refusal(replace(LINE, model=normed, batch_size=1))
    needed = "needs more than one example in a training batch, as batch norm does; got batch_size 1"
    assert needed in line


class Clamped(nn.Linear):
    """Keeps its weights within bounds, in place, in every forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
        return super().forward(x)


def test_weights_that_a_forward_pass_changes_train() -> None:
    assert len(losses(replace(WORDS, model=partial(reader, max_norm=1.0)))) == 3
    assert len(losses(replace(LINE, model=lambda: Clamped(3, 1)))) == 3


def test_model_whose_weights_differ_each_time_is_refused() -> None:
    def drawn() -> nn.Module:
        model = nn.Linear(3, 1)
        nn.init.constant_(model.weight, float(torch.Generator().seed() % 997))
        return model

    assert "initial weights differ each time" in refusal(replace(LINE, model=drawn))
