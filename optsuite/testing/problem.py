"""The small benchmark on which optimizers are tested: no download, 0.1 seconds a run."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.models import mlp

N_CLASSES, N_FEATURES = 3, 8


def clusters() -> Splits:
    """Three overlapping clusters: inputs (n, 8), targets (n,) in 0..2; 128 / 64 / 64 examples."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(N_CLASSES, N_FEATURES, generator=generator)
    y = torch.arange(256) % N_CLASSES
    x = centers[y] + torch.randn(256, N_FEATURES, generator=generator)

    def part(low: int, high: int) -> tuple[Tensor, Tensor]:
        return x[low:high], y[low:high]

    return Splits(train=part(0, 128), validation=part(128, 192), test=part(192, 256))


CLUSTERS = Benchmark(
    name="clusters",
    dataset=clusters,
    model=partial(mlp, (N_FEATURES, 16, N_CLASSES)),
    loss=F.cross_entropy,
    batch_size=16,
    max_steps=60,
    eval_every=15,
)
