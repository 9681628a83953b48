"""A made-up language by a transformer of one layer.

The loss is in nats per token above the lowest possible one.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor

from optsuite import Benchmark, models
from optsuite.data.generated import CONTEXT, N_TOKENS, language_entropy, synthetic_language

ENTROPY = language_entropy()


def excess(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy above the entropy of the language, in nats: outputs (B, T, 16), targets (B, T)."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten()) - ENTROPY


BENCHMARK = Benchmark(
    name="language_transformer",
    dataset=synthetic_language,
    model=partial(
        models.Transformer, n_tokens=N_TOKENS, context=CONTEXT, width=16, n_heads=2, n_layers=1
    ),
    loss=excess,
    batch_size=8,
    max_steps=200,
    eval_every=40,
)
