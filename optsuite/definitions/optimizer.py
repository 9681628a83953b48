"""An optimizer: a named way to build one, with what is searched and what is held fixed."""

import functools
import posixpath
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from optsuite.definitions.names import LONGEST_PARAM, PARAM_NAME, RUN_PARAMS
from optsuite.definitions.space import LogUniform
from optsuite.errors import InputError, one_line, require, require_name, require_rate
from optsuite.schedules import Schedule, constant


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """A named way to build an optimizer, the rates that are searched for it, and what it holds fixed.

    `build(model, lr, **fixed)` gets one run's module. `default_lr` is the rate that `source` (its paper or
    documentation) recommends; without one the optimizer has no default arm. `lr_linear` says that an element's step
    depends on that element alone and is proportional to lr, so that many runs can share one instance; `closure`, that its
    step calls a function that computes the loss and its gradients. A step uses the fraction of lr that `schedule` says;
    None is for an optimizer that must not be given one. An optimizer with `train` and `eval` methods, as schedule-free ones
    have, is measured in its eval mode. `special_cases` names optimizers that other values of what is held fixed would turn this
    one into: being worse than they are then says that too little was tuned. `limitations` says what it is no choice for.
    """

    name: str
    build: Callable[..., Optimizer]
    lr: LogUniform
    default_lr: float | None = None
    lr_linear: bool = False
    closure: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = constant
    special_cases: tuple[str, ...] = ()
    source: str = ""
    limitations: str = ""

    def __post_init__(self) -> None:
        require_name("optimizer name", self.name)
        require(
            self.name != "all", "optimizer name", self.name, "any other: it stands for all of them"
        )
        where = f"optimizer {self.name}"
        require(
            callable(self.build), f"{where}: build", self.build, "a function (model, lr, **fixed)"
        )
        require(
            isinstance(self.lr, LogUniform),
            f"{where}: lr",
            self.lr,
            "LogUniform(low=..., high=...)",
        )
        _check_fixed(where, self.fixed)
        if self.default_lr is not None:
            require_rate(f"{where}: default_lr", self.default_lr)
        scheduled = self.schedule is None or callable(self.schedule)
        require(
            scheduled,
            f"{where}: schedule",
            self.schedule,
            "a function (step, max_steps) -> fraction of lr, or None",
        )
        named = isinstance(self.special_cases, tuple) and all(
            isinstance(name, str) for name in self.special_cases
        )
        require(
            named, f"{where}: special_cases", self.special_cases, "a tuple of names of optimizers"
        )
        require(
            not (self.closure and self.lr_linear),
            f"{where}: closure",
            True,
            "False where lr_linear",
        )

    def lr_multiplier(self, step: int, max_steps: int) -> float:
        """The fraction of lr that one of the steps 1 to `max_steps` uses."""
        return 1.0 if self.schedule is None else self.schedule(step, max_steps)

    if not TYPE_CHECKING:  # a type checker is told of the present names alone

        def __getattr__(self, name: str) -> Any:
            if name not in FORMER_FIELDS:
                raise AttributeError(f"OptimizerSpec has no attribute {name!r}")
            warnings.warn(
                f"OptimizerSpec: {name} is now {FORMER_FIELDS[name]}",
                DeprecationWarning,
                stacklevel=2,
            )
            return getattr(self, FORMER_FIELDS[name])


FORMER_FIELDS = {  # accepted until 0.4
    "proportional": "lr_linear",
    "includes": "special_cases",
    "not_for": "limitations",
}
_init = OptimizerSpec.__init__


@functools.wraps(_init)
def _init_with_former_fields(self: OptimizerSpec, **fields: Any) -> None:
    for former, name in FORMER_FIELDS.items():
        if former in fields:
            warnings.warn(
                f"OptimizerSpec: {former} is now {name}", DeprecationWarning, stacklevel=2
            )
            fields[name] = fields.pop(former)
    _init(self, **fields)


OptimizerSpec.__init__ = _init_with_former_fields  # type: ignore[method-assign]


def _check_fixed(where: str, fixed: object) -> None:
    """Raise InputError unless the hyperparameters can be handed on by name and kept in the store."""
    require(isinstance(fixed, Mapping), f"{where}: fixed", fixed, "a mapping of names to values")
    assert isinstance(fixed, Mapping)
    for key, value in fixed.items():
        named = (
            isinstance(key, str) and PARAM_NAME.fullmatch(key) and posixpath.normpath(key) == key
        )
        named = named and key != "." and not key.startswith(("..", "/"))
        require(
            named,
            f"{where}: fixed: name",
            key,
            "up to 250 letters, digits, _ - . : / and spaces, and no path like ../x",
        )
        if key in RUN_PARAMS:
            raise InputError(
                f"{where}: fixed: got {key!r}, allowed: names that say nothing else of a run"
            )
        try:
            length = len(str(value))
        except Exception as error:
            raise InputError(f"{where}: fixed: {key}: its text raised {one_line(error)}") from error
        require(
            length <= LONGEST_PARAM,
            f"{where}: fixed: {key}",
            value,
            f"a value whose text has up to {LONGEST_PARAM} characters",
        )
