"""Datasets that need no download: those of scikit-learn, and synthetic ones."""

import numpy as np
import torch

from optsuite.data.splitting import autoencoding, split_randomly, standardised
from optsuite.definitions.benchmark import Split, Splits


def digits() -> Splits:
    """Handwritten digits: x (n, 64) pixels in [0, 1], y (n,) in 0..9; 1,077 / 360 / 360 examples.

    Source: Alpaydin and Kaynak 1998, the test set of UCI's optical digits, as scikit-learn carries it.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = torch.tensor(pixels / 16, dtype=torch.float32)  # a pixel counts 0 to 16 ink points
    return split_randomly(x, torch.tensor(labels), n_validation=360, n_test=360)


def digits_images() -> Splits:
    """The digits as images: x (n, 1, 8, 8)."""
    flat = digits()

    def image(split: Split) -> Split:
        return split[0].reshape(-1, 1, 8, 8), split[1]

    return Splits(train=image(flat.train), validation=image(flat.validation), test=image(flat.test))


def digits_autoencoding() -> Splits:
    """The digits as their own targets: x and y (n, 64)."""
    return autoencoding(digits())


def diabetes() -> Splits:
    """Progression of diabetes from ten readings: x (n, 10), y (n, 1), standardised; 266 / 88 / 88 examples.

    Source: Efron, Hastie, Johnstone and Tibshirani 2004, as scikit-learn carries it.
    """
    from sklearn.datasets import load_diabetes

    readings, progression = load_diabetes(return_X_y=True, scaled=False)
    x, y = torch.tensor(readings, dtype=torch.float32), torch.tensor(progression, dtype=torch.float32)[:, None]
    return standardised(split_randomly(x, y, n_validation=88, n_test=88), targets=True)


def modular_addition(p: int) -> Splits:
    """All pairs of numbers below p: x (n, 3) the tokens a, b and p for "=", y (n,) (a + b) mod p; half of them train.

    Source: Power et al. 2022. The other half is halved between validation and test.
    """
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    x = torch.stack([a, b, torch.full_like(a, p)], dim=-1).reshape(-1, 3)
    rest = len(x) // 4
    return split_randomly(x.to(torch.uint8), (x[:, 0] + x[:, 1]) % p, n_validation=rest, n_test=rest)


def quadratic() -> Splits:
    """Noise around the origin: x (n, 100) drawn from N(0, 0.6^2), y (n,) unused zeros; 1,000 / 1,000 / 896 examples.

    Source: DeepOBS (Schneider et al. 2019), problem quadratic_deep. The original tests on its seven full batches of
    128 only, and has no validation split: one more draw serves.
    """

    def draw(seed: int, n: int) -> Split:
        x = np.random.RandomState(seed).normal(0.0, 0.6, (1_000, 100))[:n]
        return torch.tensor(x, dtype=torch.float32), torch.zeros(n)

    return Splits(train=draw(42, 1_000), test=draw(43, 7 * 128), validation=draw(44, 1_000))
