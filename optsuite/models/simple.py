"""Dense and small convolutional networks, and the fraction of right answers."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The fraction in [0, 1] of examples whose largest output (B, classes) is the target class (B,)."""
    right = outputs.argmax(dim=-1) == targets
    return right.to(torch.promote_types(outputs.dtype, torch.float32)).mean()  # bfloat16 counts no further than 256


def mlp(widths: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """A dense network (B, widths[0]) -> (B, widths[-1]) with the activation between layers; torch's initial weights."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


def small_cnn() -> nn.Sequential:
    """3x3 convolutions of 8 and 16 channels, each with ReLU and pooling by 2, a dense layer: (B, 1, 8, 8) -> (B, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 2 * 2, 10),
    )
