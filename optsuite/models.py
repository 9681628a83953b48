"""Models and metrics: builders of nn.Module with fresh random weights, and functions of (outputs, targets)."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The fraction in [0, 1] of examples whose largest output (B, classes) is the target class (B,)."""
    return (outputs.argmax(dim=-1) == targets).to(outputs.dtype).mean()


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


class Quadratic(nn.Module):
    """The convex quadratic 0.5 (theta - x)^T Q (theta - x), one value per example: (B, d) -> (B,). theta starts at 1.

    Source: DeepOBS (Schneider et al. 2019), problem quadratic_deep.
    """

    hessian: Tensor

    def __init__(self, hessian: Tensor) -> None:
        """Take the Hessian Q (d, d), which is constant and not trained."""
        super().__init__()
        self.theta = nn.Parameter(torch.ones(len(hessian)))
        self.register_buffer("hessian", hessian.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map examples (B, d) to their losses (B,)."""
        distance = self.theta - x
        return 0.5 * ((distance @ self.hessian) * distance).sum(dim=-1)


def mean_output(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean of the outputs (B,), for models that compute their own loss; targets are unused."""
    return outputs.mean()


def quadratic_deep() -> Quadratic:
    """The 100-dimensional quadratic of DeepOBS: 90 eigenvalues from U(0, 1), 10 from U(30, 60), rotated at random."""
    return Quadratic(_deep_hessian())


@cache
def _deep_hessian() -> Tensor:
    rng = np.random.RandomState(42)
    eigenvalues = np.concatenate((rng.uniform(0.0, 1.0, 90), rng.uniform(30.0, 60.0, 10)))
    rotation = _haar_rotation(rng, 100)
    return torch.tensor(rotation.T @ np.diag(eigenvalues) @ rotation, dtype=torch.float32)


def _haar_rotation(rng: np.random.RandomState, dimension: int) -> np.ndarray:
    """A random orthogonal matrix by the subgroup algorithm (Diaconis and Shahshahani 1987), drawn in DeepOBS's order."""
    angle = 2 * np.pi * rng.uniform()
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for d in range(2, dimension):
        v = rng.normal(size=d + 1)
        e = np.eye(d + 1)[0]
        x = e - v / np.linalg.norm(v)
        x /= np.linalg.norm(x)
        embedded = np.eye(d + 1)
        embedded[1:, 1:] = rotation
        rotation = embedded - 2 * np.outer(x, x @ embedded)
    return -rotation
