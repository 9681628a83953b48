"""Closures that do not fit a step are refused; passes may change weights."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.numerics import INTERVAL, LINE, checked, final, of, spec_of, split_96
from support.stateful import Teacher
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Benchmark, OptimizerSpec, Splits
from optsuite.errors import InputError
from optsuite.training.plain import initial_model
from optsuite.training.train_step import build, take_step
from optsuite.training.validation.definitions import check_pair


class Sam(torch.optim.Optimizer):
    """Sharpness-aware minimization that reads gradients before it calls its closure.

    Without gradients it fails if `strict`; with `calls_first` it calls the closure for them.
    """

    def __init__(
        self, params: Any, lr: float, *, strict: bool = False, calls_first: bool = False
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.strict, self.calls_first = strict, calls_first

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        parameters = [p for group in self.param_groups for p in group["params"]]
        if self.calls_first:
            with torch.enable_grad():
                closure()
        if self.strict:
            moves = [p.grad * 0.05 for p in parameters]
        else:
            moves = [torch.zeros_like(p) if p.grad is None else p.grad * 0.05 for p in parameters]
        for p, move in zip(parameters, moves, strict=True):
            p += move
        with torch.enable_grad():
            closure()
        for p, move in zip(parameters, moves, strict=True):
            p -= move
            p -= self.param_groups[0]["lr"] * p.grad


class NeedsClosure(torch.optim.SGD):
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        return super().step(closure)


class TakesNone(torch.optim.SGD):
    def step(self) -> Any:  # type: ignore[override]
        return super().step()


class IgnoresIt(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step()


def strict_sam(params: Any, lr: float) -> Sam:
    return Sam(params, lr, strict=True)


@pytest.mark.parametrize(
    ("kind", "closure", "message"),
    [
        (Sam, True, "reads gradients before it calls its closure; call the closure first"),
        (strict_sam, True, "reads gradients before it calls its closure; call the closure first"),
        (Sam, False, "set closure=True"),
        (NeedsClosure, False, "set closure=True"),
        (TakesNone, True, "set closure=False"),
        (IgnoresIt, True, "closure=False is for a step that needs none"),
    ],
)
def test_closure_that_does_not_fit_is_refused(kind: Any, closure: bool, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        check_pair(of(), spec_of(kind, closure=closure), LINE)
    assert str(error.value).startswith(
        "optimizer own on benchmark tiny_line: its step, called with"
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", [lambda: nn.Linear(3, 1), Teacher])
def test_step_that_calls_its_closure_first_trains(model: Any) -> None:
    def build(model: nn.Module, lr: float) -> Sam:
        return Sam([p for p in model.parameters() if p.requires_grad], lr, calls_first=True)

    spec = OptimizerSpec(name="sam", build=build, lr=INTERVAL, closure=True)
    benchmark = of(model=model)
    check_pair(benchmark, spec, LINE)
    check_pair(benchmark, OPTIMIZERS["lbfgs"], LINE)
    assert final(benchmark, spec, lr=0.05)["validation/loss"] < 1.0


def test_gradients_of_the_previous_batch_are_gone_when_a_step_begins() -> None:
    seen: list[bool] = []

    class Watching(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            parameters = [p for group in self.param_groups for p in group["params"]]
            seen.append(any(p.grad is not None for p in parameters))
            return super().step(closure)

    benchmark, spec = of(), spec_of(Watching, closure=True)
    model = initial_model(benchmark, 0)
    optimizer = build(spec, model, 0.1)
    for _ in range(3):
        take_step(benchmark, spec, model, optimizer, LINE.train[0][:16], LINE.train[1][:16], 0)
    assert seen == [False] * 3


def embedded() -> nn.Module:
    return nn.Sequential(nn.Embedding(20, 8, max_norm=1.0), nn.Flatten(), nn.Linear(40, 2))


def words() -> Splits:
    x = torch.randint(0, 20, (96, 5), generator=torch.Generator().manual_seed(0))
    return split_96(x, lambda part: part.sum(1) % 2)


def clamped() -> nn.Module:
    class Clamped(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.weight.clamp_(-0.1, 0.1)
            return super().forward(x)

    return Clamped(3, 1)


@pytest.mark.parametrize(
    "benchmark",
    [of(words(), model=embedded, loss=F.cross_entropy), of(model=Teacher), of(model=clamped)],
    ids=["norm", "ema", "clamp"],
)
def test_weights_that_a_forward_pass_changes_are_accepted(benchmark: Benchmark) -> None:
    assert checked(benchmark) == ()
    final(benchmark)
