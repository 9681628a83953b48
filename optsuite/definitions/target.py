"""When a benchmark counts as solved."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from optsuite.errors import require, warn_once


@dataclass(frozen=True)
class Target:
    """A value of one curve that counts as solved: `at_least` or `at_most` so much.

    `Target(metric, value)`, the older form, guesses its direction from the name: at most of a loss, at least of all else.
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
        require(
            len(given) == 1, f"target {self.metric}", given, "either at_least=... or at_most=..."
        )
        for name, value in given.items():
            number = (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and math.isfinite(value)
            )
            require(number, f"target {name}", value, "a finite number")
        if self.value is not None:
            direction = "at_most" if self.is_upper else "at_least"
            warn_once(
                f"Target({self.metric!r}, {self.value:g}) guesses its direction; "
                f"say Target({self.metric!r}, {direction}={self.value:g})"
            )

    @property
    def is_upper(self) -> bool:
        """Whether the target is met by values of at most its bound."""
        return self.at_most is not None or (
            self.value is not None and self.metric.endswith("/loss")
        )

    @property
    def bound(self) -> float:
        """The value that is to be reached."""
        return next(
            value for value in (self.value, self.at_least, self.at_most) if value is not None
        )

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.is_upper else '>='} {self.bound:g}"

    def reached(self, values: Mapping[str, float]) -> bool:
        """Whether the values of one measurement reach the target."""
        value = values.get(self.metric, math.nan)
        return value <= self.bound if self.is_upper else value >= self.bound
