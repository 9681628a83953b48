"""An optimizer of your own beside AdamW: `optsuite run --suite examples/own_optimizer.py`.

Lion (Chen et al. 2023, https://arxiv.org/abs/2302.06675, Algorithm 2) without weight decay.
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import nn
from torch.optim import Optimizer

from optsuite import OPTIMIZERS, LogUniform, OptimizerSpec, Suite
from optsuite.benchmarks import digits_mlp

Betas = tuple[float, float]


class Lion(Optimizer):
    """Steps of size lr along the sign of a mix of momentum and gradient."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, betas: Betas) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                direction = torch.lerp(parameter.grad, momentum, beta1).sign()
                parameter.sub_(direction, alpha=group["lr"])
                momentum.lerp_(parameter.grad, 1 - beta2)


def lion(model: nn.Module, lr: float, **fixed: Betas) -> Optimizer:
    """Build it for one run; `fixed` is what the spec below holds fixed."""
    return Lion(model.parameters(), lr, **fixed)


LION = OptimizerSpec(
    name="my_lion",
    build=lion,
    lr=LogUniform(low=1e-5, high=1e-1),
    default_lr=1e-4,
    lr_linear=True,  # an element's step depends on that element alone, and doubles with the rate
    fixed={"betas": (0.9, 0.99)},
    source="Chen et al. 2023",
)
SHORT = replace(digits_mlp.BENCHMARK, name="digits_mlp_short", max_steps=300)
SUITE = Suite(
    name="lion",
    benchmarks=(SHORT,),
    optimizers=(OPTIMIZERS["adamw"], LION),
)
