"""What a person writes: benchmarks, optimizers and the suite that compares them, each checked when it is made.

These are plain values. They know nothing of how they are trained, tuned, recorded or shown.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.errors import BadInput, one_line, require, require_count, require_name, require_rate
from optsuite.pairs import require_pair
from optsuite.schedules import Schedule, constant
from optsuite.target import Target as Target

Loss = Callable[[Any, Tensor], Tensor]
Split = tuple[Tensor, Tensor]

METRIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.: -]{1,200}")  # a key of MLflow's, less the slash and names we join with
PARAM_NAME = re.compile(r"[A-Za-z0-9_.: /-]{1,250}")  # what MLflow takes as the key of a param
LONGEST_PARAM = 6_000  # characters that MLflow keeps of a value: of more it cuts the end off
MOST_TRIALS, MOST_SEEDS, MOST_STEPS = 1_000, 1_000, 999_999_999  # more is a slip of the hand
OF_RUNS = {"optimizer", "lr", "schedule", "seed", "batch_size", "max_steps", "eval_every", "target"}
OF_MACHINES = {"device", "machine", "machine_class", "engine", "engine_reason", "dtype", "cast"}
OF_VERSIONS = {"optsuite_version", "torch_version", "mlflow_version", "optuna_version"}
OF_STUDIES = {"n_trials", "n_tuning_seeds", "n_seeds", "tolerance", "lr_low", "lr_high", "at_edge", "includes", "n_tied"}
RUN_PARAMS = OF_RUNS | OF_MACHINES | OF_VERSIONS | OF_STUDIES  # what the store is told beside the fixed hyperparameters
TOLERANCE = 0.01  # differences below 1 % of the better score do not matter to anybody, however certain they are
FIRST_TUNING_SEED = 1_000  # evaluation seeds are 0, 1, ...; tuning seeds start here, so that the two never meet


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

        return Splits(train=move(self.train), validation=move(self.validation), test=move(self.test))


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
            require(callable(getattr(self, part)), f"{where}: {part}", getattr(self, part), "a function")
        require(isinstance(self.metrics, Mapping), f"{where}: metrics", self.metrics, "a mapping of names to functions")
        for key, metric in self.metrics.items():
            named = isinstance(key, str) and METRIC_NAME.fullmatch(key) and key != "loss"
            require(named, f"{where}: metric name", key, "up to 200 letters, digits, _ . : - and spaces, but not 'loss'")
            require(callable(metric), f"{where}: metric {key}", metric, "a function (outputs, targets)")
        require_count(f"{where}: batch_size", self.batch_size)
        require_count(f"{where}: max_steps", self.max_steps, high=MOST_STEPS)
        require_count(f"{where}: eval_every", self.eval_every, high=self.max_steps)
        require(self.shuffle in ("epoch", "once"), f"{where}: shuffle", self.shuffle, "'epoch' or 'once'")
        require(isinstance(self.whole_split, bool), f"{where}: whole_split", self.whole_split, "True or False")
        if self.target is not None:
            require(isinstance(self.target, Target), f"{where}: target", self.target, "a Target")
            curves = ("loss", *self.metrics)
            curve = self.target.metric.partition("/")[2]
            require(curve in curves, f"{where}: target metric", self.target.metric, f"one of {', '.join(curves)}")

    @property
    def curves(self) -> tuple[str, ...]:
        """The names of all curves that its runs have."""
        measured = ("loss", *self.metrics)
        return ("train/loss", "train/lr", *(f"{split}/{name}" for split in ("validation", "test") for name in measured))


@dataclass(frozen=True, kw_only=True)
class LogUniform:
    """The interval of learning rates that is searched, on a log scale."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require_rate("interval low", self.low)
        require_rate("interval high", self.high)
        require(self.low < self.high, "interval", f"low={self.low:g}, high={self.high:g}", "low below high")


