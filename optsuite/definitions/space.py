"""What is searched: an interval of learning rates."""

from dataclasses import dataclass

from optsuite.errors import require, require_rate


@dataclass(frozen=True, kw_only=True)
class LogUniform:
    """The interval of learning rates that is searched, on a log scale."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require_rate("interval low", self.low)
        require_rate("interval high", self.high)
        received = f"low={self.low:g}, high={self.high:g}"
        require(self.low < self.high, "interval", received, "low below high")
