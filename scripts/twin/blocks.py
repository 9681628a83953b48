"""Layers."""

import torch
from torch import Tensor, nn

from . import constants
from .constants import GAIN, OFFSET, SLOPE


def activation(x: Tensor) -> Tensor:
    """A leaky ramp with a bend."""
    bent = torch.where(x > 0, x, SLOPE * x)
    if constants.N_LAYERS > 1:
        bent = bent + OFFSET * torch.tanh(x)
    return bent


class Block(nn.Module):
    """A linear layer, scaled and bent, with a way around it."""

    gain = GAIN
    shortcut = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Values (B, width) to (B, width)."""
        inner = activation(self.linear(x)) * self.scale
        inner = inner * self.gain
        if self.shortcut:
            inner = inner + x
        return inner


def power(x: Tensor, exponents: tuple[int, ...]) -> Tensor:
    """The features and powers of them, side by side."""
    parts = []
    for exponent in exponents:
        part = x**exponent
        if exponent > 1:
            part = part / 2
        parts.append(part)
    return torch.cat(parts, dim=1)
