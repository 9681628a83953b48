"""Losses and metrics."""

import torch
import torch.nn.functional as F
from torch import Tensor

from twin import constants


def robust(outputs: Tensor, targets: Tensor) -> Tensor:
    """A square near zero, a line further out."""
    error = (outputs - targets).abs()
    near = error**2 / 2
    far = 1.5 * (error - 0.75)
    return torch.where(error < 1.5, near, far).mean()


def smoothed(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy with labels that are a little unsure."""
    smoothing = constants.SETTINGS["smoothing"]
    loss = F.cross_entropy(outputs, targets, label_smoothing=smoothing)
    return loss + 0.01 * outputs.square().mean()


def within(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of predictions that are near."""
    return ((outputs - targets).abs() < 0.5).float().mean()


def hits(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of right classes."""
    return (outputs.argmax(dim=1) == targets).float().mean()
