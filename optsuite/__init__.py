"""optsuite: which optimizer is best at its tuned learning rate, and how certain is that?

Names are loaded lazily, so that importing optsuite costs nothing until one of them is used.
"""

from __future__ import annotations

from importlib import import_module

_EXPORTS = {  # the public names, and the module of each
    "OPTIMIZERS": "optimizers",
    "Benchmark": "definitions.benchmark",
    "ExecutionOptions": "execution.options",
    "LogUniform": "definitions.space",
    "OptimizerSpec": "definitions.optimizer",
    "Splits": "definitions.benchmark",
    "Suite": "definitions.suite",
    "Target": "definitions.target",
    "accuracy": "models",
    "clean": "api",
    "compare": "api",
    "curves": "api",
    "data": "data",
    "delete": "api",
    "leaderboard": "api",
    "models": "models",
    "nightly": "api",
    "preview": "api",
    "report": "api",
    "run": "api",
    "runs": "api",
    "train": "api",
}

# Type checkers take this as True. It is not imported from typing, because `python -m` searches the
# current folder first.
TYPE_CHECKING = False
if TYPE_CHECKING:  # `X as X` makes X public
    from typing import Any

    from optsuite import data as data
    from optsuite import models as models
    from optsuite.api import clean as clean
    from optsuite.api import compare as compare
    from optsuite.api import curves as curves
    from optsuite.api import delete as delete
    from optsuite.api import leaderboard as leaderboard
    from optsuite.api import nightly as nightly
    from optsuite.api import preview as preview
    from optsuite.api import report as report
    from optsuite.api import run as run
    from optsuite.api import runs as runs
    from optsuite.api import train as train
    from optsuite.definitions.benchmark import Benchmark as Benchmark
    from optsuite.definitions.benchmark import Splits as Splits
    from optsuite.definitions.optimizer import OptimizerSpec as OptimizerSpec
    from optsuite.definitions.space import LogUniform as LogUniform
    from optsuite.definitions.suite import Suite as Suite
    from optsuite.definitions.target import Target as Target
    from optsuite.execution.options import ExecutionOptions as ExecutionOptions
    from optsuite.models import accuracy as accuracy
    from optsuite.optimizers import OPTIMIZERS as OPTIMIZERS

    __version__: str
else:
    __all__ = list(_EXPORTS)  # type checkers use the names above


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("optsuite")
    if name not in _EXPORTS:
        raise AttributeError(f"module 'optsuite' has no attribute {name!r}")
    module = import_module(f"optsuite.{_EXPORTS[name]}")
    if name == _EXPORTS[name]:
        return module
    return getattr(module, name)
