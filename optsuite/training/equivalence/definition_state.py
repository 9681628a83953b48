"""What a definition keeps outside of the module: globals, closures, function attributes, a loss with state."""

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError
from optsuite.training.canonical.canonicalize import canonicalize
from optsuite.training.equivalence.module_state import token_of


class DefinitionState:
    """The state of a benchmark's and an optimizer's functions when this was made."""

    def __init__(self, benchmark: Benchmark, spec: OptimizerSpec) -> None:
        self._parts = {
            "model": benchmark.model,
            "loss": benchmark.loss,
            **{f"metric {name}": metric for name, metric in benchmark.metrics.items()},
            "optimizer": spec.build,
        }
        self._before = {name: _described(part) for name, part in self._parts.items()}

    def change(self) -> str:
        """What has changed since, in one clause; empty where nothing has."""
        for name, part in self._parts.items():
            if _described(part) != self._before[name]:
                return f"its {name} keeps state outside of the module"
        return ""


def _described(part: object) -> object:
    try:
        return canonicalize(part), token_of(part)
    except InputError:  # whoever asks for its identity is told
        return token_of(part)
