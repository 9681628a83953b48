"""Two convolutions and two dense layers on Fashion-MNIST: DeepOBS (Schneider et al. 2019), small suite P3.

Followed to the letter: 100 epochs of 468 steps, measured after each, the batch order drawn once per run, the target that
of the original's repository. The published test accuracy is the mean of our validation and test accuracy. Needs the data,
from OPTSUITE_DATA or a download.
"""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="fashion_mnist_2c2d",
    dataset=partial(data.fashion_mnist_whole, n_test=78 * 128),
    model=models.cnn_2c2d,
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=128,
    max_steps=100 * 468,
    eval_every=468,
    shuffle="once",
    target=Target("validation/accuracy", at_least=0.9198),
)
