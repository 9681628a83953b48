"""Checking everything that a campaign will use before anything is started or written."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from optsuite.campaign.run_cost import seconds_per_run
from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import DatasetUnavailableError, InputError, location, one_line
from optsuite.tracking.plans import Plans, decided
from optsuite.training.canonical.descriptions import Descriptions, Identity
from optsuite.training.device import check_device
from optsuite.training.equivalence.trial import LACKS, rates_tried
from optsuite.training.identity import Definition, identify_benchmark, identify_optimizer
from optsuite.training.legacy_fingerprint import FormerDescriptions, Formers
from optsuite.training.numerics import Fitted, fit
from optsuite.training.plan import Plan, plan
from optsuite.training.repeatable import make_repeatable
from optsuite.training.train_step import is_out_of_memory
from optsuite.training.validation.contexts import error_context, time_limit
from optsuite.training.validation.definitions import (
    check_benchmark,
    check_pair,
    check_repeatable,
    load_splits,
)

LOAD_TIMEOUT_SECONDS = 3_600  # a download may be slow
REPEAT_SECONDS = 5  # data that are made faster are made twice, to see whether they differ
TRIAL_TIMEOUT_SECONDS = 600  # a few steps of the largest model on a slow machine
Broken = list[tuple[str, InputError]]  # optimizers that cannot train a benchmark, and why


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A benchmark that can be trained here.

    `identity` and `definitions`, by optimizer, are those of `training.identity`, described before anything was tried.
    `former`, by optimizer, are the digests of schema 2, if `prepare` was asked for them.
    `plans` says how runs are trained by each optimizer that can train it, `dtype` and `cast` are those of `numerics`, `notes`
    are lines that a person should see, `seconds_per_run` is roughly what one of them takes of a worker's time, and
    `seconds_to_load` what the data took here.
    """

    benchmark: Benchmark
    identity: Identity
    definitions: Mapping[str, Identity]
    plans: Mapping[str, Plan]
    seconds_per_run: float
    dtype: str = "float32"
    cast: str = ""
    notes: tuple[str, ...] = ()
    seconds_to_load: float = 0.0
    former: Formers = field(default_factory=dict)

    def definition(self, optimizer: str) -> Definition:
        """What its runs with that optimizer share."""
        return Definition(benchmark=self.identity, optimizer=self.definitions[optimizer])

    def seconds_to_report(self, n_runs: int) -> float:
        """Roughly what so many runs take together to the first measurement, or from one to the next."""
        share = min(1.0, self.benchmark.eval_every / self.benchmark.max_steps)
        return self.seconds_to_load + self.seconds_per_run * share * n_runs


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A benchmark that cannot be trained here, or not by this optimizer, and why.

    It is `broken` unless only its data are missing.
    """

    benchmark: str
    optimizer: str | None = None
    reason: str
    broken: bool = True

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.benchmark, self.optimizer)))
        return f"{'Broken' if self.broken else 'Skipped'} {what}: {self.reason}"


def broken_pairs(skipped: Iterable[Skipped]) -> set[tuple[str, str | None]]:
    """Each broken benchmark and optimizer; the optimizer is None where all of them are broken."""
    return {(one.benchmark, one.optimizer) for one in skipped if one.broken}


def prepare(
    suite: Suite,
    *,
    device: str,
    engine: str = "auto",
    named: Iterable[str] = (),
    known: Plans = {},
    is_former: bool = False,
) -> tuple[list[Problem], list[Skipped]]:
    """Load and try out every benchmark and optimizer of the suite.

    `known` are the engines that earlier starts found for some rates, with reasons; others are
    found by trial. `is_former` also computes the digests of schema 2.
    What cannot be trained is skipped, so that the others can. Raises InputError where that is a benchmark that was named, or
    where nothing is left.
    """
    make_repeatable()
    check_device(device)
    formerly = FormerDescriptions(suite, wanted=is_former)
    how = _How(suite.optimizers, device, engine, Descriptions(suite), known, formerly)
    named = set(named)
    problems: list[Problem] = []
    skipped: list[Skipped] = []
    last: InputError | None = None
    for benchmark in suite.benchmarks:
        try:
            problem, broken = _try(benchmark, how)
            problems.append(problem)
            skipped += [
                Skipped(benchmark=benchmark.name, optimizer=name, reason=str(error))
                for name, error in broken
            ]
        except InputError as error:
            if benchmark.name in named:
                raise
            missing = isinstance(error, DatasetUnavailableError)
            skipped.append(Skipped(benchmark=benchmark.name, reason=str(error), broken=not missing))
            last = error
        except (Exception, SystemExit) as error:  # whatever a definition raises is its own trouble
            last = _unforeseen(f"benchmark {benchmark.name}", error)
            if benchmark.name in named:
                raise last from error
            skipped.append(Skipped(benchmark=benchmark.name, reason=str(last)))
    if last is not None and not problems:
        raise last
    return problems, skipped


@dataclass(frozen=True)
class _How:
    """What is the same for all benchmarks that are tried."""

    specs: Sequence[OptimizerSpec]
    device: str
    engine: str
    described: Descriptions
    known: Plans
    formerly: FormerDescriptions


def _try(benchmark: Benchmark, how: _How) -> tuple[Problem, Broken]:
    """The problem, and which optimizers cannot train it. Raises InputError where none can."""
    started = time.perf_counter()
    with time_limit(LOAD_TIMEOUT_SECONDS):
        given = load_splits(benchmark)
        seconds_to_load = time.perf_counter() - started
        if seconds_to_load < REPEAT_SECONDS:
            check_repeatable(benchmark, given)
    with time_limit(TRIAL_TIMEOUT_SECONDS):
        fitted = fit(benchmark, given, device=how.device)
        seen = {"dtype": fitted.dtype, "device": how.device}
        own = identify_benchmark(benchmark, fitted.splits, described=how.described, **seen)
        former = how.formerly.of(benchmark, how.specs, fitted.splits, **seen)
        notes = check_benchmark(benchmark, fitted.splits)
    definitions, plans, broken = _planned(benchmark, fitted.splits, own, former, how)
    cost = _timed(benchmark, how.specs, fitted.splits, plans, broken)
    problem = Problem(
        benchmark=benchmark,
        identity=own,
        definitions=definitions,
        former=former,
        plans=plans,
        dtype=fitted.dtype,
        cast=fitted.cast,
        notes=(*_casts(benchmark, fitted), *notes),
        seconds_per_run=cost,
        seconds_to_load=seconds_to_load,
    )
    return problem, broken


def _planned(
    benchmark: Benchmark, splits: Splits, own: Identity, former: Formers, how: _How
) -> tuple[dict[str, Identity], dict[str, Plan], Broken]:
    """The definitions and the plans of the optimizers by name, and which of them cannot train the benchmark."""
    planning = partial(plan, device=how.device, engine=how.engine)
    definitions: dict[str, Identity] = {}
    plans: dict[str, Plan] = {}
    broken: Broken = []
    for spec in how.specs:
        try:
            with time_limit(TRIAL_TIMEOUT_SECONDS):
                definitions[spec.name] = identify_optimizer(spec, how.described)
                check_pair(benchmark, spec, splits)
                with error_context(
                    f"optimizer {spec.name} on benchmark {benchmark.name}: planning its training"
                ):
                    basis = Definition(benchmark=own, optimizer=definitions[spec.name]).basis
                    found = decided(how.known, basis, former.get(spec.name), *rates_tried(spec))
                    plans[spec.name] = planning(benchmark, spec, splits, known=found)
        except InputError as error:
            broken.append((spec.name, error))
        except (Exception, SystemExit) as error:
            broken.append(
                (
                    spec.name,
                    _unforeseen(f"optimizer {spec.name} on benchmark {benchmark.name}", error),
                )
            )
    return definitions, plans, broken


def _timed(
    benchmark: Benchmark,
    specs: Sequence[OptimizerSpec],
    splits: Splits,
    plans: dict[str, Plan],
    broken: list[tuple[str, InputError]],
) -> float:
    """The cost of a run by the last optimizer whose training can be timed; those that fail go from the plans to the broken.

    Raises InputError where none can.
    """
    for spec in reversed(specs):
        what = f"optimizer {spec.name} on benchmark {benchmark.name}: training it for some steps"
        while spec.name in plans:
            planned = plans[spec.name]
            try:
                with error_context(what), time_limit(TRIAL_TIMEOUT_SECONDS):
                    return seconds_per_run(benchmark, spec, splits, planned.engine)
            except InputError as error:
                if planned.stacks and is_out_of_memory(error.__cause__ or error):
                    plans[spec.name] = replace(
                        planned, engine="plain", max_stack=1, reason=LACKS.format("memory")
                    )
                    continue
                del plans[spec.name]
                broken.append((spec.name, error))
    raise broken[0][1]


def _casts(benchmark: Benchmark, fitted: Fitted) -> Iterator[str]:
    if fitted.cast:
        yield f"benchmark {benchmark.name}: its model cannot be trained on the data as given; cast: {fitted.cast}"


def _unforeseen(what: str, error: BaseException) -> InputError:
    """What nobody has foreseen, as an error of the definition that raised it."""
    return InputError(f"{what}{location(error)} raised {one_line(error)}")
