"""Two benchmarks and two optimizers in the form of `smoke`, with a round that is proposed.

Takes seconds to train.
"""

from dataclasses import replace

from optsuite import OPTIMIZERS, Suite
from optsuite.benchmarks import diabetes_mlp, digits_logreg

SUITE = Suite(
    name="small",
    benchmarks=tuple(
        replace(own.BENCHMARK, max_steps=200) for own in (digits_logreg, diabetes_mlp)
    ),
    optimizers=(OPTIMIZERS["momentum"], OPTIMIZERS["sgd"]),
    n_trials=12,
    n_confirmation_seeds=0,
    n_seeds=6,
)
