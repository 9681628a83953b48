"""optsuite: which optimizer is best at its best learning rate on this benchmark, and how sure is that?

Names are handed on lazily, so that importing optsuite costs nothing until one of them is used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it: nothing else is imported, as `python -m` finds the current folder first
if TYPE_CHECKING:
    from typing import Any

    from optsuite import data, models
    from optsuite.definition import Benchmark, LogUniform, OptimizerSpec, Splits, Suite, Target
    from optsuite.models import accuracy
    from optsuite.notebook import leaderboard, runs
    from optsuite.optimizers import OPTIMIZERS

    __version__: str

_HOMES = {
    "Benchmark": "definition",
    "LogUniform": "definition",
    "OptimizerSpec": "definition",
    "Splits": "definition",
    "Suite": "definition",
    "Target": "definition",
    "OPTIMIZERS": "optimizers",
    "accuracy": "models",
    "leaderboard": "notebook",
    "runs": "notebook",
}
_MODULES = ("data", "models")

__all__ = [
    "OPTIMIZERS",
    "Benchmark",
    "LogUniform",
    "OptimizerSpec",
    "Splits",
    "Suite",
    "Target",
    "accuracy",
    "data",
    "leaderboard",
    "models",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"optsuite.{name}")
    if name == "__version__":
        return import_module("importlib.metadata").version("optsuite")
    if name in _HOMES:
        return getattr(import_module(f"optsuite.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'optsuite' has no attribute {name!r}")
