"""Data."""

import torch
from torch import Tensor

from optsuite import Splits
from twin.constants import CLASSES, FIRST_SEED, N_FEATURES, N_REST, N_TRAIN, SETTINGS


def features(seed: int) -> tuple[Tensor, torch.Generator]:
    """Inputs, and the generator that drew them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N_TRAIN + 2 * N_REST, N_FEATURES, generator=generator)
    x = x * SETTINGS["scale"]
    return x, generator


def cut(x: Tensor, y: Tensor) -> Splits:
    """Training, validation and test data, in this order."""
    middle = N_TRAIN + N_REST
    return Splits(
        train=(x[:N_TRAIN], y[:N_TRAIN]),
        validation=(x[N_TRAIN:middle], y[N_TRAIN:middle]),
        test=(x[middle:], y[middle:]),
    )


def surface() -> Splits:
    """A bent surface with noise."""
    x, generator = features(FIRST_SEED)
    y = x[:, :1] * 0.5 - torch.sin(x[:, 1:2]) + 0.2 * x[:, 2:3] ** 2
    y = y + SETTINGS["noise"] * torch.randn(len(x), 1, generator=generator)
    return cut(x, y)


def sectors() -> Splits:
    """Classes by direction."""
    x, generator = features(FIRST_SEED + 1)
    directions = torch.randn(N_FEATURES, CLASSES, generator=generator)
    scores = x @ directions
    scores = scores + 0.4 * torch.randn(scores.shape, generator=generator)
    return cut(x, scores.argmax(dim=1))
