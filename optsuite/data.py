"""Datasets: functions without arguments that return Splits. Slow libraries load only when their dataset is asked for."""

import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from optsuite.definition import Splits
from optsuite.errors import DatasetUnavailable

SPLIT_SEED = 0  # one fixed split for everybody: seeds vary what an optimizer is given, never what it is judged on
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081  # of its 60,000 training pixels; the constants of AlgoPerf's workload


def data_root() -> Path:
    """The folder where datasets lie: OPTSUITE_DATA, else ./data."""
    return Path(os.environ.get("OPTSUITE_DATA") or "data").absolute()


def split_randomly(x: Tensor, y: Tensor, *, n_validation: int, n_test: int) -> Splits:
    """Shuffle the examples once, always the same way, and cut them: test, then validation, the rest for training."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(SPLIT_SEED))
    x, y = x[order], y[order]
    rest = n_test + n_validation
    return Splits(
        test=(x[:n_test], y[:n_test]),
        validation=(x[n_test:rest], y[n_test:rest]),
        train=(x[rest:], y[rest:]),
    )


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

    def image(split: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return split[0].reshape(-1, 1, 8, 8), split[1]

    return Splits(train=image(flat.train), validation=image(flat.validation), test=image(flat.test))


def quadratic() -> Splits:
    """Noise around the origin: x (n, 100) drawn from N(0, 0.6^2), y (n,) unused zeros; 1,000 / 1,000 / 896 examples.

    Source: DeepOBS (Schneider et al. 2019), problem quadratic_deep. The original tests on its seven full batches of
    128 only, and has no validation split: one more draw serves.
    """

    def draw(seed: int, n: int) -> tuple[Tensor, Tensor]:
        x = np.random.RandomState(seed).normal(0.0, 0.6, (1_000, 100))[:n]
        return torch.tensor(x, dtype=torch.float32), torch.zeros(n)

    return Splits(train=draw(42, 1_000), test=draw(43, 7 * 128), validation=draw(44, 1_000))


def mnist() -> Splits:
    """MNIST: x (n, 784) normalised pixels, y (n,) in 0..9; 50,000 / 10,000 / 10,000 examples, the published test set.

    Source: LeCun, Cortes and Burges. The last 10,000 training images validate. Raises DatasetUnavailable.
    """
    from torchvision.datasets import MNIST

    root = data_root()
    missing = [folder for folder in (root, root / "MNIST", root / "MNIST" / "raw") if not folder.exists()]
    try:
        train, test = (MNIST(root, train=train, download=True) for train in (True, False))
    except (RuntimeError, URLError, OSError) as error:
        for folder in reversed(missing):  # a failed download leaves empty folders behind
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise DatasetUnavailable("MNIST", root, " ".join(str(error).split())) from error

    def pixels(images: Tensor) -> Tensor:
        return ((images.flatten(1) / 255) - MNIST_MEAN) / MNIST_STD

    x, y = pixels(train.data), train.targets
    return Splits(
        train=(x[:50_000], y[:50_000]),
        validation=(x[50_000:], y[50_000:]),
        test=(pixels(test.data), test.targets),
    )
