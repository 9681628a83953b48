"""Data drawn from known distributions, so that the best possible loss is known too.

Values are whole multiples of 1/GRID, so that libraries that round differently give the same data.
"""

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray

from optsuite.definitions.benchmark import Split, Splits

Array = NDArray[np.float64]
GRID = 2**14


def teacher_student(
    n_inputs: int = 32, n_hidden: int = 16, condition: float = 1e3, noise: float = 0.1
) -> Splits:
    """A small network's answers to ill-conditioned inputs: x (n, inputs), y (n, 1).

    8,192 / 4,096 / 4,096 examples. The variances of the inputs fall from 1 to 1/condition along
    random directions. The teacher is a tanh network with one hidden layer that sees them whitened,
    so all directions matter alike. y has variance 1 before noise, whose standard deviation `noise`
    bounds the mean squared error from below at noise^2.
    """
    rng = RandomState(0)
    rotation = np.linalg.qr(rng.randn(n_inputs, n_inputs))[0]
    scales = np.geomspace(1, condition**-0.5, n_inputs)
    first = rng.randn(n_inputs, n_hidden) / n_inputs**0.5
    second = rng.randn(n_hidden)
    white = rng.randn(16_384, n_inputs)
    answers = np.tanh(2 * white @ first) @ second
    answers = (answers - answers.mean()) / answers.std() + noise * rng.randn(len(white))
    x, y = on_grid(white * scales @ rotation.T), on_grid(answers[:, None])
    return cut(x, y, n_train=8_192, n_validation=4_096)


def on_grid(values: Array) -> torch.Tensor:
    """The values rounded to the grid."""
    return torch.tensor(np.round(values * GRID) / GRID, dtype=torch.float32)


def cut(x: torch.Tensor, y: torch.Tensor, *, n_train: int, n_validation: int) -> Splits:
    """The examples in their order: for training, then validation, the rest for testing."""

    def part(start: int, end: int) -> Split:
        return x[start:end], y[start:end]

    rest = n_train + n_validation
    return Splits(train=part(0, n_train), validation=part(n_train, rest), test=part(rest, len(x)))


N_TOKENS, CONTEXT, DISTANCE = 16, 32, 4
UNPREDICTABLE = -100  # cross-entropy ignores targets of this value


def synthetic_language() -> Splits:
    """Tokens of a made-up language: x (n, 32) in 0..15, y (n, 32) the next ones.

    4,096 / 512 / 512 examples. Each token is drawn given the one before it and the one four
    before it, so a model must attend to both. The first three targets of an example cannot be
    predicted well without tokens before the example, and are ignored. The best possible
    cross-entropy of the others is `language_entropy()`.
    """
    rng = RandomState(2)
    n = 5_120
    limits = _transitions().cumsum(axis=-1)
    tokens = rng.randint(N_TOKENS, size=(n, DISTANCE))
    length = 100 + CONTEXT + 1  # by then, the chain has forgotten its start
    for _ in range(length):
        drawn = rng.rand(n, 1)
        before = limits[tokens[:, -1], tokens[:, -DISTANCE]]
        following = (drawn > before[:, :-1]).sum(axis=1, keepdims=True)
        tokens = np.concatenate([tokens, following], axis=1)
    kept = torch.tensor(tokens[:, -CONTEXT - 1 :])
    x, y = kept[:, :-1], kept[:, 1:].clone()
    y[:, : DISTANCE - 1] = UNPREDICTABLE
    return cut(x, y, n_train=4_096, n_validation=512)


def language_entropy() -> float:
    """Nats per token of the language, given the tokens it depends on: the best possible loss."""
    chances = _transitions()
    # The state is the last four tokens; its stationary distribution, by power iteration.
    state = np.full((N_TOKENS,) * DISTANCE, N_TOKENS**-DISTANCE)
    for _ in range(200):
        state = np.einsum("abcd,dae->bcde", state, chances)
    surprise = -(chances * np.log(chances)).sum(axis=-1)
    return float(np.einsum("abcd,da->", state, surprise))


def _transitions() -> Array:
    """The chance of each token (16, 16, 16), given the one before it and the one four before."""
    scores = 2.0 * RandomState(1).randn(N_TOKENS, N_TOKENS, N_TOKENS)
    chances = np.exp(scores)
    counts = np.round(chances / chances.sum(axis=-1, keepdims=True) * GRID) + 1
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))
