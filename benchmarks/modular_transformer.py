"""(a + b) mod p learned from half of all pairs by a transformer of one layer. After Power et al. 2022, smaller."""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

P = 53

BENCHMARK = Benchmark(
    name="modular_transformer",
    dataset=partial(data.modular_addition, P),
    model=partial(models.ModularTransformer, P),
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=96,
    max_steps=600,
    eval_every=30,
    target=Target("validation/accuracy", at_least=0.95),
)
