"""Muon for matrices, AdamW for the rest."""

from collections import ChainMap
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class Together(Optimizer):
    """Several optimizers that step as one, each over parameters of its own."""

    def __init__(self, *parts: Optimizer) -> None:
        """Share the groups of the parts, so that whoever changes a rate here changes it there."""
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        self.state = ChainMap(*(part.state for part in parts))  # type: ignore[assignment]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step every part. A closure is not taken."""
        for part in self.parts:
            part.step()


def muon(model: nn.Module, lr: float, *, momentum: float, nesterov: bool, weight_decay: float, **adamw: Any) -> Optimizer:
    """Muon over the matrices of the model and AdamW over its other parameters, at one rate.

    A step of Muon is scaled to the size of AdamW's (Liu et al. 2025), without which the two would need a rate each.
    """
    parameters = list(model.parameters())
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    parts: list[Optimizer] = []
    if matrices:
        parts.append(
            Muon(
                matrices,
                lr=lr,
                momentum=momentum,
                nesterov=nesterov,
                weight_decay=weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    if others:
        parts.append(AdamW(others, lr=lr, weight_decay=weight_decay, **adamw))
    return Together(*parts)
