"""Small benchmarks of numbers, classes and words: refused in one line, or trained."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Benchmark, OptimizerSpec, Splits
from optsuite.errors import InputError
from optsuite.training.plain import train
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.validation.definitions import check_benchmark, check_pair, load_splits

NAN, INF = float("nan"), float("inf")
SGD = OPTIMIZERS["sgd"]


def splits_of(x: Tensor, y: Tensor) -> Splits:
    """48 examples to train on, 24 to validate and 24 to test on."""
    return Splits(train=(x[:48], y[:48]), validation=(x[48:72], y[48:72]), test=(x[72:], y[72:]))


def numbers() -> Splits:
    """y (n, 1) is linear in x (n, 3)."""
    x = torch.randn(96, 3, generator=torch.Generator().manual_seed(1))
    return splits_of(x, x @ torch.tensor([[2.0], [0.0], [-1.0]]))


def classes() -> Splits:
    """y (n,) in 0..3 is the sign of two of the columns of x (n, 3)."""
    pairs = {}
    for name, (x, _) in vars(numbers()).items():
        positive = (x > 0).long()
        pairs[name] = (x, positive[:, 0] + 2 * positive[:, 1])
    return Splits(**pairs)


def words() -> Splits:
    """y (n,) in 0..1 is whether the five words of x (n, 5), in 0..19, have a large sum."""
    x = torch.randint(0, 20, (96, 5), generator=torch.Generator().manual_seed(2))
    return splits_of(x, (x.sum(dim=1) > 47).long())


def line() -> nn.Module:
    return nn.Linear(3, 1)


def classifier() -> nn.Module:
    return nn.Linear(3, 4)


def reader(**options: Any) -> nn.Module:
    return nn.Sequential(nn.Embedding(20, 4, **options), nn.Flatten(), nn.Linear(20, 2))


COMMON: dict[str, Any] = {"batch_size": 8, "max_steps": 20, "eval_every": 10}
LINE = Benchmark(name="line", dataset=numbers, model=line, loss=F.mse_loss, **COMMON)
CLASSES = Benchmark(
    name="classes", dataset=classes, model=classifier, loss=F.cross_entropy, **COMMON
)
WORDS = Benchmark(name="words", dataset=words, model=reader, loss=F.cross_entropy, **COMMON)


def refusal(benchmark: Benchmark, spec: OptimizerSpec = SGD) -> str:
    """The line that refuses the benchmark, or the optimizer on it; empty if both are accepted."""
    line = ""
    try:
        splits = load_splits(benchmark)
        check_benchmark(benchmark, splits)
        check_pair(benchmark, spec, splits)
    except InputError as error:
        line = str(error)
    assert not line or benchmark.name in line
    assert "\n" not in line
    return line


def losses(benchmark: Benchmark, spec: OptimizerSpec = SGD, *, lr: float = 0.1) -> list[float]:
    """The validation losses of one run, which must be accepted and finish."""
    assert refusal(benchmark, spec) == ""
    run = Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=0, kind="trial")
    *updates, (_, ended) = train(benchmark, spec, [run], benchmark.dataset())
    assert ended == RunResult(outcome="finished")
    measured = [update for _, update in updates if isinstance(update, Measurement)]
    return [measurement.values["validation/loss"] for measurement in measured]


def learns(benchmark: Benchmark, spec: OptimizerSpec = SGD, *, lr: float = 0.1) -> bool:
    first, *_, last = losses(benchmark, spec, lr=lr)
    return last < first


def flawed(
    make: Callable[[], Splits], split: str, part: int, index: Any, value: float
) -> Callable[[], Splits]:
    """The dataset with one value replaced."""

    def dataset() -> Splits:
        splits = make()
        getattr(splits, split)[part][index] = value
        return splits

    return dataset
