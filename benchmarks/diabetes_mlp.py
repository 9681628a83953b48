"""Regression on scikit-learn's diabetes data, standardised, with one hidden layer: small, noisy, soon overfitted."""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, data, models

BENCHMARK = Benchmark(
    name="diabetes_mlp",
    dataset=data.diabetes,
    model=partial(models.mlp, (10, 32, 1)),
    loss=F.mse_loss,
    batch_size=32,
    max_steps=400,
    eval_every=20,
)
