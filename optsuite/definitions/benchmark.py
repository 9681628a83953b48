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
MOST_STEPS = 999_999_999  # more is a slip of the hand


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A dataset: three pairs (inputs, targets) of tensors whose first dimension counts the examples."""

    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            require_pair(name, getattr(self, name))

    def to(self, device: str, dtype: torch.dtype | None = None) -> "Splits":
        """The same data on a device, floating-point numbers in the given dtype if one is given."""

        def move(split: Split) -> Split:
            x, y = (t.to(device, dtype if t.is_floating_point() else None) for t in split)
            return x, y

        return Splits(
            train=move(self.train), validation=move(self.validation), test=move(self.test)
        )


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One model paired with one dataset, its loss, batch size and budget.

    `dataset` makes the splits, `model` makes a module with fresh random weights, `loss` and each metric map
    (outputs, targets) of a batch to the mean over its examples. `whole_split` is for those that are no such means, such as F1
    or a weighted loss: they are then measured on the outputs of a whole split at once. A step trains on exactly
    `batch_size` examples: what is left at the end of an epoch is dropped. `shuffle` draws the order anew every "epoch",
    or "once" per run. Losses are measured at step 0, every `eval_every` steps and at `max_steps`.
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
            require(
                callable(getattr(self, part)), f"{where}: {part}", getattr(self, part), "a function"
            )
        require(
            isinstance(self.metrics, Mapping),
            f"{where}: metrics",
            self.metrics,
            "a mapping of names to functions",
        )
        for key, metric in self.metrics.items():
            named = isinstance(key, str) and METRIC_NAME.fullmatch(key) and key != "loss"
            require(
                named,
                f"{where}: metric name",
                key,
                "up to 200 letters, digits, _ . : - and spaces, but not 'loss'",
            )
            require(
                callable(metric), f"{where}: metric {key}", metric, "a function (outputs, targets)"
            )
        require_count(f"{where}: batch_size", self.batch_size)
        require_count(f"{where}: max_steps", self.max_steps, high=MOST_STEPS)
        require_count(f"{where}: eval_every", self.eval_every, high=self.max_steps)
        require(
            self.shuffle in ("epoch", "once"),
            f"{where}: shuffle",
            self.shuffle,
            "'epoch' or 'once'",
        )
        require(
            isinstance(self.whole_split, bool),
            f"{where}: whole_split",
            self.whole_split,
            "True or False",
        )
        if self.target is not None:
            require(isinstance(self.target, Target), f"{where}: target", self.target, "a Target")
            curves = ("loss", *self.metrics)
            curve = self.target.metric.partition("/")[2]
            require(
                curve in curves,
                f"{where}: target metric",
                self.target.metric,
                f"one of {', '.join(curves)}",
            )

    @property
    def curves(self) -> tuple[str, ...]:
        """The names of all curves that its runs have."""
        measured = ("loss", *self.metrics)
        return (
            "train/loss",
            "train/lr",
            *(f"{split}/{name}" for split in ("validation", "test") for name in measured),
        )
