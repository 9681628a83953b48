"""A comparison from Python: a suite made here, an optimizer given as a value, the result as frames.

`python examples/from_python.py` takes a minute and writes to mlruns/ in the current folder. As a
script it trains in its own process; definitions in a module can be loaded by worker processes.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam, Optimizer

import optsuite
from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits, Suite, data


def sine() -> Splits:
    """A noisy sine: inputs (n, 1), targets (n, 1); 200 / 100 / 100 examples."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(400, 1, generator=generator) * 6 - 3
    y = torch.sin(2 * x) + 0.1 * torch.randn(400, 1, generator=generator)
    return data.split_randomly(x, y, n_validation=100, n_test=100)


def network() -> nn.Module:
    """One hidden layer of 32 units: (B, 1) -> (B, 1)."""
    return nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))


def amsgrad(model: nn.Module, lr: float) -> Optimizer:
    """Adam that remembers the largest second moment (Reddi et al. 2018)."""
    return Adam(model.parameters(), lr=lr, amsgrad=True)


AMSGRAD = OptimizerSpec(
    name="amsgrad",
    build=amsgrad,
    lr=LogUniform(low=1e-5, high=1e-1),
    default_lr=1e-3,
)
SINE = Benchmark(
    name="sine_mlp",
    dataset=sine,
    model=network,
    loss=F.mse_loss,
    batch_size=20,
    max_steps=300,
    eval_every=30,
)
SUITE = Suite(
    name="from_python",
    benchmarks=(SINE,),
    optimizers=(OPTIMIZERS["adam"], OPTIMIZERS["sgd"]),
)


def main(n_trials: int = 16, n_seeds: int = 12) -> str:
    """Train, and return the leaderboard and every certain verdict as text."""
    result = optsuite.run(
        SUITE,
        optimizers=["adam", "sgd", AMSGRAD],
        n_trials=n_trials,
        n_seeds=n_seeds,
        campaign="from_python",
    )
    table = result.leaderboard[result.leaderboard["rank"].notna()]
    lines = [table[["rank", "optimizer", "lr", "score"]].to_string(index=False)]
    better = result.verdicts[result.verdicts["verdict"] == "better"]
    for row in better.itertuples():
        lines.append(f"{row.optimizer} is better than {row.versus}: p = {row.p:.2g}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
