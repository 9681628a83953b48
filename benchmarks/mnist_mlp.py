"""MNIST with one hidden layer of 128 sigmoids: AlgoPerf's development workload.

Needs the data, from OPTSUITE_DATA or a download.
The workload asks for an accuracy of 0.97 on both validation and test data; the clock stops on validation, as everywhere.
"""

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="mnist_mlp",
    dataset=data.mnist,
    model=models.mnist_mlp,
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=128,
    max_steps=3_900,
    eval_every=195,
    target=Target("validation/accuracy", at_least=0.97),
)
