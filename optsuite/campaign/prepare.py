"""Checking everything that a campaign will use, before anything is started or written."""

import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from optsuite.campaign.planning import (
    TRYING_TIMEOUT_SECONDS,
    Conditions,
    plan_optimizers,
    time_run,
    unforeseen,
)
from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.suite import Suite
from optsuite.errors import DatasetUnavailableError, InputError
from optsuite.tracking.plans import Plans
from optsuite.training.canonical.descriptions import Descriptions, Identity
from optsuite.training.device import check_device
from optsuite.training.identity import Definition, identify_benchmark
from optsuite.training.legacy_fingerprint import FormerDescriptions, Formers
from optsuite.training.numerics import Fitted, fit
from optsuite.training.plan import Plan
from optsuite.training.repeatable import make_repeatable
from optsuite.training.validation.contexts import time_limit
from optsuite.training.validation.definitions import (
    check_benchmark,
    check_repeatable,
    load_splits,
)

LOAD_TIMEOUT_SECONDS = 3_600  # a download may be slow
REPEAT_SECONDS = 5  # data that load faster are loaded twice, to see whether they differ


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A benchmark that can be trained here.

    `identity` and `definitions` are those of `training.identity`, described before anything was
    tried; `dtype` and `cast` those of `training.numerics`. `definitions`, `plans` and `former` are
    by optimizer: `plans` only of optimizers that can train it; `former`, the digests of schema 2,
    only if `prepare` was asked for them. `notes` are lines for people. `seconds_per_run` is roughly
    the time of a worker, `seconds_to_load` the time that the data took here.
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
        """What all runs with that optimizer share."""
        return Definition(benchmark=self.identity, optimizer=self.definitions[optimizer])

    def seconds_to_report(self, n_runs: int) -> float:
        """Roughly the time that `n_runs` need together between two measurements."""
        share = min(1.0, self.benchmark.eval_every / self.benchmark.max_steps)
        return self.seconds_to_load + self.seconds_per_run * share * n_runs


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A benchmark that cannot be trained here, or not by this optimizer, and the reason.

    It is `broken` unless only its data are missing.
    """

    benchmark: str
    optimizer: str | None = None
    reason: str
    broken: bool = True

    def __str__(self) -> str:
        state = "Broken" if self.broken else "Skipped"
        what = self.benchmark
        if self.optimizer:
            what += f" {self.optimizer}"
        return f"{state} {what}: {self.reason}"


def broken_pairs(skipped: Iterable[Skipped]) -> set[tuple[str, str | None]]:
    """Each broken benchmark and optimizer; None stands for all optimizers."""
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

    `known` are engines and reasons that earlier starts found for some rates; trials find the rest.
    `is_former` also computes the digests of schema 2. What cannot be trained is skipped. Raises
    InputError if that is one of the benchmarks `named`, or if nothing is left.
    """
    make_repeatable()
    check_device(device)
    conditions = Conditions(
        specs=suite.optimizers,
        device=device,
        engine=engine,
        described=Descriptions(suite),
        known=known,
        formerly=FormerDescriptions(suite, wanted=is_former),
    )
    return _try_all(suite.benchmarks, conditions, set(named))


def _try_all(
    benchmarks: Iterable[Benchmark], conditions: Conditions, named: Set[str]
) -> tuple[list[Problem], list[Skipped]]:
    problems: list[Problem] = []
    skipped: list[Skipped] = []
    last: InputError | None = None
    for benchmark in benchmarks:
        try:
            problem, skipped_pairs = _try(benchmark, conditions)
        except InputError as error:
            if benchmark.name in named:
                raise
            is_missing = isinstance(error, DatasetUnavailableError)
            one = Skipped(benchmark=benchmark.name, reason=str(error), broken=not is_missing)
            skipped.append(one)
            last = error
        except (Exception, SystemExit) as error:  # a definition may raise anything
            last = unforeseen(f"benchmark {benchmark.name}", error)
            if benchmark.name in named:
                raise last from error
            skipped.append(Skipped(benchmark=benchmark.name, reason=str(last)))
        else:
            problems.append(problem)
            skipped += skipped_pairs
    if last is not None and not problems:
        raise last
    return problems, skipped


def _try(benchmark: Benchmark, conditions: Conditions) -> tuple[Problem, list[Skipped]]:
    """The problem, and the optimizers that cannot train it. Raises InputError if none can."""
    started = time.perf_counter()
    with time_limit(LOAD_TIMEOUT_SECONDS):
        given = load_splits(benchmark)
        seconds_to_load = time.perf_counter() - started
        if seconds_to_load < REPEAT_SECONDS:
            check_repeatable(benchmark, given)
    specs, device = conditions.specs, conditions.device
    with time_limit(TRYING_TIMEOUT_SECONDS):
        fitted = fit(benchmark, given, device=device)
        splits = fitted.splits
        seen = {"dtype": fitted.dtype, "device": device}
        own = identify_benchmark(benchmark, splits, described=conditions.described, **seen)
        former = conditions.formerly.of(benchmark, specs, splits, **seen)
        notes = check_benchmark(benchmark, splits)
    planned = plan_optimizers(benchmark, splits, own, former, conditions)
    cost = time_run(benchmark, specs, splits, planned)
    problem = Problem(
        benchmark=benchmark,
        identity=own,
        definitions=planned.definitions,
        former=former,
        plans=planned.plans,
        dtype=fitted.dtype,
        cast=fitted.cast,
        notes=(*_casts(benchmark, fitted), *notes),
        seconds_per_run=cost,
        seconds_to_load=seconds_to_load,
    )
    skipped = []
    for optimizer, error in planned.broken:
        one = Skipped(benchmark=benchmark.name, optimizer=optimizer, reason=str(error))
        skipped.append(one)
    return problem, skipped


def _casts(benchmark: Benchmark, fitted: Fitted) -> Iterator[str]:
    if fitted.cast:
        what = "its model cannot be trained on the data as given"
        yield f"benchmark {benchmark.name}: {what}; cast: {fitted.cast}"
