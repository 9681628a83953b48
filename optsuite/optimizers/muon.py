"""Muon for matrices, AdamW for the rest."""

from collections.abc import Callable
from itertools import islice
from typing import Any

from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class Together(Optimizer):
    """Several optimizers that step as one, each over parameters of its own."""

    def __init__(self, *parts: Optimizer) -> None:
        """Share groups and state with the parts, so that whoever changes a rate or loads a state here changes it there."""
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        self._share()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of all parts."""
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step every part. A closure is not taken."""
        for part in self.parts:
            part.step()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = list(islice(groups, len(part.param_groups)))
            part.state = self.state


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
