"""Datasets: functions without arguments that return Splits. Slow libraries load only when their dataset is asked for.

Images and text stay the small whole numbers they are; it is the models that turn a batch of them into real numbers.
"""

from optsuite.data.downloaded import (
    cifar10,
    cifar10_whole,
    data_root,
    fashion_mnist_whole,
    mnist,
    mnist_autoencoding,
    mnist_whole,
    tinyshakespeare,
)
from optsuite.data.embedded import (
    diabetes,
    digits,
    digits_autoencoding,
    digits_images,
    modular_addition,
    quadratic,
)
from optsuite.data.splitting import halved, split_randomly, standardised

__all__ = [
    "cifar10",
    "cifar10_whole",
    "data_root",
    "diabetes",
    "digits",
    "digits_autoencoding",
    "digits_images",
    "fashion_mnist_whole",
    "halved",
    "mnist",
    "mnist_autoencoding",
    "mnist_whole",
    "modular_addition",
    "quadratic",
    "split_randomly",
    "standardised",
    "tinyshakespeare",
]
