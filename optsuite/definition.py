"""What a person writes: benchmarks, optimizers and the suite that compares them, each checked when it is made.

These are plain values. They know nothing of how they are trained, tuned, recorded or shown.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.errors import BadInput

Loss = Callable[[Any, Tensor], Tensor]
Split = tuple[Tensor, Tensor]

METRIC_NAME = re.compile(r"[A-Za-z0-9_.: -]+")  # what MLflow takes as a metric key, less the slash that we join with
OF_RUNS = {"optimizer", "lr", "seed", "batch_size", "max_steps", "eval_every", "target", "device", "engine"}
OF_STUDIES = {"n_trials", "n_tuning_seeds", "n_seeds", "tolerance", "lr_low", "lr_high", "at_edge"}
RUN_PARAMS = OF_RUNS | OF_STUDIES  # what the store is told beside the fixed hyperparameters
TOLERANCE = 0.01  # differences below 1 % of the better score do not matter to anybody, however certain they are
FIRST_TUNING_SEED = 1_000  # evaluation seeds are 0, 1, ...; tuning seeds start here, so that the two never meet


def require(condition: object, what: str, received: object, allowed: str) -> None:
    """Raise BadInput naming what, received and allowed unless the condition holds."""
    if not condition:
        text = repr(received)
        raise BadInput(f"{what}: got {text if len(text) < 200 else text[:200] + '...'}, allowed: {allowed}")


def _require_name(what: str, name: object) -> None:
    usable = isinstance(name, str) and name.isprintable() and name == name.strip() and 0 < len(name) <= 100
    usable = usable and not re.search(r"[/\\]", str(name)) and not str(name).startswith(".")
    require(usable, what, name, "1 to 100 printable characters without slashes, not starting with a dot")


def require_count(what: str, value: object, low: int = 1, high: int | None = None) -> None:
    """Raise BadInput unless the value is a whole number from low to high."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    bound = f"a whole number from {low}" + (f" to {high}" if high is not None else "")
    require(whole and low <= value and (high is None or value <= high), what, value, bound)  # type: ignore[operator]


def require_rate(what: str, value: object) -> None:
    """Raise BadInput unless the value is a finite learning rate above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    require(number and math.isfinite(value) and value > 0, what, value, "a finite number above 0")  # type: ignore


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A dataset: three pairs (inputs, targets) of tensors whose first dimension counts the examples."""

    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            split = getattr(self, name)
            pair = isinstance(split, tuple) and len(split) == 2 and all(isinstance(t, Tensor) and t.ndim for t in split)
            require(pair, f"{name} split", type(split).__name__, "a pair (inputs, targets) of tensors")
            lengths = (len(split[0]), len(split[1]))
            require(lengths[0] == lengths[1] > 0, f"{name} split", lengths, "as many inputs as targets, at least one")

    def to(self, device: str, dtype: torch.dtype) -> "Splits":
        """The same data on a device, numbers with a fraction in the given dtype."""

        def move(split: Split) -> Split:
            x, y = (t.to(device, dtype if t.is_floating_point() else None) for t in split)
            return x, y

        return Splits(train=move(self.train), validation=move(self.validation), test=move(self.test))


@dataclass(frozen=True)
class Target:
    """A value of one curve that counts as solved: a loss reaches it from above, any other metric from below."""

    metric: str
    value: float

    def __post_init__(self) -> None:
        curve = isinstance(self.metric, str) and self.metric.startswith(("validation/", "test/"))
        require(curve, "target metric", self.metric, "'validation/...' or 'test/...'")
        number = isinstance(self.value, int | float) and math.isfinite(self.value)
        require(number, "target value", self.value, "a finite number")

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.metric.endswith('/loss') else '>='} {self.value:g}"

    def reached(self, values: Mapping[str, float]) -> bool:
        """Whether the values of one measurement reach the target."""
        value = values.get(self.metric, math.nan)
        return value <= self.value if self.metric.endswith("/loss") else value >= self.value


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One model paired with one dataset, its loss, batch size and budget.

    `dataset` makes the splits, `model` makes a module with fresh random weights, `loss` and each metric map
    (outputs, targets) of a batch to the mean over its examples. A step trains on exactly `batch_size` examples: what
    is left at the end of an epoch is dropped. `shuffle` draws the order anew every "epoch", or "once" per run. Losses
    are measured at step 0, every `eval_every` steps and at `max_steps`.
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

    def __post_init__(self) -> None:
        _require_name("benchmark name", self.name)
        where = f"benchmark {self.name}"
        for part in ("dataset", "model", "loss"):
            require(callable(getattr(self, part)), f"{where}: {part}", getattr(self, part), "a function")
        require(isinstance(self.metrics, Mapping), f"{where}: metrics", self.metrics, "a mapping of names to functions")
        for key, metric in self.metrics.items():
            named = isinstance(key, str) and METRIC_NAME.fullmatch(key) and key != "loss"
            require(named, f"{where}: metric name", key, "letters, digits, _ . : - and spaces, but not 'loss'")
            require(callable(metric), f"{where}: metric {key}", metric, "a function (outputs, targets)")
        require_count(f"{where}: batch_size", self.batch_size)
        require_count(f"{where}: max_steps", self.max_steps)
        require_count(f"{where}: eval_every", self.eval_every, high=self.max_steps)
        require(self.shuffle in ("epoch", "once"), f"{where}: shuffle", self.shuffle, "'epoch' or 'once'")
        if self.target is not None:
            require(isinstance(self.target, Target), f"{where}: target", self.target, "a Target")
            curves = ("loss", *self.metrics)
            curve = self.target.metric.partition("/")[2]
            require(curve in curves, f"{where}: target metric", self.target.metric, f"one of {', '.join(curves)}")


@dataclass(frozen=True, kw_only=True)
class LogUniform:
    """The interval of learning rates that is searched, on a log scale."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require_rate("interval low", self.low)
        require_rate("interval high", self.high)
        require(self.low < self.high, "interval", f"low={self.low:g}, high={self.high:g}", "low below high")


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """A named way to build an optimizer, the rates that are searched for it, and what it holds fixed.

    `build(model, lr, **fixed)` gets one run's module. `default_lr` is the rate that `source` (its paper or
    documentation) recommends; without one the optimizer has no default arm. `proportional` says that an element's step
    depends on that element alone and is proportional to lr, so that many runs can share one instance.
    """

    name: str
    build: Callable[..., Optimizer]
    lr: LogUniform
    default_lr: float | None = None
    proportional: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        _require_name("optimizer name", self.name)
        where = f"optimizer {self.name}"
        require(callable(self.build), f"{where}: build", self.build, "a function (model, lr, **fixed)")
        require(isinstance(self.lr, LogUniform), f"{where}: lr", self.lr, "LogUniform(low=..., high=...)")
        for key in RUN_PARAMS & self.fixed.keys():
            raise BadInput(f"{where}: fixed: got {key!r}, allowed: names that say nothing else of a run")
        if self.default_lr is not None:
            require_rate(f"{where}: default_lr", self.default_lr)


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
        _require_name("suite name", self.name)
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
        require_count(f"{where}: n_trials", self.n_trials)
        require_count(f"{where}: n_tuning_seeds", self.n_tuning_seeds)
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
