"""A benchmark of your own, on wine data: `optsuite run --suite examples/own_benchmark.py`."""

from functools import partial

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine

from optsuite import OPTIMIZERS, Benchmark, Splits, Suite, Target, data, models


def wine() -> Splits:
    """Inputs (n, 13) of mean 0 and standard deviation 1, targets (n,) in 0..2; 98 / 40 / 40."""
    inputs, targets = load_wine(return_X_y=True)
    x = torch.as_tensor(inputs, dtype=torch.float32)
    x = (x - x.mean(dim=0)) / x.std(dim=0)
    return data.split_randomly(x, torch.as_tensor(targets), n_validation=40, n_test=40)


BENCHMARK = Benchmark(
    name="wine_mlp",
    dataset=wine,
    model=partial(models.mlp, (13, 32, 3)),
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=16,
    max_steps=200,
    eval_every=20,
    target=Target("validation/accuracy", at_least=0.95),
)
SUITE = Suite(
    name="wine",
    benchmarks=(BENCHMARK,),
    optimizers=(OPTIMIZERS["adam"], OPTIMIZERS["momentum"]),
)
