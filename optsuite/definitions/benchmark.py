"""A benchmark: one model paired with one dataset, its loss, batch size and budget."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from optsuite.definitions.names import METRIC_NAME
from optsuite.definitions.pairs import require_pair
from optsuite.definitions.target import Target
from optsuite.errors import require, require_count, require_name

Loss = Callable[[Any, Tensor], Tensor]
Split = tuple[Tensor, Tensor]
MOST_STEPS = 999_999_999  # more is a typing error


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A dataset: three pairs (inputs, targets) of tensors, whose first dimension is the example."""

    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            require_pair(name, getattr(self, name))

    def to(self, device: str, dtype: torch.dtype | None = None) -> "Splits":
        """The same data on a device, with floating-point numbers in the given dtype if any."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        def moved(split: Split) -> Split:
            inputs, targets = split
            return move(inputs), move(targets)

        train, validation, test = map(moved, (self.train, self.validation, self.test))
        return Splits(train=train, validation=validation, test=test)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One model paired with one dataset, its loss, batch size and budget.

    `dataset` makes the splits, and `model` a module with fresh random weights. `loss` and each
    metric map (outputs, targets) of a batch to the mean over its examples. Set `whole_split` if one
    is not such a mean, like F1 or a weighted loss: they are then measured on the outputs of a whole
    split at once. A step trains on exactly `batch_size` examples; the rest of an epoch is dropped.
    `shuffle` draws the order every "epoch", or "once" per run. Losses are measured at step 0, every
    `eval_every` steps and at `max_steps`.
    """

    name: str
    dataset: Callable[[], Splits]
    model: Callable[[], nn.Module]
    loss: Loss
    batch_size: int
    max_steps: int
    eval_every: int
    metrics: Mapping[str, Loss] = field(default_factory=dict)
    target: Target | None = None
    shuffle: Literal["epoch", "once"] = "epoch"
    whole_split: bool = False

    def __post_init__(self) -> None:
        require_name("benchmark name", self.name)
        where = f"benchmark {self.name}"
        for part in ("dataset", "model", "loss"):
            value = getattr(self, part)
            require(callable(value), f"{where}: {part}", value, "a function")
        _check_metrics(where, self.metrics)
        require_count(f"{where}: batch_size", self.batch_size)
        require_count(f"{where}: max_steps", self.max_steps, high=MOST_STEPS)
        require_count(f"{where}: eval_every", self.eval_every, high=self.max_steps)
        is_known = self.shuffle in ("epoch", "once")
        require(is_known, f"{where}: shuffle", self.shuffle, "'epoch' or 'once'")
        is_flag = isinstance(self.whole_split, bool)
        require(is_flag, f"{where}: whole_split", self.whole_split, "True or False")
        if self.target is not None:
            _check_target(where, self.target, self._measured)

    @property
    def _measured(self) -> tuple[str, ...]:
        """The names of the loss and of the metrics."""
        return ("loss", *self.metrics)

    @property
    def curves(self) -> tuple[str, ...]:
        """The names of all curves that its runs have."""
        validation = [f"validation/{name}" for name in self._measured]
        test = [f"test/{name}" for name in self._measured]
        return ("train/loss", "train/lr", *validation, *test)


def _check_metrics(where: str, metrics: object) -> None:
    """Raise InputError unless they map names that MLflow takes to functions."""
    is_mapping = isinstance(metrics, Mapping)
    require(is_mapping, f"{where}: metrics", metrics, "a mapping of names to functions")
    assert isinstance(metrics, Mapping)
    names = "up to 200 letters, digits, _ . : - and spaces, but not 'loss'"
    for key, metric in metrics.items():
        is_name = isinstance(key, str) and METRIC_NAME.fullmatch(key) and key != "loss"
        require(is_name, f"{where}: metric name", key, names)
        function = "a function (outputs, targets)"
        require(callable(metric), f"{where}: metric {key}", metric, function)


def _check_target(where: str, target: object, measured: tuple[str, ...]) -> None:
    """Raise InputError unless it is a Target of one of the names that are measured."""
    require(isinstance(target, Target), f"{where}: target", target, "a Target")
    assert isinstance(target, Target)
    name = target.metric.partition("/")[2]
    choices = f"one of {', '.join(measured)}"
    require(name in measured, f"{where}: target metric", target.metric, choices)
