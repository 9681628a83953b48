"""MNIST-1D: the shapes of ten digits as signals, deformed, shifted and buried in noise.

The recipe and its constants: Greydanus and Kobak 2024, "Scaling down deep learning with MNIST-1D",
version 0.0.2 of their program.
"""

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray

from optsuite.data.generated import cut, on_grid
from optsuite.definitions.benchmark import Splits

Array = NDArray[np.float64]

SHAPES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
SEED = 42
PADDING = (36, 60)  # zeros after a shape
LENGTH = 12 + 60  # of a signal until it is sampled
N_SAMPLES = 40
SCALE, SHIFT, SHEAR = 0.4, 48, 0.75
CORRELATED_NOISE, NOISE, SMOOTHING = 0.25, 0.02, 2.0


def mnist1d() -> Splits:
    """MNIST-1D: x (n, 40) signals of mean 0 and variance 1, y (n,) in 0..9.

    4,000 / 2,000 / 2,000 examples. As many train as in the published set; more are made to measure
    on. The data are those that the published program makes for 8,000 examples and its own seed.
    """
    x, y = signals(8_000, SEED)
    return cut(on_grid(x), torch.tensor(y), n_train=4_000, n_validation=2_000)


def signals(n: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """`n` signals (n, 40) and their digits (n,), as many of each digit, in random order."""
    rng = RandomState(seed)
    digits = np.repeat(np.arange(10), n // 10)
    drawn = [_Draw(rng) for _ in digits]
    order = rng.permutation(len(digits))
    padded = _padded_shapes()
    pairs = zip(digits.tolist(), drawn, strict=True)
    x = np.stack([padded[digit, draw.padding] for digit, draw in pairs])
    x *= np.array([draw.scale for draw in drawn])[:, None]
    x = np.stack([np.roll(signal, draw.shift) for signal, draw in zip(x, drawn, strict=True)])
    noise = _smooth(CORRELATED_NOISE * np.stack([draw.correlated for draw in drawn]))
    x = np.where(x != 0, x, noise) + NOISE * np.stack([draw.independent for draw in drawn])
    x -= np.array([draw.slope for draw in drawn])[:, None] * np.linspace(-0.5, 0.5, LENGTH)
    x = _sampled(x, N_SAMPLES)[order]
    return (x - x.mean()) / x.std(), digits[order]


class _Draw:
    """The random numbers of one example, in the order in which the published program draws them."""

    def __init__(self, rng: RandomState) -> None:
        low, high = PADDING
        self.padding = low + int(rng.rand() * (high - low + 1))
        self.scale = 1 + SCALE * (rng.rand() - 0.5)
        self.shift = int(rng.choice(SHIFT))
        self.correlated = rng.randn(LENGTH)
        self.independent = rng.randn(LENGTH)
        self.slope = SHEAR * (rng.rand() - 0.5)


def _padded_shapes() -> dict[tuple[int, int], Array]:
    """The signal (LENGTH,) of each digit and number of zeros that follow it, stretched."""
    shapes = np.array(SHAPES, dtype=float)
    shapes -= shapes.mean(axis=1, keepdims=True)
    shapes /= shapes.std(axis=1, keepdims=True)
    shapes -= shapes[:, :1]
    low, high = PADDING
    padded = {}
    for digit, shape in enumerate(shapes / 6):
        for n_zeros in range(low, high + 1):
            # A shape's own zeros are no gap to be filled with noise.
            signal = np.concatenate([shape + 1e-8, np.zeros(n_zeros)])
            padded[digit, n_zeros] = _sampled(signal[None], LENGTH)[0]
    return padded


def _sampled(signals: Array, n: int) -> Array:
    """Signals (some, length) sampled linearly at `n` places from end to end: (some, n)."""
    places = np.linspace(0, signals.shape[1] - 1, n)
    left = np.minimum(places.astype(int), signals.shape[1] - 2)
    right = places - left
    return np.asarray(signals[:, left] * (1 - right) + signals[:, left + 1] * right)


def _smooth(noise: Array) -> Array:
    """Rows (some, LENGTH) convolved with a normal density, as scipy's gaussian_filter does it."""
    radius = int(4 * SMOOTHING + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SMOOTHING) ** 2)
    padded = np.pad(noise, ((0, 0), (radius, radius)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=1)
    return np.asarray(windows @ (weights / weights.sum()))
