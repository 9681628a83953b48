"""A suite that trains in milliseconds.

A line is fitted by an optimizer of its own and by one of the registry.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer

from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits, Suite, Target


def line() -> Splits:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [3.0]]) + 0.1 * torch.randn(96, 1, generator=generator)
    return Splits(train=(x[:64], y[:64]), validation=(x[64:80], y[64:80]), test=(x[80:], y[80:]))


class SignDescent(Optimizer):
    """Steps of one size in the direction of the gradient's sign."""

    def __init__(self, params: object, lr: float) -> None:
        super().__init__(params, {"lr": lr})  # type: ignore[arg-type]

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad.sign()


def sign_descent(model: nn.Module, lr: float) -> Optimizer:
    return SignDescent(model.parameters(), lr)


BENCHMARK = Benchmark(
    name="tiny_line",
    dataset=line,
    model=partial(nn.Linear, 3, 1),
    loss=F.mse_loss,
    batch_size=16,
    max_steps=40,
    eval_every=10,
    target=Target("validation/loss", at_most=1.0),
)
SUITE = Suite(
    name="tiny",
    benchmarks=(BENCHMARK,),
    optimizers=(
        OPTIMIZERS["sgd"],
        OptimizerSpec(name="sign", build=sign_descent, lr=LogUniform(low=1e-4, high=1e0)),
    ),
    n_trials=10,
    n_confirmation_seeds=0,
    n_seeds=3,
)
