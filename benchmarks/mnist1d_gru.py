"""MNIST-1D read by a gated recurrent unit, eight samples at a time.

After Greydanus and Kobak 2024, and Cho et al. 2014.
"""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, models
from optsuite.data.mnist1d import mnist1d
from optsuite.models.signals import GatedRecurrent

BENCHMARK = Benchmark(
    name="mnist1d_gru",
    dataset=mnist1d,
    model=partial(GatedRecurrent, n_read=8, width=24, n_classes=10),
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=128,
    max_steps=200,
    eval_every=40,
    target=Target("validation/accuracy", at_least=0.6),
)
