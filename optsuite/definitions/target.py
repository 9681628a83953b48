"""When a benchmark counts as solved."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from optsuite.errors import require, warn_once


@dataclass(frozen=True)
class Target:
    """The values of one curve that count as solved: `at_least` or `at_most` a bound.

    `Target(metric, value)`, the older form, guesses the direction from the name: at most for a
    loss, at least for anything else.
    """

    metric: str
    value: float | None = None
    at_least: float | None = field(default=None, kw_only=True)
    at_most: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        curve = isinstance(self.metric, str) and self.metric.startswith(("validation/", "test/"))
        require(curve, "target metric", self.metric, "'validation/...' or 'test/...'")
        forms = {"value": self.value, "at_least": self.at_least, "at_most": self.at_most}
        given = {name: value for name, value in forms.items() if value is not None}
        allowed = "either at_least=... or at_most=..."
        require(len(given) == 1, f"target {self.metric}", given, allowed)
        for name, value in given.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            require(number and math.isfinite(value), f"target {name}", value, "a finite number")
        if self.value is not None:
            directions = ("at_most", "at_least") if self.is_upper else ("at_least", "at_most")
            guessed, other = (f"{direction}={self.value:g}" for direction in directions)
            better = "higher" if self.is_upper else "lower"
            warn_once(
                f"Target({self.metric!r}, {self.value:g}) has no direction and counts as "
                f"{guessed}; write {guessed}, or {other} if {better} is better"
            )

    @property
    def is_upper(self) -> bool:
        """Whether the target is met by values of at most its bound."""
        if self.value is not None:
            return self.metric.endswith("/loss")
        return self.at_most is not None

    @property
    def bound(self) -> float:
        """The value to reach."""
        forms = (self.value, self.at_least, self.at_most)
        given = [value for value in forms if value is not None]
        return given[0]

    def __str__(self) -> str:
        sign = "<=" if self.is_upper else ">="
        return f"{self.metric} {sign} {self.bound:g}"

    def reached(self, values: Mapping[str, float]) -> bool:
        """Whether the values of one measurement reach the target."""
        value = values.get(self.metric, math.nan)
        if self.is_upper:
            return value <= self.bound
        return value >= self.bound
