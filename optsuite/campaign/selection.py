"""The part of a suite that a caller asks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.registry import load_suite, select, unavailable


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A suite reduced to what a caller asks for.

    Workers load `source`, which is the suite's name where that suffices. The benchmarks in
    `required` must be trainable. `not_installed` names the optimizers that "all" leaves out.
    """

    suite: Suite
    source: str | Suite
    required: Sequence[str] = ()
    not_installed: Sequence[str] = ()

    def notes(self) -> Iterator[str]:
        """A line for people if some optimizers are not installed."""
        if self.not_installed:
            absent = ", ".join(self.not_installed)
            yield f"Not installed: {absent}; pip install 'optsuite[optimizers]' adds them."


def select_from(
    suite: str | Suite,
    benchmarks: Sequence[str] = (),
    optimizers: Sequence[str | OptimizerSpec] = (),
    **protocol: int | None,
) -> Selection:
    """Select from a Suite, or from the suite with this name, file or module. Raises InputError.

    Without names, everything is selected. An OptimizerSpec replaces the suite's optimizer of the
    same name, or is added to the suite. `protocol` is that of `registry.select`.
    """
    source = suite
    whole = load_suite(suite) if isinstance(suite, str) else suite
    own = [spec for spec in optimizers if isinstance(spec, OptimizerSpec)]
    if own:
        whole = _with_optimizers(whole, own)
        source = whole
    optimizer_names = []
    for optimizer in optimizers:
        named = optimizer.name if isinstance(optimizer, OptimizerSpec) else optimizer
        optimizer_names.append(named)
    chosen = select(
        whole,
        benchmarks=benchmarks,
        optimizers=optimizer_names,
        protocol=protocol,
    )
    required = benchmarks
    if not benchmarks and len(chosen.benchmarks) == 1:
        required = [chosen.benchmarks[0].name]
    by_name = [name for name in optimizers if isinstance(name, str)]
    return Selection(
        suite=chosen,
        source=source,
        required=required,
        not_installed=unavailable(chosen, by_name),
    )


def _with_optimizers(suite: Suite, own: Sequence[OptimizerSpec]) -> Suite:
    replaced = {spec.name for spec in own}
    kept = [spec for spec in suite.optimizers if spec.name not in replaced]
    return replace(suite, optimizers=(*kept, *own))
