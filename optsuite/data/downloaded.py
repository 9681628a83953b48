"""Datasets that lie in a folder or are downloaded there: OPTSUITE_DATA, else ./data."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from optsuite.data.splitting import autoencoding, halved
from optsuite.definitions.benchmark import Splits

# The text of these functions is part of what identifies a benchmark: it keeps the older name.
from optsuite.errors import DatasetUnavailableError as DatasetUnavailable
from optsuite.errors import one_line

SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
CONTEXT = 64  # characters of a window


def data_root() -> Path:
    """The folder where datasets lie: OPTSUITE_DATA, else ./data."""
    return Path(os.environ.get("OPTSUITE_DATA") or "data").absolute()


def mnist() -> Splits:
    """MNIST: x (n, 1, 28, 28) in 0..255, y (n,) in 0..9; 50,000 / 10,000 / 10,000 examples, the published test set.

    Source: LeCun, Cortes and Burges. The last 10,000 training images validate. Raises DatasetUnavailable.
    """
    return _held_out(*_of_torchvision("MNIST", "MNIST/raw"), n_validation=10_000)


def mnist_whole(n_test: int) -> Splits:
    """MNIST with all 60,000 training images in training; the first `n_test` of the test images validate and test in turn."""
    return _whole(*_of_torchvision("MNIST", "MNIST/raw"), n_test)


def mnist_autoencoding(n_test: int) -> Splits:
    """The images of `mnist_whole` as their own targets."""
    return autoencoding(mnist_whole(n_test))


def fashion_mnist_whole(n_test: int) -> Splits:
    """Fashion-MNIST, in the form of `mnist_whole`. Source: Xiao, Rasul and Vollgraf 2017. Raises DatasetUnavailable."""
    return _whole(*_of_torchvision("FashionMNIST", "FashionMNIST/raw"), n_test)


def cifar10() -> Splits:
    """CIFAR-10: x (n, 3, 32, 32) in 0..255, y (n,) in 0..9; 45,000 / 5,000 / 10,000 examples, the published test set.

    Source: Krizhevsky 2009; the split is that of He et al. 2016. Raises DatasetUnavailable.
    """
    return _held_out(*_of_torchvision("CIFAR10", "cifar-10-batches-py"), n_validation=5_000)


def cifar10_whole(n_test: int) -> Splits:
    """CIFAR-10 with all 50,000 training images in training; the first `n_test` test images validate and test in turn."""
    return _whole(*_of_torchvision("CIFAR10", "cifar-10-batches-py"), n_test)


def tinyshakespeare() -> Splits:
    """Shakespeare by characters: x (n, 64) in 0..64, y (n, 64) the character after each; 90 / 5 / 5 % of the text.

    Training windows start at every character and overlap, the others do not. Windows share the memory of the text.
    Source: Karpathy 2015; nanoGPT validates on the last 10 %, of which the second half tests here. Raises DatasetUnavailable.
    """
    text = _text(data_root() / "tinyshakespeare" / "input.txt").decode()
    vocabulary = {character: number for number, character in enumerate(sorted(set(text)))}
    tokens = torch.tensor([vocabulary[character] for character in text], dtype=torch.uint8)
    n_train, n_rest = int(len(tokens) * 0.9), int(len(tokens) * 0.95)

    def windows(part: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        return part[:-1].unfold(0, CONTEXT, stride), part[1:].unfold(0, CONTEXT, stride)

    return Splits(
        train=windows(tokens[:n_train], 1),
        validation=windows(tokens[n_train:n_rest], CONTEXT),
        test=windows(tokens[n_rest:], CONTEXT),
    )


def _text(path: Path) -> bytes:
    """The text at a path, downloaded where it is not there."""
    with _available("tinyshakespeare", path.parent):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(SHAKESPEARE, str(path), SHAKESPEARE_SHA256, progress=False)
        text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != SHAKESPEARE_SHA256:
        raise DatasetUnavailable("tinyshakespeare", path, "it is not the published text", damaged=True)
    return text


def _of_torchvision(name: str, folder: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (n, channels, height, width) and labels (n,), then those for testing."""
    from torchvision import datasets

    root = data_root()
    with _available(name, root / folder):
        kind: Callable[..., Any] = getattr(datasets, name)
        parts = [kind(root, train=train, download=True) for train in (True, False)]
    found: list[Tensor] = []
    for part in parts:
        pixels = torch.as_tensor(np.asarray(part.data))
        images = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
        found += [images, torch.as_tensor(part.targets)]
    return found[0], found[1], found[2], found[3]


@contextmanager
def _available(name: str, folder: Path) -> Iterator[None]:
    """Raise DatasetUnavailable for what goes wrong with a download into the folder, and leave no empty folder behind."""
    root = data_root()
    missing = [one for one in (folder, *folder.parents) if one.is_relative_to(root) and not one.exists()]
    try:
        yield
    except (RuntimeError, URLError, OSError) as error:
        for one in missing:
            if one.is_dir() and not any(one.iterdir()):
                one.rmdir()
        raise DatasetUnavailable(name, root, " ".join(str(error).split())) from error
    except Exception as error:  # whatever a reader of files may raise where they are not what they should be
        raise DatasetUnavailable(name, folder, one_line(error), damaged=True) from error


def _held_out(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, *, n_validation: int) -> Splits:
    """The last training examples validate."""
    n = len(x) - n_validation
    return Splits(train=(x[:n], y[:n]), validation=(x[n:], y[n:]), test=(x_test, y_test))


def _whole(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, n_test: int) -> Splits:
    validation, test = halved(x_test[:n_test], y_test[:n_test])
    return Splits(train=(x, y), validation=validation, test=test)
