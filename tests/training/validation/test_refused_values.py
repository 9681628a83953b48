"""Values and losses that are not finite are named; targets that a loss ignores train."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.refusals import (
    CLASSES,
    INF,
    LINE,
    NAN,
    SGD,
    classes,
    flawed,
    learns,
    numbers,
    refusal,
    splits_of,
)
from torch import Tensor, nn

from optsuite import Splits
from optsuite.training.engines import ENGINES
from optsuite.training.plain import train
from optsuite.training.results import Run, RunResult


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            flawed(numbers, "train", 0, (40, 1), NAN),
            "training inputs hold 1 NaN of 144 values, the first in row 40, column 1",
        ),
        (
            flawed(numbers, "train", 0, (40, 1), INF),
            "training inputs hold 1 infinite of 144 values, the first in row 40, col",
        ),
        (
            flawed(numbers, "train", 0, 5, -INF),
            "training inputs hold 3 infinite of 144 values, the first in row 5, column 0",
        ),
        (
            flawed(numbers, "train", 1, 3, NAN),
            "training targets hold 1 NaN of 48 values, the first in row 3, column 0",
        ),
        (
            flawed(numbers, "validation", 0, (23, 2), NAN),
            "validation inputs hold 1 NaN of 72 values, the first in row 23",
        ),
        (
            flawed(numbers, "validation", 1, 0, INF),
            "validation targets hold 1 infinite of 24 values, the first in row 0",
        ),
        (
            flawed(numbers, "test", 0, (2, 0), NAN),
            "test inputs hold 1 NaN of 72 values, the first in row 2, column 0",
        ),
        (
            flawed(numbers, "test", 1, slice(4, 9), NAN),
            "test targets hold 5 NaN of 24 values, the first in row 4, column 0",
        ),
    ],
)
def test_value_that_is_not_finite_is_named(dataset: Callable[[], Splits], message: str) -> None:
    assert f"benchmark line: its {message}" in refusal(replace(LINE, dataset=dataset))


def present(outputs: Tensor, targets: Tensor) -> Tensor:
    """The squared error where there is a target."""
    known = targets.isfinite()
    return (outputs[known] - targets[known]).square().mean()


def test_missing_targets_that_the_loss_ignores_train() -> None:
    assert learns(replace(LINE, dataset=flawed(numbers, "train", 1, 3, NAN), loss=present))


def test_image_that_is_not_finite_is_named_by_row_channel_and_pixel() -> None:
    def images() -> Splits:
        x = torch.zeros(96, 1, 2, 3)
        x[7, 0, 1, 2] = NAN
        return splits_of(x, torch.zeros(96, 1))

    def flat() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 1))

    benchmark = replace(LINE, dataset=images, model=flat)
    assert "1 NaN of 288 values, the first in row 7, column (0, 1, 2)" in refusal(benchmark)


def ignoring(share: int) -> Callable[[], Splits]:
    """One in `share` training labels, the others -100, which cross_entropy ignores."""

    def dataset() -> Splits:
        splits = classes()
        kept = splits.train[1][::share].clone()
        splits.train[1][:] = -100
        splits.train[1][::share] = kept
        return splits

    return dataset


def test_batch_of_ignored_labels_only_is_named() -> None:
    line = refusal(replace(CLASSES, dataset=ignoring(2), batch_size=2))
    assert re.search(
        r"benchmark classes: the loss of the batch of step \d+, seed 0, "
        "is not finite although the outputs",
        line,
    )
    assert "ignored labels only?" in line


def test_ignored_labels_among_other_labels_train() -> None:
    assert learns(replace(CLASSES, dataset=ignoring(2), batch_size=24))


@pytest.mark.parametrize("engine", ENGINES)
def test_batch_without_a_loss_late_in_training_fails_instead_of_diverging(engine: str) -> None:
    benchmark = replace(CLASSES, dataset=ignoring(2), batch_size=2)
    run = Run(benchmark="classes", optimizer="sgd", lr=0.1, seed=5, kind="trial")
    *_, (_, ended) = ENGINES[engine].train(benchmark, SGD, [run], benchmark.dataset())
    assert isinstance(ended, RunResult)
    assert ended.outcome == "failed"
    assert "does it hold ignored labels only?" in (ended.error or "")


def test_huge_rate_on_finite_data_is_diverged() -> None:
    run = Run(benchmark="line", optimizer="sgd", lr=1e30, seed=0, kind="trial")
    *_, (_, ended) = train(LINE, SGD, [run], numbers())
    assert ended == RunResult(outcome="diverged")


def test_validation_of_ignored_labels_only_is_named() -> None:
    line = refusal(replace(CLASSES, dataset=flawed(classes, "validation", 1, slice(None), -100)))
    assert "benchmark classes: its loss on the validation split is nan before training" in line
