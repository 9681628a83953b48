"""What a command does with a campaign between its parsed input and its report; for scripts and notebooks the same."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from optsuite.campaign.events import Event, Interrupted, Prepared, RunEnded, StudyEnded
from optsuite.campaign.lock import check_campaign_name
from optsuite.campaign.prepare import Problem, Skipped, broken_pairs, prepare
from optsuite.campaign.runner import missing, run_campaign
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
    """A campaign whose definitions have been tried out, and the pool that trains it."""

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
        """Bring the studies to their end. `night` is the kind of night that this is, if it is one.

        `notes` are further lines that a person should see before.

        The first Ctrl-C or SIGTERM leaves everything tidy and ends it as interrupted.
        """
        lines = (*notes, *notes_of(studies), *self._unsaved(studies))
        self.listener(
            Prepared(
                seconds_per_run=self.seconds_per_run,
                n_runs=runs_by_benchmark(studies),
                skipped=tuple(self.skipped),
                notes=lines,
            )
        )
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
        """The rough cost of a run of each benchmark."""
        return {problem.benchmark.name: problem.seconds_per_run for problem in self.problems}

    @property
    def broken(self) -> set[tuple[str, str | None]]:
        """The pairs of benchmark and optimizer that cannot be trained; all optimizers where it is None."""
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
        """Where checkpoints were asked for and none are saved, in one line."""
        stacked = [study.name[0] for study in studies if study.plan.stacks]
        if self.pool.checkpoints and stacked:
            names = ", ".join(dict.fromkeys(stacked))
            how = "--engine plain trains one by one"
            yield f"{names}: trained in stacks, which save no checkpoints; {how}"


@contextmanager
def open_session(
    suite: Suite,
    *,
    source: str | Suite,
    campaign: str,
    options: ExecutionOptions,
    named: Sequence[str] = (),
    listener: Listener = ignore,
) -> Iterator[Session]:
    """Try out the definitions of a suite, with the pool that will train it. Raises InputError.

    Workers load the suite from `source`. A benchmark that is `named` must be trainable.
    """
    check_campaign_name(campaign)
    uri = tracking_uri()
    every = options.checkpoint_every
    checkpoints = None
    if every is not None:
        checkpoints = Checkpoints(folder=checkpoint_folder(uri), every=every)
    with open_pool(source, options, checkpoints=checkpoints) as pool:
        problems, skipped = prepare(
            suite,
            device=options.device,
            engine=options.engine,
            named=named,
            known=read_plans(uri, campaign),
            is_former=has_former_rows(uri, campaign),
        )
        yield Session(
            suite=suite,
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
        n_runs[study.name[0]] = n_runs.get(study.name[0], 0) + study.n_runs
    return n_runs


def notes_of(studies: Sequence[Study]) -> Iterator[str]:
    """What a person should know of the benchmarks and of how they are trained, a line for each."""
    yield from dict.fromkeys(note for study in studies for note in study.problem.notes)
    plans = {study.name: (study.plan.engine, study.plan.reason) for study in studies}
    explained = dict.fromkeys((name[0], *plan) for name, plan in plans.items() if plan[1])
    for benchmark, engine, reason in explained:
        own = [name for name in plans if name[0] == benchmark]
        named = [name[1] for name in own if plans[name] == (engine, reason)]
        which = f" {', '.join(named)}" if len(named) < len(own) else ""
        how = "stepped" if ENGINES[engine].stacks else "trained"
        yield f"{benchmark}{which}: {how} one by one: {reason}"


def _has_failed(event: Event) -> bool:
    if isinstance(event, RunEnded):
        return event.score.outcome == "failed"
    return isinstance(event, StudyEnded) and event.error is not None


@contextmanager
def _interrupts(listener: Listener) -> Iterator[list[int]]:
    """Collect the first Ctrl-C or SIGTERM, so that all can be left tidy; a second one stops at once.

    Only the main thread hears of them.
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

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
