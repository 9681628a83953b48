"""A two-layer ReLU network on scikit-learn's digits."""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="digits_mlp",
    dataset=data.digits,
    model=partial(models.mlp, (64, 128, 64, 10)),
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=64,
    max_steps=1_000,
    eval_every=50,
    target=Target("validation/accuracy", at_least=0.97),
)
