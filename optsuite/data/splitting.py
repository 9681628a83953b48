"""From examples to splits: one fixed split for everybody, as seeds vary what an optimizer is given, never its judge."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from optsuite.definitions.benchmark import Split, Splits
from optsuite.definitions.pairs import PARTS, not_finite

# The text of these functions is part of what identifies a benchmark: it keeps the older name.
from optsuite.errors import InputError as BadInput
from optsuite.errors import require

SPLIT_SEED = 0
ROUNDING = 4  # units in the last place: what equal values differ by that were computed in different ways


def split_randomly(x: Tensor | NDArray[Any], y: Tensor | NDArray[Any], *, n_validation: int, n_test: int) -> Splits:
    """Shuffle the examples once, always the same way, and cut them: test, then validation, the rest for training."""
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(SPLIT_SEED))
    x, y = x[order], y[order]
    rest = n_test + n_validation
    return Splits(
        test=(x[:n_test], y[:n_test]),
        validation=(x[n_test:rest], y[n_test:rest]),
        train=(x[rest:], y[rest:]),
    )


def halved(x: Tensor, y: Tensor) -> tuple[Split, Split]:
    """Every other example: for problems published with all training data in training and none to validate on.

    The published figure on test data is then the mean of that on our validation data and that on our test data.
    """
    return (x[0::2], y[0::2]), (x[1::2], y[1::2])


def autoencoding(splits: Splits) -> Splits:
    """The inputs as their own targets, in the same memory."""
    return Splits(**{name: (split[0], split[0]) for name, split in vars(splits).items()})


def standardised(splits: Splits, *, targets: bool = False) -> Splits:
    """Inputs, and targets where asked, shifted and scaled to mean 0 and standard deviation 1 on the training split.

    A column that is constant there, up to rounding, is shifted to 0 and not scaled, as scikit-learn's StandardScaler does.
    Raises BadInput for whole numbers, and for training values that are not finite.
    """
    x_mean, x_std = _scale(splits, 0)
    y_mean, y_std = _scale(splits, 1) if targets else (torch.tensor(0), torch.tensor(1))

    def apply(split: Split) -> Split:
        return (split[0] - x_mean) / x_std, (split[1] - y_mean) / y_std if targets else split[1]

    return Splits(train=apply(splits.train), validation=apply(splits.validation), test=apply(splits.test))


def _scale(splits: Splits, position: int) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each column (...) of the training inputs or targets; 1 of constant columns."""
    values = splits.train[position]
    where = f"data.standardised: training {PARTS[position]}"
    require(values.is_floating_point(), where, str(values.dtype), "a dtype with a fraction; use .float()")
    flawed = not_finite(values)
    if flawed:
        raise BadInput(f"{where}: got {flawed}; allowed: finite values")
    low, high = values.amin(dim=0), values.amax(dim=0)
    rounding = ROUNDING * torch.finfo(values.dtype).eps * torch.maximum(low.abs(), high.abs())
    is_constant = high - low <= rounding
    mean = torch.where(is_constant & (low == high), low, values.mean(dim=0))  # the mean of equal values may be off by a bit
    std = values.std(dim=0) if len(values) > 1 else torch.ones_like(mean)
    return mean, torch.where(is_constant, torch.ones_like(std), std)
