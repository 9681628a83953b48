"""Benchmarks to measure: classes and a line, with any losses and metrics."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from suites import tiny
from torch import Tensor, nn

from optsuite import Benchmark, Splits
from optsuite.training.validation.definitions import check_benchmark


def classes(n: int = 48, n_classes: int = 4, *, is_sorted: bool = False) -> Splits:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64 + 2 * n, 3, generator=generator)
    y = (x @ torch.randn(3, n_classes, generator=generator)).argmax(1)
    if is_sorted:
        x, y = x[y.argsort()], y.sort().values
    parts = zip(
        ("train", "validation", "test"),
        torch.split(x, [64, n, n]),
        torch.split(y, [64, n, n]),
        strict=True,
    )
    return Splits(**{name: (own, targets) for name, own, targets in parts})


def of(n: int = 48, **change: Any) -> Benchmark:
    benchmark = replace(
        tiny.BENCHMARK,
        dataset=lambda: classes(n),
        model=lambda: nn.Linear(3, 4),
        loss=F.cross_entropy,
        target=None,
    )
    return replace(benchmark, **change)


def line(change: Any = lambda x, y: (x, y), **others: Any) -> Benchmark:
    splits = Splits(**{name: change(*split) for name, split in vars(tiny.line()).items()})
    benchmark = replace(tiny.BENCHMARK, target=None, dataset=lambda: splits)
    return replace(benchmark, **others)


def notes(benchmark: Benchmark) -> tuple[str, ...]:
    return check_benchmark(benchmark, benchmark.dataset())


def perplexity(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets).exp()


class Penalised(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: Tensor) -> Any:
        return super().forward(x), 0.1 * self.weight.square().sum()


class Distribution(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: Tensor) -> Any:
        return torch.distributions.Normal(super().forward(x), 1.0)
