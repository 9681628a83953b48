"""Models."""

import torch
from torch import Tensor, nn

from twin.blocks import Block, power

from . import constants as c


class Net(nn.Module):
    """Features through some blocks to outputs."""

    def __init__(self, n_outputs: int, n_layers: int = 1) -> None:
        super().__init__()
        n_features = c.N_FEATURES * len(c.EXPONENTS)
        self.first = nn.Linear(n_features, c.WIDTH)
        self.blocks = nn.ModuleList(Block(c.WIDTH) for _ in range(n_layers))
        self.last = nn.Linear(c.WIDTH, n_outputs)
        with torch.no_grad():
            self.last.weight.mul_(0.5)
            self.last.bias.add_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Values (B, features) to (B, outputs)."""
        hidden = self.first(power(x, c.EXPONENTS))
        for block in self.blocks:
            hidden = block(hidden)
            hidden = hidden - 0.05 * hidden.mean(dim=1, keepdim=True)
        outputs: Tensor = self.last(torch.tanh(hidden))
        return outputs


def regressor() -> nn.Module:
    """One output."""
    return Net(1, n_layers=c.N_LAYERS)


def classifier() -> nn.Module:
    """An output for each class."""
    from twin import constants

    return Net(constants.CLASSES)
