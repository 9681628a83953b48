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
    """A named way to build an optimizer, its interval of learning rates, and its fixed settings.

    `build(model, lr, **fixed)` receives the module of one run. `default_lr` is the rate recommended
    by `source` (a paper or documentation); without it the optimizer has no default arm. `lr_linear`
    means that an element's step depends on that element alone and is proportional to lr, so that
    many runs can share one instance. `closure` means that the step calls a function that computes
    the loss and its gradients. A step uses the fraction of lr that `schedule` returns; None is for
    an optimizer that must not have a schedule. An optimizer with `train` and `eval` methods, such
    as a schedule-free one, is measured in eval mode. `special_cases` names optimizers that are this
    one with different fixed hyperparameters: if it is worse than one of them, the tuning budget was
    too small. `limitations` states what the optimizer is not for.
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
        is_own = self.name != "all"
        require(is_own, "optimizer name", self.name, "any other name: it stands for all optimizers")
        where = f"optimizer {self.name}"
        function = "a function (model, lr, **fixed)"
        require(callable(self.build), f"{where}: build", self.build, function)
        is_interval = isinstance(self.lr, LogUniform)
        require(is_interval, f"{where}: lr", self.lr, "LogUniform(low=..., high=...)")
        _check_fixed(where, self.fixed)
        if self.default_lr is not None:
            require_rate(f"{where}: default_lr", self.default_lr)
        is_schedule = self.schedule is None or callable(self.schedule)
        function = "a function (step, max_steps) -> fraction of lr, or None"
        require(is_schedule, f"{where}: schedule", self.schedule, function)
        cases = self.special_cases
        are_names = isinstance(cases, tuple) and all(isinstance(name, str) for name in cases)
        require(are_names, f"{where}: special_cases", cases, "a tuple of names of optimizers")
        if self.closure and self.lr_linear:
            raise InputError(f"{where}: closure and lr_linear cannot be combined; set one to False")

    def lr_multiplier(self, step: int, max_steps: int) -> float:
        """The fraction of lr that one of the steps 1 to `max_steps` uses."""
        return 1.0 if self.schedule is None else self.schedule(step, max_steps)

    if not TYPE_CHECKING:  # type checkers know the current names only

        def __getattr__(self, name: str) -> Any:
            if name not in FORMER_FIELDS:
                raise AttributeError(f"OptimizerSpec has no attribute {name!r}")
            return getattr(self, _present_field(name))


FORMER_FIELDS = {  # accepted until 0.4
    "proportional": "lr_linear",
    "includes": "special_cases",
    "not_for": "limitations",
}
_init = OptimizerSpec.__init__


@functools.wraps(_init)
def _init_with_former_fields(self: OptimizerSpec, **fields: Any) -> None:
    for former in FORMER_FIELDS.keys() & fields.keys():
        fields[_present_field(former)] = fields.pop(former)
    _init(self, **fields)


def _present_field(former: str) -> str:
    present = FORMER_FIELDS[former]
    message = f"OptimizerSpec: {former} is now {present}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
    return present


OptimizerSpec.__init__ = _init_with_former_fields  # type: ignore[method-assign]


def _check_fixed(where: str, fixed: object) -> None:
    """Raise InputError unless hyperparameters can be passed by name and kept in the store."""
    require(isinstance(fixed, Mapping), f"{where}: fixed", fixed, "a mapping of names to values")
    assert isinstance(fixed, Mapping)
    names = "up to 250 letters, digits, _ - . : / and spaces, and no path like ../x"
    texts = f"a value whose text has up to {LONGEST_PARAM} characters"
    for key, value in fixed.items():
        require(_is_param_name(key), f"{where}: fixed: name", key, names)
        if key in RUN_PARAMS:
            raise InputError(f"{where}: fixed: {key!r} is reserved; choose another name")
        try:
            length = len(str(value))
        except Exception as error:
            raise InputError(f"{where}: fixed: {key}: its text raised {one_line(error)}") from error
        require(length <= LONGEST_PARAM, f"{where}: fixed: {key}", value, texts)


def _is_param_name(key: object) -> bool:
    """Whether MLflow takes it as the key of a param, which a file store uses as a path."""
    if not isinstance(key, str) or not PARAM_NAME.fullmatch(key):
        return False
    if key == "." or key.startswith(("..", "/")):
        return False
    return posixpath.normpath(key) == key
