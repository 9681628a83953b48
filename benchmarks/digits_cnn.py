"""Two small convolutions and a linear layer on scikit-learn's digits as 8x8 images."""

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="digits_cnn",
    dataset=data.digits_images,
    model=models.small_cnn,
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=64,
    max_steps=500,
    eval_every=25,
    target=Target("validation/accuracy", at_least=0.97),
)
