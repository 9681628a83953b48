"""ResNet-18 on CIFAR-10 with random flips and crops, the split that of He et al. 2016.

Needs the data, from OPTSUITE_DATA or a download, and a GPU.
"""

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="cifar10_resnet",
    dataset=data.cifar10,
    model=models.resnet18,
    loss=F.cross_entropy,
    metrics={"accuracy": models.accuracy},
    batch_size=128,
    max_steps=30 * 351,
    eval_every=351,
    target=Target("validation/accuracy", at_least=0.93),
)
