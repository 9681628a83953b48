"""The state that a definition keeps outside of the module: globals, closures, a loss with state."""

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError
from optsuite.training.canonical.canonicalize import canonicalize
from optsuite.training.equivalence.module_state import token_of


class DefinitionState:
    """The state of the functions of a benchmark and an optimizer when this was made."""

    def __init__(self, benchmark: Benchmark, spec: OptimizerSpec) -> None:
        self._parts: dict[str, object] = {"model": benchmark.model, "loss": benchmark.loss}
        for name, metric in benchmark.metrics.items():
            self._parts[f"metric {name}"] = metric
        self._parts["optimizer"] = spec.build
        self._before = {name: _described(part) for name, part in self._parts.items()}

    def change(self) -> str:
        """What has changed since, as a clause; empty if nothing has."""
        for name, part in self._parts.items():
            if _described(part) != self._before[name]:
                return f"its {name} keeps state outside of the module"
        return ""


def _described(part: object) -> object:
    try:
        return canonicalize(part), token_of(part)
    except InputError:  # reported when the identity is computed
        return token_of(part)
