"""Three convolutions and three dense layers on CIFAR-10, with weight decay: DeepOBS (Schneider et al. 2019), small suite P4.

Followed to the letter: 100 epochs of 390 steps, measured after each, its augmentation, its weight decay in every loss,
the target that of the original's repository. The published test accuracy is the mean of our validation and test
accuracy. Needs the data, from OPTSUITE_DATA or a download, and a GPU.
"""

from functools import partial

import torch.nn.functional as F

from optsuite import Benchmark, Target, data, models

BENCHMARK = Benchmark(
    name="cifar10_3c3d",
    dataset=partial(data.cifar10_whole, n_test=78 * 128),
    model=models.cnn_3c3d,
    loss=partial(models.penalised, F.cross_entropy),
    metrics={"accuracy": partial(models.unpenalised, models.accuracy)},
    batch_size=128,
    max_steps=100 * 390,
    eval_every=390,
    target=Target("validation/accuracy", at_least=0.8283),
)
