"""MNIST-1D by a dense network, in few steps. After Greydanus and Kobak 2024."""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, models
from optsuite.data.mnist1d import mnist1d

BENCHMARK = Benchmark(
    name="mnist1d_mlp",
    dataset=mnist1d,
    model=partial(models.mlp, (40, 100, 100, 10)),
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=256,
    max_steps=100,
    eval_every=20,
    target=Target("validation/accuracy", at_least=0.5),
)
