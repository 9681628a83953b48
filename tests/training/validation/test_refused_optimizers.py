"""Which optimizers train sparse gradients, complex parameters and models on this device."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from support.refusals import LINE, SGD, WORDS, learns, losses, reader, refusal, words
from torch import Tensor, nn

from optsuite import OPTIMIZERS, LogUniform, OptimizerSpec, Suite
from optsuite.campaign.prepare import prepare
from optsuite.errors import InputError
from optsuite.training.step_cost import measure_costs


class Bag(nn.Module):
    """All its parameters have sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(20, 2, sparse=True)

    def forward(self, x: Tensor) -> Any:
        return self.table(x)


SPARSEADAM = OptimizerSpec(
    name="sparseadam",
    build=lambda model, lr: torch.optim.SparseAdam(model.parameters(), lr=lr),
    lr=LogUniform(low=1e-3, high=1e0),
)


@pytest.mark.parametrize(
    "spec",
    [OPTIMIZERS[n] for n in ("sgd", "momentum", "nesterov", "adagrad")] + [SPARSEADAM],
    ids=lambda s: s.name,
)
def test_sparse_gradients_train(spec: OptimizerSpec) -> None:
    assert learns(replace(WORDS, model=Bag, max_steps=60), spec, lr=0.5)


def test_cost_of_sparse_state_is_that_of_its_indices_and_values() -> None:
    spec = OPTIMIZERS["momentum"]
    costs = measure_costs(replace(WORDS, model=Bag), [spec], words(), device="cpu")
    n_rows, n_numbers = 20, 40
    assert costs["momentum"].state_bytes_per_parameter == (n_rows * 8 + n_numbers * 4) / n_numbers


def test_sparse_gradients_train_like_dense_ones() -> None:
    mixed = replace(WORDS, model=partial(reader, sparse=True))
    assert losses(mixed) == pytest.approx(losses(replace(WORDS, model=reader)), rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "muon", "adafactor", "asgd"])
def test_optimizer_without_sparse_gradients_names_those_with_them(name: str) -> None:
    line = refusal(replace(WORDS, model=partial(reader, sparse=True)), OPTIMIZERS[name])
    assert line.startswith(f"optimizer {name} on benchmark words: its step")
    assert "cannot train the sparse gradients of 0.weight" in line
    assert "of 0.weight; optimizers for sparse gradients: sgd, momentum, nesterov" in line


class Imaginary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, 3, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.w).sum(dim=1, keepdim=True).abs()


def test_optimizer_without_complex_parameters_is_named() -> None:
    line = refusal(replace(LINE, model=Imaginary), OPTIMIZERS["muon"])
    assert "optimizer muon on benchmark line: its step" in line
    assert "cannot train the complex parameter w; take another optimizer" in line
    assert "take another optimizer, such as sgd, adam or adamw" in line
    assert refusal(replace(LINE, model=Imaginary), OPTIMIZERS["adam"]) == ""


def adam(name: str, **options: Any) -> OptimizerSpec:
    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=lr, **options)

    return OptimizerSpec(name=name, build=build, lr=LogUniform(low=1e-3, high=1e0))


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"amsgrad": True}])
def test_variant_of_adam_trains_like_adam(options: dict[str, Any]) -> None:
    expected = losses(LINE, adam("adam", amsgrad="amsgrad" in options))
    assert losses(LINE, adam("variant", **options)) == pytest.approx(expected, rel=1e-4)


def test_variant_that_this_device_lacks_is_skipped_alone() -> None:
    optimizers = (adam("adam"), adam("capturable", capturable=True))
    suite = Suite(name="s", benchmarks=(LINE,), optimizers=optimizers)
    (problem,), (skipped,) = prepare(suite, device="cpu", named=["line"])
    assert set(problem.plans) == {"adam"}
    assert str(skipped).startswith(
        "Broken line capturable: optimizer capturable on benchmark line: its step"
    )
    with pytest.raises(InputError, match="optimizer capturable on benchmark line"):
        prepare(replace(suite, optimizers=suite.optimizers[1:]), device="cpu")


STRANGER = nn.Linear(3, 1)


def test_optimizer_over_another_model_is_refused() -> None:
    def stranger(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(STRANGER.parameters(), lr=lr)

    def some(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([next(model.parameters())], lr=lr)

    def views(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameter.data for parameter in model.parameters()], lr=lr)

    spec = replace(SGD, fixed={}, lr_linear=False)
    assert "its build returned an optimizer over parameters of another model" in refusal(
        LINE, replace(spec, build=stranger)
    )
    assert learns(LINE, replace(spec, build=some))
    assert "another model" not in refusal(LINE, replace(spec, build=views))
