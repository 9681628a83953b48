"""A suite: the benchmarks and the optimizers to compare."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from torch import nn

from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits, Suite, Target, data
from optsuite.models import accuracy

# A benchmark is a model, a dataset, a loss and a budget.


def wine() -> Splits:
    """Return the training, validation and test data, split in the same way every time."""
    inputs, targets = load_wine(return_X_y=True)
    inputs = ((inputs - inputs.mean(axis=0)) / inputs.std(axis=0)).astype("float32")
    return data.split_randomly(inputs, targets, n_validation=36, n_test=36)


def model() -> nn.Module:
    """Return a model with new random weights. Every run seeds torch before it calls this."""
    return nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))


WINE = Benchmark(
    name="wine_mlp",
    dataset=wine,
    model=model,
    loss=F.cross_entropy,  # (outputs, targets) -> the mean over the batch
    metrics={"accuracy": accuracy},  # measured, never optimized
    batch_size=16,  # examples per step
    max_steps=200,  # steps of every run: the budget
    eval_every=20,  # steps from one measurement to the next
    target=Target("validation/accuracy", at_least=0.95),  # the table shows the steps to reach it
)


# An optimizer is a function of a model and a learning rate. Here: Adam that forgets faster.


def build(model: nn.Module, lr: float, *, beta2: float) -> torch.optim.Optimizer:
    """Return the optimizer of one run."""
    return torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, beta2))


MINE = OptimizerSpec(
    name="my_adam",
    build=build,
    lr=LogUniform(low=1e-4, high=1e-1),  # the rates to search, on a log scale
    default_lr=1e-3,  # evaluated beside the tuned rate; leave it out if there is none
    fixed={"beta2": 0.95},  # passed to build, the same in every run
)


# The suite: what `optsuite run` compares.

SUITE = Suite(
    name="mysuite",
    benchmarks=(WINE,),
    optimizers=(OPTIMIZERS["sgd"], OPTIMIZERS["adam"], MINE),  # `optsuite list` shows all names
    n_trials=16,  # learning rates tried for each optimizer; the best are confirmed on more seeds
    n_seeds=12,  # fresh seeds that the table uses
)
# To start from one of optsuite's own suites instead:
#   from dataclasses import replace
#   from optsuite.benchmarks import SUITES
#   SUITE = replace(SUITES["smoke"], optimizers=(OPTIMIZERS["adam"], MINE))
