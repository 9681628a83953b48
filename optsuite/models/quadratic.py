"""The noisy quadratic of DeepOBS (Schneider et al. 2019)."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn


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
