"""Optimizers of other packages train or report what they need; fused steps where possible."""

from typing import Any

import pytest
import torch
from every_optimizer import TRAINED, outcomes
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, Optimizer

from optsuite import OPTIMIZERS
from optsuite.errors import InputError
from optsuite.optimizers.fused import can_fuse, fused
from optsuite.optimizers.odd import muon_groups, require_usable
from optsuite.optimizers.packaged import any_of_pytorch_optimizer
from optsuite.training.train_step import build

pytest.importorskip("pytorch_optimizer")
# Optimizers that need arguments besides parameters.
GIVEN = ("adago", "adammini", "adamuon", "lbfgs", "muon", "normuon", "ranger21")
ORDINARY = (
    "lamb",
    "lars",
    "kron",
    "galore",
    "schedulefreeradam",
    "came",
    "sgdp",
    "swats",
    "prodigy",
    "scion",
)
REFUSED = {
    "adahessian": "create_graph=True",
    "sophiah": "create_graph=True",
    "lomo": "fused_backward",
    "adalomo": "fused_backward",
    "distributedmuon": "a group of processes",
    "demo": "a group of processes",
    "muonclip": "attention logits",
    "bsam": "num_data",
    "magma": "another optimizer",
    "adabound": "two learning rates, lr and final_lr",
    "spectralsphere": (
        "on benchmark patterns: its build needs a model that has matrices only, got 0.weight"
    ),
}


@pytest.mark.parametrize("name", [*GIVEN, *ORDINARY])
@pytest.mark.filterwarnings("ignore")
def test_optimizer_of_the_package_trains(name: str) -> None:
    assert list(outcomes([f"pytorch_optimizer:{name}"])) == [(f"pytorch_optimizer:{name}", TRAINED)]


@pytest.mark.parametrize(("name", "need"), REFUSED.items())
def test_optimizer_that_cannot_be_built_reports_what_it_needs(name: str, need: str) -> None:
    ((_, line),) = outcomes([f"pytorch_optimizer:{name}"])
    assert line.startswith(f"optimizer pytorch_optimizer:{name} ")
    assert " needs " in line
    assert need in line
    assert "; take another optimizer" in line or "; write an OptimizerSpec" in line
    assert "\n" not in line


def test_unknown_optimizer_with_required_arguments_names_them() -> None:
    class Future(SGD):
        def __init__(self, params: Any, lr: float, horizon: int, mood: str) -> None:
            super().__init__(params, lr=lr)

    message = "optimizer pytorch_optimizer:future needs horizon, mood; write an OptimizerSpec"
    with pytest.raises(InputError, match=message):
        require_usable("future", Future)


def test_muon_groups_leave_embeddings_and_vectors_to_adamw() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3), nn.LayerNorm(3))
    hidden, others = muon_groups(model)
    assert [tuple(p.shape) for p in hidden["params"]] == [(3, 8)]
    assert [tuple(p.shape) for p in others["params"]] == [(5, 4), (3,), (3,), (3,)]
    (only,) = muon_groups(nn.LayerNorm(3))
    assert not only["use_muon"]


def test_rate_of_adamw_in_muon_keeps_its_ratio() -> None:
    spec = any_of_pytorch_optimizer("muon")
    rates = [group["lr"] for group in build(spec, nn.Linear(3, 2), 0.2).param_groups]
    assert rates == [0.2, pytest.approx(0.2 * 3e-4 / 0.02)]


def test_adammini_without_number_of_heads_refuses_projections() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q_proj = nn.Linear(8, 8)

    with pytest.raises(InputError, match=r"needs num_embeds and num_heads for q_proj.weight"):
        build(any_of_pytorch_optimizer("adammini"), Attention(), 0.1)


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(3, dtype=torch.cfloat))


def test_model_decides_whether_steps_can_be_fused() -> None:
    assert can_fuse(nn.Linear(3, 2))
    assert can_fuse(nn.Linear(3, 2).double())
    assert can_fuse(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2).bfloat16()))
    assert not can_fuse(nn.Sequential(nn.Linear(3, 2), Complex()))
    assert not can_fuse(nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2)))
    assert not can_fuse(nn.EmbeddingBag(5, 3, sparse=True))
    assert not can_fuse(nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2, device="meta")))
    assert not can_fuse(nn.Identity())


FUSED = [(SGD, {}), (SGD, {"momentum": 0.9}), (Adam, {}), (Adagrad, {})]


def stepped(
    optimizer: Optimizer, parameters: list[nn.Parameter], missing: set[int], *, sparse: bool = False
) -> list[Tensor]:
    """The parameters after four steps with the same gradients; none at `missing` for the second."""
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        for index, parameter in enumerate(parameters):
            gradient = torch.randn(3, 4, generator=generator)
            parameter.grad = gradient.to_sparse(1) if sparse and index and step else gradient
            if index and step in missing:
                parameter.grad = None
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize(("kind", "fixed"), FUSED)
@pytest.mark.parametrize("missing", [{0}, {0, 1}, {2}, {0, 1, 2, 3}])
def test_fused_steps_with_missing_gradients_equal_plain_ones(
    kind: type[Optimizer], fixed: dict[str, Any], missing: set[int]
) -> None:
    models = [nn.ParameterList([torch.ones(3, 4), torch.ones(3, 4)]) for _ in range(2)]
    ours = stepped(fused(kind, models[0], 0.1, **fixed), list(models[0]), missing)
    plain = kind(models[1].parameters(), lr=0.1, **fixed)  # type: ignore[call-arg]
    torch.testing.assert_close(ours, stepped(plain, list(models[1]), missing))


@pytest.mark.parametrize(("kind", "fixed"), [(SGD, {}), (SGD, {"momentum": 0.9}), (Adagrad, {})])
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_fused_steps_with_sparse_gradients_equal_dense_ones(
    kind: type[Optimizer], fixed: dict[str, Any]
) -> None:
    models = [nn.ParameterList([torch.ones(3, 4), torch.ones(3, 4)]) for _ in range(2)]
    ours = stepped(fused(kind, models[0], 0.1, **fixed), list(models[0]), set(), sparse=True)
    plain = kind(models[1].parameters(), lr=0.1, **fixed)  # type: ignore[call-arg]
    torch.testing.assert_close(ours, stepped(plain, list(models[1]), set()))


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "adagrad"])
def test_ordinary_model_stays_fused(name: str) -> None:
    model = nn.Linear(4, 3)
    optimizer = build(OPTIMIZERS[name], model, 0.1)
    for _ in range(3):
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
    assert all(group["fused"] for group in optimizer.param_groups)


def test_complex_parameters_keep_their_imaginary_part() -> None:
    model = Complex()
    optimizer = build(OPTIMIZERS["adam"], model, 0.1)
    (model.w - 1j).abs().square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert model.w.detach().imag.abs().min() > 0.05
