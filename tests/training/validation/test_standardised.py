"""Standardised columns equal scikit-learn's; constant ones are only shifted."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from support.refusals import NAN, flawed, numbers, words
from torch import Tensor

from optsuite import Splits, data
from optsuite.errors import InputError


def test_constant_columns_become_zero_as_in_scikit_learn() -> None:
    def part(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 4, generator=torch.Generator().manual_seed(n))
        x = x * torch.tensor([1.0, 5.0, 0.0, 0.0])
        x[:, 2] = 0.1
        x[:, 3] = 3.0 + 2.4e-7 * (torch.arange(n) % 2)  # as equal as rounding leaves them
        return x, torch.ones(n, 1)

    made = data.standardised(
        Splits(train=part(50), validation=part(20), test=part(20)), targets=True
    )
    x, y = made.train
    assert bool((x[:, 2] == 0).all())
    assert float(x[:, 3].abs().max()) < 1e-6
    assert bool((y == 0).all())
    scaler = StandardScaler().fit(part(50)[0].double().numpy())
    expected = scaler.transform(part(20)[0].double().numpy())
    unbiased = np.sqrt(49 / 50)  # torch's standard deviation divides by n - 1, scikit-learn's by n
    np.testing.assert_allclose(made.validation[0][:, :3], expected[:, :3] * unbiased, atol=1e-5)
    assert float(made.validation[0][:, 3].abs().max()) < 1e-6


def test_constant_column_that_varies_in_other_splits_is_only_shifted() -> None:
    ones, twos = torch.ones(6, 1), torch.full((6, 1), 2.0)
    made = data.standardised(Splits(train=(ones, ones), validation=(twos, twos), test=(twos, twos)))
    assert made.validation[0].tolist() == [[1.0]] * 6


def test_large_numbers_that_vary_little_are_scaled() -> None:
    x = torch.tensor([[2020.0], [2021.0], [2022.0]])
    made = data.standardised(Splits(train=(x, x), validation=(x, x), test=(x, x)))
    assert made.train[0].flatten().tolist() == [-1.0, 0.0, 1.0]
    single = data.standardised(Splits(train=(x[:1], x[:1]), validation=(x, x), test=(x, x)))
    assert single.train[0].tolist() == [[0.0]]


def test_standardised_names_what_it_cannot_scale() -> None:
    with pytest.raises(
        InputError, match=r"training inputs: got 1 NaN of 144 values, the first in row 4, column 2"
    ):
        data.standardised(flawed(numbers, "train", 0, (4, 2), NAN)())
    with pytest.raises(
        InputError,
        match=r"training inputs: got 'torch.int64', "
        r"allowed: a dtype with a fraction; use .float\(\)",
    ):
        data.standardised(words())