def _check_fixed(where: str, fixed: object) -> None:
    """Raise BadInput unless the hyperparameters can be handed on by name and kept in the store."""
    require(isinstance(fixed, Mapping), f"{where}: fixed", fixed, "a mapping of names to values")
    assert isinstance(fixed, Mapping)
    for key, value in fixed.items():
        named = isinstance(key, str) and PARAM_NAME.fullmatch(key) and posixpath.normpath(key) == key
        named = named and key != "." and not key.startswith(("..", "/"))
        require(named, f"{where}: fixed: name", key, "up to 250 letters, digits, _ - . : / and spaces, and no path like ../x")
        if key in RUN_PARAMS:
            raise BadInput(f"{where}: fixed: got {key!r}, allowed: names that say nothing else of a run")
        try:
            length = len(str(value))
        except Exception as error:
            raise BadInput(f"{where}: fixed: {key}: its text raised {one_line(error)}") from error
        require(
            length <= LONGEST_PARAM, f"{where}: fixed: {key}", value, f"a value whose text has up to {LONGEST_PARAM} characters"
        )


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """A named way to build an optimizer, the rates that are searched for it, and what it holds fixed.

    `build(model, lr, **fixed)` gets one run's module. `default_lr` is the rate that `source` (its paper or
    documentation) recommends; without one the optimizer has no default arm. `proportional` says that an element's step
    depends on that element alone and is proportional to lr, so that many runs can share one instance; `closure`, that its
    step calls a function that computes the loss and its gradients. A step uses the fraction of lr that `schedule` says;
    None is for an optimizer that must not be given one. An optimizer with `train` and `eval` methods, as schedule-free ones
    have, is measured in its eval mode. `includes` names optimizers that other values of what is held fixed would turn this
    one into: being worse than they are then says that too little was tuned. `not_for` says what it is no choice for.
    """

    name: str
    build: Callable[..., Optimizer]
    lr: LogUniform
    default_lr: float | None = None
    proportional: bool = False
    closure: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = constant
    includes: tuple[str, ...] = ()
    source: str = ""
    not_for: str = ""

    def __post_init__(self) -> None:
        require_name("optimizer name", self.name)
        require(self.name != "all", "optimizer name", self.name, "any other: it stands for all of them")
        where = f"optimizer {self.name}"
        require(callable(self.build), f"{where}: build", self.build, "a function (model, lr, **fixed)")
        require(isinstance(self.lr, LogUniform), f"{where}: lr", self.lr, "LogUniform(low=..., high=...)")
        _check_fixed(where, self.fixed)
        if self.default_lr is not None:
            require_rate(f"{where}: default_lr", self.default_lr)
        scheduled = self.schedule is None or callable(self.schedule)
        require(scheduled, f"{where}: schedule", self.schedule, "a function (step, max_steps) -> fraction of lr, or None")
        named = isinstance(self.includes, tuple) and all(isinstance(name, str) for name in self.includes)
        require(named, f"{where}: includes", self.includes, "a tuple of names of optimizers")
        require(not (self.closure and self.proportional), f"{where}: closure", True, "False where proportional")

    def fraction(self, step: int, max_steps: int) -> float:
        """The fraction of lr that one of the steps 1 to `max_steps` uses."""
        return 1.0 if self.schedule is None else self.schedule(step, max_steps)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The benchmarks and optimizers compared together, and the protocol of the comparison.

    `on_request` are benchmarks that run only when they are named: those that need a download, or hours. Differences of less
    than `tolerance`, a fraction of the better score, do not count, however certain.
    """

    name: str
    benchmarks: tuple[Benchmark, ...]
    optimizers: tuple[OptimizerSpec, ...]
    on_request: tuple[Benchmark, ...] = ()
    n_trials: int = 16
    n_tuning_seeds: int = 1
    n_seeds: int = 12
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        require_name("suite name", self.name)
        where = f"suite {self.name}"
        for part, kind in (("benchmarks", Benchmark), ("on_request", Benchmark), ("optimizers", OptimizerSpec)):
            values = getattr(self, part)
            typed = isinstance(values, tuple) and all(isinstance(value, kind) for value in values)
            require(typed, f"{where}: {part}", values, f"a tuple of {kind.__name__}")
        require(self.benchmarks + self.on_request, f"{where}: benchmarks", (), "at least one")
        require(self.optimizers, f"{where}: optimizers", (), "at least one")
        for part, members in (("benchmarks", self.benchmarks + self.on_request), ("optimizers", self.optimizers)):
            names = [member.name for member in members]
            require(len(set(names)) == len(names), f"{where}: names of {part}", names, "each name once")
        require_count(f"{where}: n_trials", self.n_trials, high=MOST_TRIALS)
        require_count(f"{where}: n_tuning_seeds", self.n_tuning_seeds, high=MOST_SEEDS)
        require_count(f"{where}: n_seeds", self.n_seeds, high=FIRST_TUNING_SEED)
        number = isinstance(self.tolerance, int | float) and 0 <= self.tolerance < 1
        require(number, f"{where}: tolerance", self.tolerance, "a number from 0 to below 1")

    @property
    def seeds(self) -> range:
        """The evaluation seeds: fresh, never seen while the learning rate is tuned."""
        return range(self.n_seeds)

    @property
    def tuning_seeds(self) -> range:
        """The seeds of every trial, disjoint from the evaluation seeds."""
        return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.n_tuning_seeds)
