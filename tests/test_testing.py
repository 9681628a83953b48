"""The contracts hold for what is sound, and each fails for what breaks it."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from suites import tiny
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from optsuite import OPTIMIZERS, LogUniform, OptimizerSpec, Splits
from optsuite.errors import InputError
from optsuite.testing import BenchmarkContract, OptimizerContract

CALLS = itertools.count()
BROKEN = (AssertionError, InputError)


class TestAdam(OptimizerContract):
    spec = OPTIMIZERS["adam"]


class TestSignDescent(OptimizerContract):
    spec = tiny.SUITE.optimizers[1]
    benchmark = tiny.BENCHMARK


class TestRprop(OptimizerContract):
    spec = OPTIMIZERS["rprop"]
    can_diverge = False


class TestTinyLine(BenchmarkContract):
    benchmark = tiny.BENCHMARK


class Halving(SGD):
    """Halves its rate after every step, and keeps count where no state_dict looks."""

    n_calls = 0

    def step(self, closure: Any = None) -> Any:
        Halving.n_calls += 1
        for group in self.param_groups:
            group["lr"] *= 0.5 if Halving.n_calls % 7 == 0 else 1.0
        return super().step(closure)


class Guarded(SGD):
    """Refuses a rate that it finds too large."""

    def step(self, closure: Any = None) -> Any:
        if self.param_groups[0]["lr"] > 1e6:
            raise ValueError("the rate is too large")
        return super().step(closure)


class Remembering(SGD):
    """Keeps a velocity in an attribute, which no state_dict holds."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)
        self.velocity: dict[int, Tensor] = {}

    def step(self, closure: Any = None) -> Any:
        for index, parameter in enumerate(self.param_groups[0]["params"]):
            old = self.velocity.get(index, torch.zeros_like(parameter))
            self.velocity[index] = 0.9 * old + parameter.grad
            parameter.grad = self.velocity[index].clone()
        return super().step(closure)


def spec_of(kind: Callable[..., Optimizer]) -> OptimizerSpec:
    def build(model: nn.Module, lr: float) -> Optimizer:
        return kind(model.parameters(), lr=lr)

    interval = LogUniform(low=1e-3, high=1e-1)
    return OptimizerSpec(name="own", build=build, lr=interval, default_lr=1e-1)


def ascent(params: Any, lr: float) -> Optimizer:
    return SGD(params, lr=lr, maximize=True)


def optimizer_contract(spec: OptimizerSpec) -> OptimizerContract:
    contract = OptimizerContract()
    contract.spec = spec  # type: ignore[misc]
    return contract


def benchmark_contract(**changes: Any) -> BenchmarkContract:
    contract = BenchmarkContract()
    contract.benchmark = replace(tiny.BENCHMARK, **changes)  # type: ignore[misc]
    return contract


@pytest.mark.parametrize(
    ("kind", "test", "message"),
    [
        (lambda params, lr: None, "build_and_step_are_accepted", "its build returned NoneType"),
        (Halving, "same_seed_gives_same_curve", "seed 0 gave two curves at lr=0.1"),
        (ascent, "some_rate_beats_initial_loss", "no rate of 0.1, 0.001, .* 1 % lower"),
        (Guarded, "huge_rate_diverges_without_exception", "raised ValueError: the rate is too"),
        (Remembering, "run_resumed_from_checkpoint_has_same_curve", "state_dict lacks some state"),
        (Halving, "stacked_equals_plain_or_falls_back_with_reason", "depend on what was trained"),
    ],
)
def test_broken_optimizer_fails_its_contract(kind: Any, test: str, message: str) -> None:
    contract = optimizer_contract(spec_of(kind))
    with pytest.raises(BROKEN, match=message):
        getattr(contract, f"test_{test}")()


def test_optimizer_that_bounds_its_steps_must_declare_it() -> None:
    contract = optimizer_contract(OPTIMIZERS["rprop"])
    with pytest.raises(AssertionError, match="got finished, not diverged; set can_diverge = False"):
        contract.test_huge_rate_diverges_without_exception()


def noisy() -> Splits:
    generator = torch.Generator().manual_seed(next(CALLS))
    x, y = torch.randn(96, 3, generator=generator), torch.zeros(96, 1)
    return Splits(train=(x[:64], y[:64]), validation=(x[64:80], y[64:80]), test=(x[80:], y[80:]))


def leaking() -> Splits:
    splits = tiny.line()
    return replace(splits, test=splits.validation)


def infinite() -> Splits:
    splits = tiny.line()
    x, y = splits.test
    return replace(splits, test=(x.clone().index_fill_(0, torch.tensor([3]), torch.inf), y))


def same() -> Splits:
    examples = torch.ones(32, 3), torch.ones(32, 1)
    return Splits(train=examples, validation=examples, test=examples)


class Counting(nn.Linear):
    """Each new model starts elsewhere, whatever the seed."""

    def __init__(self) -> None:
        super().__init__(3, 1)
        with torch.no_grad():
            self.weight += next(CALLS)


class Unseeded(nn.Linear):
    """Every model is the same, whatever the seed."""

    def __init__(self) -> None:
        super().__init__(3, 1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def root(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets).sqrt()


@pytest.mark.parametrize(
    ("changes", "test", "message"),
    [
        ({"model": partial(nn.Linear, 4, 1)}, "definition_is_accepted", "its model, given inputs"),
        ({"dataset": noisy}, "dataset_is_repeatable", "differs each time it is made"),
        ({"dataset": leaking}, "splits_are_disjoint", "16 examples are in both validation"),
        ({"dataset": infinite}, "splits_are_finite", "its test inputs hold 3 infinite"),
        ({"metrics": {"rmse": root}}, "losses_and_metrics_are_means", "rmse is not a mean over"),
        (
            {"loss": partial(F.mse_loss, reduction="sum")},
            "losses_and_metrics_are_means",
            "its loss is the sum over the examples",
        ),
        (
            {"loss": lambda outputs, targets: -F.mse_loss(outputs, targets).exp().clamp(0, 1)},
            "some_optimizer_beats_initial_loss",
            "nothing learned in 40 steps: adam at",
        ),
        ({"model": Counting}, "one_seed_gives_one_curve", "seed 0 gave two curves"),
        ({"model": Unseeded, "dataset": same}, "one_seed_gives_one_curve", "gave one curve"),
    ],
)
def test_broken_benchmark_fails_its_contract(changes: Any, test: str, message: str) -> None:
    contract = benchmark_contract(**changes)
    with pytest.raises(BROKEN, match=message):
        getattr(contract, f"test_{test}")()


def test_dataset_that_repeats_examples_may_declare_how_many() -> None:
    contract = benchmark_contract(dataset=leaking)
    contract.n_shared = 16  # type: ignore[misc]
    contract.test_splits_are_disjoint()


def test_contracts_import_no_test_runner() -> None:
    code = "import sys; import optsuite.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
