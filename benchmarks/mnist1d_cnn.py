"""MNIST-1D by three convolutions. After Greydanus and Kobak 2024."""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, models
from optsuite.data.mnist1d import mnist1d
from optsuite.models.signals import signal_cnn

BENCHMARK = Benchmark(
    name="mnist1d_cnn",
    dataset=mnist1d,
    model=partial(signal_cnn, n_channels=16),
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=50,
    max_steps=300,
    eval_every=50,
    target=Target("validation/accuracy", at_least=0.6),
)
