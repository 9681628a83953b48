"""Generated data are those of the published recipes, and their best possible loss is known."""

import numpy as np
import torch
from torch import nn

from optsuite.data.generated import (
    GRID,
    N_TOKENS,
    UNPREDICTABLE,
    language_entropy,
    synthetic_language,
    teacher_student,
)
from optsuite.data.mnist1d import SEED, mnist1d, signals
from optsuite.models.signals import GatedRecurrent, signal_cnn


def test_mnist1d_of_the_published_size_has_the_published_values() -> None:
    """What version 0.0.2.post1 of the package mnist1d makes by default."""
    x, y = signals(5_000, SEED)
    first = [-0.33200567, -0.47191037, -0.77869708, -1.00974083, -0.88235257]
    assert np.abs(x[0, :5] - first).max() <= 0.5 / GRID
    assert np.abs(x[-1, -3:] - [0.65987565, 0.87773435, 1.19315184]).max() <= 0.5 / GRID
    assert y[:8].tolist() == [2, 6, 4, 5, 6, 6, 6, 0]


def test_mnist1d_has_the_same_number_of_each_digit_and_is_made_the_same_again() -> None:
    splits = mnist1d()
    assert [len(split[0]) for split in vars(splits).values()] == [4_000, 2_000, 2_000]
    x = torch.cat([split[0] for split in vars(splits).values()])
    y = torch.cat([split[1] for split in vars(splits).values()])
    assert y.bincount().tolist() == [800] * 10
    assert abs(float(x.mean())) < 1e-4
    assert abs(float(x.std()) - 1) < 1e-3
    assert torch.equal(x * GRID, (x * GRID).round())
    assert torch.equal(splits.train[0], mnist1d().train[0])


def test_teacher_student_inputs_are_ill_conditioned_and_its_noise_is_known() -> None:
    splits = teacher_student(condition=1e3, noise=0.1)
    x, y = (torch.cat([split[part] for split in vars(splits).values()]) for part in (0, 1))
    variances = torch.linalg.eigvalsh(x.T.cov().double())
    assert 800 < float(variances.max() / variances.min()) < 1_300
    without = teacher_student(condition=1e3, noise=0.0)
    clean = torch.cat([split[1] for split in vars(without).values()])
    assert abs(float((y - clean).square().mean()) - 0.01) < 5e-4
    assert abs(float(clean.var()) - 1) < 1e-3


def test_language_has_the_entropy_that_it_claims() -> None:
    """Estimated from counts of tokens, given the last one and the one four before."""
    splits = synthetic_language()
    x, y = (torch.cat([split[part] for split in vars(splits).values()]) for part in (0, 1))
    assert (y[:, :3] == UNPREDICTABLE).all()
    assert torch.equal(x[:, 4:], y[:, 3:-1])
    counts = torch.zeros(N_TOKENS, N_TOKENS, N_TOKENS, dtype=torch.float64)
    triples = (x[:, 3:].flatten(), x[:, :-3].flatten(), y[:, 3:].flatten())
    counts.index_put_(triples, torch.ones(len(triples[0]), dtype=torch.float64), accumulate=True)
    chances = counts / counts.sum(dim=-1, keepdim=True)
    found = -(counts * chances.clamp_min(1e-12).log()).sum() / counts.sum()
    assert abs(float(found) - language_entropy()) < 0.02


def test_gated_recurrent_network_is_a_gru() -> None:
    own = GatedRecurrent(n_read=2, width=24, n_classes=10)
    gru = nn.GRU(2, 24, batch_first=True)
    for name, parameter in (
        ("weight_ih_l0", own.read.weight),
        ("bias_ih_l0", own.read.bias),
        ("weight_hh_l0", own.recur.weight),
        ("bias_hh_l0", own.recur.bias),
    ):
        getattr(gru, name).data = parameter.data
    x = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    expected = own.output(gru(x.reshape(5, 20, 2))[0][:, -1])
    torch.testing.assert_close(own(x), expected)
    assert signal_cnn()(x).shape == (5, 10)
