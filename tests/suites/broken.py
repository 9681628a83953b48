"""Benchmarks that break, each in its own way, beside one that does not."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from suites import tiny
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Benchmark, Suite

LATE = 60  # forward passes: more than trying it out takes
MEGABYTES = 64


class Breaking(nn.Linear):
    """Does something on each forward pass of its training after the first LATE."""

    def __init__(self, what: Callable[["Breaking"], None]) -> None:
        super().__init__(3, 1)
        self.what = what
        self.n_passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.n_passes += self.training
        if self.n_passes > LATE:
            self.what(self)
        return super().forward(x)


def raises(model: Breaking) -> None:
    raise ValueError("no more")


def never_ends(model: Breaking) -> None:
    while True:
        time.sleep(1)


def dies(model: Breaking) -> None:
    os._exit(3)


def dies_once(model: Breaking) -> None:
    if not Path("died").exists():
        Path("died").touch()
        os._exit(3)


def eats_memory(model: Breaking) -> None:
    eaten.append(torch.ones(MEGABYTES * 2**18))


eaten: list[Tensor] = []


class NotANumber(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nan


class Raising:
    def __init__(self, what: Callable[[Breaking], None]) -> None:
        self.what = what

    def __call__(self) -> nn.Module:
        return Breaking(self.what)


def not_a_number() -> nn.Module:
    return NotANumber(3, 1)


def wrong_shape() -> nn.Module:
    return nn.Linear(3, 2)


def benchmark(name: str, model: Callable[[], nn.Module]) -> Benchmark:
    return replace(tiny.BENCHMARK, name=name, model=model, max_steps=100)


SUITE = Suite(
    name="broken",
    benchmarks=(
        *(
            benchmark(what.__name__, Raising(what))
            for what in (raises, never_ends, dies, dies_once, eats_memory)
        ),
        benchmark("not_a_number", not_a_number),
        benchmark("wrong_shape", wrong_shape),
        tiny.BENCHMARK,
    ),
    optimizers=(OPTIMIZERS["sgd"], OPTIMIZERS["adam"]),
    n_trials=2,
    n_seeds=2,
)
