"""A deep autoencoder of scikit-learn's digits through a bottleneck of 8 units: ill-conditioned. After Martens 2010."""

from functools import partial

import torch.nn.functional as F
from torch import nn

from optsuite import Benchmark, data, models

BENCHMARK = Benchmark(
    name="digits_autoencoder",
    dataset=data.digits_autoencoding,
    model=partial(models.mlp, (64, 96, 48, 24, 8, 24, 48, 96, 64), nn.Tanh),
    loss=F.mse_loss,
    batch_size=64,
    max_steps=500,
    eval_every=25,
)
