"""One campaign from parsed input to trained studies, for commands, scripts and notebooks."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from optsuite.campaign.events import Event, Interrupted, Prepared, RunEnded, StudyEnded
from optsuite.campaign.lock import check_campaign_name
from optsuite.campaign.prepare import Problem, Skipped, broken_pairs, prepare
from optsuite.campaign.runner import missing, run_campaign
from optsuite.campaign.selection import Selection
from optsuite.campaign.study import Study
from optsuite.definitions.suite import Suite
from optsuite.execution import open_pool
from optsuite.execution.options import ExecutionOptions
from optsuite.execution.pool import Pool
from optsuite.tracking.legacy_rows import has_former_rows
from optsuite.tracking.location import checkpoint_folder, tracking_uri
from optsuite.tracking.plans import read_plans
from optsuite.training.checkpoint import Checkpoints
from optsuite.training.engines import ENGINES

Outcome = Literal["done", "failed", "interrupted"]
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A campaign with definitions that have been tried out, and the pool that trains it."""

    suite: Suite
    campaign: str
    uri: str
    pool: Pool
    problems: Sequence[Problem]
    skipped: Sequence[Skipped]
    options: ExecutionOptions
    listener: Listener = ignore

    def run(
        self, studies: Sequence[Study], *, night: str | None = None, notes: Iterable[str] = ()
    ) -> Outcome:
        """Train and record the studies. The first Ctrl-C or SIGTERM stops cleanly as "interrupted".

        `night` is the kind of night, None for an ordinary campaign. `notes` are lines for people.
        """
        prepared = Prepared(
            seconds_per_run=self.seconds_per_run,
            n_runs=runs_by_benchmark(studies),
            skipped=tuple(self.skipped),
            notes=(*notes, *notes_of(studies), *self._unsaved(studies)),
        )
        self.listener(prepared)
        n_failed = 0
        with _interrupts(self.listener) as interrupted:
            for event in self._events(studies, night, lambda: bool(interrupted)):
                n_failed += _has_failed(event)
                self.listener(event)
        if interrupted:
            return "interrupted"
        return "failed" if n_failed or self.broken else "done"

    @property
    def seconds_per_run(self) -> dict[str, float]:
        """Roughly how long a run takes, by benchmark."""
        return {problem.benchmark.name: problem.seconds_per_run for problem in self.problems}

    @property
    def broken(self) -> set[tuple[str, str | None]]:
        """The benchmark and optimizer of what cannot be trained; None stands for all optimizers."""
        return broken_pairs(self.skipped)

    def missing(self, studies: Sequence[Study]) -> dict[str, int]:
        """How many runs each benchmark still needs. Writes nothing."""
        return missing(studies, uri=self.uri, campaign=self.campaign)

    def _events(
        self, studies: Sequence[Study], night: str | None, stop: Callable[[], bool]
    ) -> Iterator[Event]:
        return run_campaign(
            studies,
            uri=self.uri,
            campaign=self.campaign,
            suite=self.suite.name,
            pool=self.pool,
            stop=stop,
            night=night,
            trust_store=self.options.trust_store,
            broken=self.broken,
        )

    def _unsaved(self, studies: Sequence[Study]) -> Iterator[str]:
        """A line if checkpoints were requested but some benchmarks save none."""
        stacked = [study.name[0] for study in studies if study.plan.stacks]
        if self.pool.checkpoints and stacked:
            names = ", ".join(dict.fromkeys(stacked))
            how = "--engine plain trains one by one"
            yield f"{names}: trained in stacks, which save no checkpoints; {how}"


@contextmanager
def open_session(
    selection: Selection,
    *,
    campaign: str,
    options: ExecutionOptions,
    listener: Listener = ignore,
) -> Iterator[Session]:
    """Try out the selected definitions, and open the pool that trains them. Raises InputError."""
    check_campaign_name(campaign)
    uri = tracking_uri()
    every = options.checkpoint_every
    checkpoints = None
    if every is not None:
        checkpoints = Checkpoints(folder=checkpoint_folder(uri), every=every)
    with open_pool(selection.source, options, checkpoints=checkpoints) as pool:
        problems, skipped = prepare(
            selection.suite,
            device=options.device,
            engine=options.engine,
            named=selection.required,
            known=read_plans(uri, campaign),
            is_former=has_former_rows(uri, campaign),
        )
        yield Session(
            suite=selection.suite,
            campaign=campaign,
            uri=uri,
            pool=pool,
            problems=problems,
            skipped=skipped,
            options=options,
            listener=listener,
        )


def runs_by_benchmark(studies: Sequence[Study]) -> dict[str, int]:
    """How many runs the studies of each benchmark have."""
    n_runs: dict[str, int] = {}
    for study in studies:
        benchmark, _ = study.name
        n_runs[benchmark] = n_runs.get(benchmark, 0) + study.n_runs
    return n_runs


def notes_of(studies: Sequence[Study]) -> Iterator[str]:
    """Lines for people about the benchmarks, and about plans that need a reason."""
    notes: dict[str, None] = {}
    plans: dict[str, dict[str, tuple[str, str]]] = {}
    for study in studies:
        notes |= dict.fromkeys(study.problem.notes)
        benchmark, optimizer = study.name
        own = plans.setdefault(benchmark, {})
        own[optimizer] = (study.plan.engine, study.plan.reason)
    yield from notes
    for benchmark, own in plans.items():
        yield from _explained(benchmark, own)
    for looks in {study.looks for study in studies if len(study.looks) > 1}:
        yield f"Seeds: {looks[0]}, and where a verdict is open up to {looks[-1]}"


def _explained(benchmark: str, plans: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """A line for each engine and reason among the plans, which are by optimizer."""
    for engine, reason in dict.fromkeys(plans.values()):
        if not reason:
            continue
        named = [optimizer for optimizer, plan in plans.items() if plan == (engine, reason)]
        what = benchmark
        if len(named) < len(plans):
            what += f" {', '.join(named)}"
        how = "stepped" if ENGINES[engine].stacks else "trained"
        yield f"{what}: {how} one by one: {reason}"


def _has_failed(event: Event) -> bool:
    if isinstance(event, RunEnded):
        return event.score.outcome == "failed"
    return isinstance(event, StudyEnded) and event.error is not None


@contextmanager
def _interrupts(listener: Listener) -> Iterator[list[int]]:
    """Collect the first Ctrl-C or SIGTERM, for a clean stop; a second one stops at once.

    Python delivers signals to the main thread only; in any other thread nothing is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def handle(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        listener(Interrupted())

    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, handle)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
