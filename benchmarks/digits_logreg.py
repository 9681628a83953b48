"""Softmax regression on scikit-learn's digits: convex, real data."""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="digits_logreg",
    dataset=data.digits,
    model=partial(models.mlp, (64, 10)),
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=64,
    max_steps=500,
    eval_every=25,
    target=Target("validation/accuracy", at_least=0.95),
)
