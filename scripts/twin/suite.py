"""The suite."""

from optsuite import Benchmark, LogUniform, OptimizerSpec, Suite
from twin import losses, nets, sets, steps

SURFACE = Benchmark(
    name="surface",
    dataset=sets.surface,
    model=nets.regressor,
    loss=losses.robust,
    metrics={"within": losses.within},
    batch_size=16,
    max_steps=60,
    eval_every=20,
)
SECTORS = Benchmark(
    name="sectors",
    dataset=sets.sectors,
    model=nets.classifier,
    loss=losses.smoothed,
    metrics={"accuracy": losses.hits},
    batch_size=16,
    max_steps=60,
    eval_every=20,
)
SUITE = Suite(
    name="twin",
    benchmarks=(SURFACE, SECTORS),
    optimizers=(
        OptimizerSpec(
            name="drag", build=steps.drag, lr=LogUniform(low=1e-3, high=1e-1), default_lr=1e-2
        ),
        OptimizerSpec(name="scaled", build=steps.scaled, lr=LogUniform(low=1e-4, high=1e-1)),
    ),
    n_trials=8,
    n_seeds=4,
)
