"""The registry of optimizers: how each is built, which rates are searched, what it holds fixed, and where that is from.

Every interval spans four decades and holds the default rate, so that no optimizer has more room than another. Defaults
of momentum, Adam, Adagrad and RMSprop are those of the comparison that optsuite began as; the others are torch's.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from optsuite.definition import LogUniform, OptimizerSpec


def from_torch(kind: type[Optimizer], model: nn.Module, lr: float, **fixed: Any) -> Optimizer:
    """An optimizer of torch.optim over all parameters of the model."""
    return kind(model.parameters(), lr=lr, **fixed)  # type: ignore[call-arg]


def fused(kind: type[Optimizer], model: nn.Module, lr: float, **fixed: Any) -> Optimizer:
    """The same with torch's fused step, one kernel for all, where there is one: on CPUs and on CUDA's GPUs."""
    supported = all(parameter.device.type in ("cpu", "cuda") for parameter in model.parameters())
    return from_torch(kind, model, lr, fused=supported, **fixed)


_SPECS = (
    OptimizerSpec(
        name="sgd",
        build=partial(fused, SGD),
        lr=LogUniform(low=1e-3, high=1e1),
        proportional=True,
        default_lr=1e-3,
        fixed={"momentum": 0.0, "weight_decay": 0.0},
        source="Robbins and Monro 1951; default rate of torch.optim.SGD",
    ),
    OptimizerSpec(
        name="momentum",
        build=partial(fused, SGD),
        lr=LogUniform(low=1e-4, high=1e0),
        proportional=True,
        default_lr=0.01,
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        source="Polyak 1964, in the form of Sutskever et al. 2013",
    ),
    OptimizerSpec(
        name="adam",
        build=partial(fused, Adam),
        lr=LogUniform(low=1e-5, high=1e-1),
        proportional=True,
        default_lr=0.001,
        fixed={"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
        source="Kingma and Ba 2015",
    ),
    OptimizerSpec(
        name="adamw",
        build=partial(fused, AdamW),
        lr=LogUniform(low=1e-5, high=1e-1),
        proportional=True,
        default_lr=0.001,
        fixed={"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
        source="Loshchilov and Hutter 2019",
    ),
    OptimizerSpec(
        name="adagrad",
        build=partial(fused, Adagrad),
        lr=LogUniform(low=1e-4, high=1e0),
        proportional=True,
        default_lr=0.01,
        fixed={"eps": 1e-10, "weight_decay": 0.0},
        source="Duchi, Hazan and Singer 2011; default rate of torch.optim.Adagrad",
    ),
    OptimizerSpec(
        name="rmsprop",
        build=partial(from_torch, RMSprop),
        lr=LogUniform(low=1e-5, high=1e-1),
        proportional=True,
        default_lr=0.01,
        fixed={"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0},
        source="Tieleman and Hinton 2012; default rate of torch.optim.RMSprop",
    ),
)
OPTIMIZERS: Mapping[str, OptimizerSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
