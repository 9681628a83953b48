"""How the optimizers of a suite train one benchmark: their plans, and the time that a run takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from optsuite.campaign.run_cost import seconds_per_run
from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError, location, one_line
from optsuite.tracking.plans import Plans, decided
from optsuite.training.canonical.descriptions import Descriptions, Identity
from optsuite.training.equivalence.check import LACKS, rates_tried
from optsuite.training.identity import Definition, identify_optimizer
from optsuite.training.legacy_fingerprint import FormerDescriptions, Formers
from optsuite.training.plan import Plan, plan
from optsuite.training.train_step import is_out_of_memory
from optsuite.training.validation.contexts import error_context, time_limit
from optsuite.training.validation.definitions import check_pair

TRYING_TIMEOUT_SECONDS = 600  # a few steps of the largest model on a slow machine


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What is the same for all benchmarks of a suite."""

    specs: Sequence[OptimizerSpec]
    device: str
    engine: str
    described: Descriptions
    known: Plans
    formerly: FormerDescriptions


@dataclass(kw_only=True)
class Planned:
    """How a benchmark is trained, by optimizer; `broken` lists those that cannot train it."""

    definitions: dict[str, Identity] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    broken: list[tuple[str, InputError]] = field(default_factory=list)


def plan_optimizers(
    benchmark: Benchmark, splits: Splits, own: Identity, former: Formers, conditions: Conditions
) -> Planned:
    """Check and plan every optimizer. `own` is the benchmark's identity."""
    planned = Planned()
    for spec in conditions.specs:
        pair = f"optimizer {spec.name} on benchmark {benchmark.name}"
        try:
            with time_limit(TRYING_TIMEOUT_SECONDS):
                identity = identify_optimizer(spec, conditions.described)
                planned.definitions[spec.name] = identity
                check_pair(benchmark, spec, splits)
                with error_context(f"{pair}: planning its training"):
                    basis = Definition(benchmark=own, optimizer=identity).basis
                    formerly = former.get(spec.name)
                    planned.plans[spec.name] = plan(
                        benchmark,
                        spec,
                        splits,
                        device=conditions.device,
                        engine=conditions.engine,
                        known=decided(conditions.known, basis, formerly, *rates_tried(spec)),
                    )
        except InputError as error:
            planned.broken.append((spec.name, error))
        except (Exception, SystemExit) as error:
            planned.broken.append((spec.name, unforeseen(pair, error)))
    return planned


def time_run(
    benchmark: Benchmark, specs: Sequence[OptimizerSpec], splits: Splits, planned: Planned
) -> float:
    """The seconds that a run takes with the last optimizer that can be timed.

    Optimizers that fail move from the plans to the broken ones. Raises InputError if all fail.
    """
    for spec in reversed(specs):
        what = f"optimizer {spec.name} on benchmark {benchmark.name}: training it for some steps"
        while spec.name in planned.plans:
            own = planned.plans[spec.name]
            try:
                with error_context(what), time_limit(TRYING_TIMEOUT_SECONDS):
                    return seconds_per_run(benchmark, spec, splits, own.engine)
            except InputError as error:
                if own.stacks and is_out_of_memory(error.__cause__ or error):
                    reason = LACKS.format("memory")
                    plain = replace(own, engine="plain", max_stack=1, reason=reason)
                    planned.plans[spec.name] = plain
                    continue
                del planned.plans[spec.name]
                planned.broken.append((spec.name, error))
    raise planned.broken[0][1]


def unforeseen(what: str, error: BaseException) -> InputError:
    """An unexpected exception as an error of the definition that raised it."""
    return InputError(f"{what}{location(error)} raised {one_line(error)}")
