"""The line of code of a report builds the optimizer that was tuned."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

import optsuite
from optsuite import OPTIMIZERS, LogUniform, OptimizerSpec
from optsuite.campaign.code_line import code_line


def own(model: nn.Module, lr: float, **fixed: Any) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, **fixed)


ADAM = "torch.optim.Adam(model.parameters(), lr=0.00123, betas=(0.9, 0.999), eps=1e-08"
OWN = OptimizerSpec(name="own", build=own, lr=LogUniform(low=1e-4, high=1.0))


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "adagrad", "rmsprop", "muon"])
def test_line_of_a_known_optimizer_builds_it_with_its_settings(name: str) -> None:
    spec, model = OPTIMIZERS[name], nn.Linear(2, 2)
    line = code_line(spec, 0.0123)
    built = eval(line, {"torch": torch, "optsuite": optsuite, "model": model})
    expected = spec.build(model, 0.0123, **spec.fixed)
    assert type(built) is type(expected)
    settings = ("lr", "momentum", "betas", "eps", "weight_decay", "alpha", "nesterov")
    for group, other in zip(built.param_groups, expected.param_groups, strict=True):
        assert {key: group.get(key) for key in settings} == {
            key: other.get(key) for key in settings
        }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (OPTIMIZERS["adam"], f"{ADAM}, weight_decay=0.0)"),
        (
            OPTIMIZERS["momentum"],
            "torch.optim.SGD(model.parameters(), lr=0.00123, momentum=0.9, weight_decay=0.0)",
        ),
        (OWN, "own(model, lr=0.00123)"),
        (replace(OWN, fixed={"momentum": 0.5}), "own(model, lr=0.00123, momentum=0.5)"),
        # Somebody's own adam is not that of torch.
        (replace(OWN, name="adam"), "own(model, lr=0.00123)"),
        (replace(OWN, build=partial(own, momentum=0.9)), ""),
    ],
    ids=["class", "fixed", "own", "own fixed", "same name", "partial"],
)
def test_line_names_what_is_called(spec: OptimizerSpec, expected: str) -> None:
    assert code_line(spec, 0.00123456) == expected
