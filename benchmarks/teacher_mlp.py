"""A dense network learns a smaller one from ill-conditioned inputs.

The lowest possible loss is 0.01.
"""

from functools import partial

import torch.nn.functional as F
from torch import nn

from optsuite import Benchmark, models
from optsuite.data.generated import teacher_student

BENCHMARK = Benchmark(
    name="teacher_mlp",
    dataset=teacher_student,
    model=partial(models.mlp, (32, 64, 1), nn.Tanh),
    loss=F.mse_loss,
    batch_size=64,
    max_steps=600,
    eval_every=60,
)
