"""A campaign from its lock to its end, and the studies that it consists of."""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count

import pandas as pd

from optsuite.campaign.costs import record_costs
from optsuite.campaign.events import Event, Ready
from optsuite.campaign.guard import Guards
from optsuite.campaign.lock import campaign_lock
from optsuite.campaign.migration import migrate, renamed
from optsuite.campaign.prepare import Problem
from optsuite.campaign.recorder import Recorder
from optsuite.campaign.replay import Replay
from optsuite.campaign.reuse import ReuseCheck
from optsuite.campaign.scheduler import Scheduler
from optsuite.campaign.stored_curves import stored_curves
from optsuite.campaign.stored_runs import Pair, StoredRuns
from optsuite.campaign.study import Study
from optsuite.campaign.writer import Writer
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import StoreUnavailableError
from optsuite.execution.pool import Pool
from optsuite.statistics.looks import looks_at
from optsuite.tracking.lease import Lease, lease
from optsuite.tracking.location import store_exists
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import Store, open_store
from optsuite.tuning.confirmation import most_runs
from optsuite.tuning.protocol import Requests, evaluate_at, train_at, tune_and_evaluate
from optsuite.tuning.search import Proposals


def studies_of(
    suite: Suite,
    problems: Sequence[Problem],
    *,
    device: str,
    rates: Mapping[tuple[str, str], float] = {},
) -> list[Study]:
    """A study of every optimizer on every problem.

    Pairs of benchmark and optimizer in `rates` are evaluated at that rate, the rest is tuned first.
    """
    studies = []
    for problem in problems:
        for spec in suite.optimizers:
            if spec.name in problem.plans:
                lr = rates.get((problem.benchmark.name, spec.name))
                studies.append(_study(suite, problem, spec, device=device, lr=lr))
    return studies


def _study(
    suite: Suite, problem: Problem, spec: OptimizerSpec, *, device: str, lr: float | None
) -> Study:
    """A study at a known rate, or one that tunes the rate if that is None."""
    name = problem.benchmark.name
    proposals = Proposals()
    ask: Callable[[], Requests]
    looks: tuple[int, ...] = ()
    if lr is None:
        looks = looks_at(suite.n_seeds, suite.max_seeds)
        ask = partial(tune_and_evaluate, name, spec, suite, proposals)
        n_arms = 1 if spec.default_lr is None else 2
        n_tuning = suite.n_trials * suite.n_tuning_seeds + most_runs(suite)
        n_runs = n_tuning + suite.n_seeds * n_arms
    else:
        ask = partial(evaluate_at, name, spec, suite, lr)
        n_runs = suite.n_seeds
    return Study(
        problem=problem,
        spec=spec,
        suite=suite,
        ask=ask,
        device=device,
        n_runs=n_runs,
        looks=looks,
        proposals=proposals,
    )


def manual_study(
    suite: Suite, problem: Problem, *, lr: float, seeds: Sequence[int], device: str
) -> Study:
    """A study that trains the suite's first optimizer at a given rate."""
    spec = suite.optimizers[0]
    return Study(
        problem=problem,
        spec=spec,
        suite=suite,
        ask=partial(train_at, problem.benchmark.name, spec, lr, seeds),
        device=device,
        n_runs=len(seeds),
        is_manual=True,
    )


def run_campaign(
    studies: Sequence[Study],
    *,
    uri: str,
    campaign: str,
    suite: str,
    pool: Pool,
    stop: Callable[[], bool],
    night: str | None = None,
    trust_store: bool = False,
    broken: Collection[Pair] = (),
) -> Iterator[Event]:
    """Lock the campaign, replay it, train what is missing in the pool, and record it.

    `suite` is the suite's name, `night` the kind of night, if it is one. Unless `trust_store`, one
    stored run of each study is trained again before the stored results count. Stored results of
    `broken` pairs leave the report. Raises StoreUnavailableError if results can no longer be
    written; the outbox then keeps those at hand.
    """
    with campaign_lock(uri, campaign), Outbox(uri, campaign) as outbox, _with_summary(outbox):
        store = open_store(uri)
        with lease(store, campaign) as own:
            must_stop = partial(_must_stop, stop, own)
            delivered = outbox.deliver(store)
            stored = _read_store(store, campaign, studies)
            recorder = Recorder(store, stored, outbox, campaign=campaign, suite=suite, night=night)
            curves, ids = partial(stored_curves, store, stored), count(1)
            check = None
            if not trust_store:
                check = ReuseCheck(stored, curves, pool, ids)
            work = yield from _replayed(studies, stored, recorder, check, must_stop)
            yield _ready(work, stored, delivered)
            stored.delete_unfinished(store, studies, broken)
            with Writer(recorder.flush) as writer:
                scheduler = Scheduler(work, recorder, writer, pool, Guards(curves, ids), ids)
                yield from scheduler.run(must_stop)
            if own is not None:
                own.require()
            record_costs(studies, recorder, must_stop)
            if store.retry.has_waited:
                # A write that seemed to fail may have succeeded, and was repeated.
                StoredRuns.read(store, campaign).delete_duplicates(store)


def _ready(work: Replay, stored: StoredRuns, delivered: int) -> Ready:
    """What the store holds, before anything is changed in it."""
    return Ready(
        missing=work.missing(),
        replaced=stored.replaced_by(work.studies),
        outdated=stored.outdated(work.studies),
        delivered=delivered,
    )


def _must_stop(stop: Callable[[], bool], own: Lease | None) -> bool:
    return stop() or (own is not None and own.is_lost)


def _read_store(store: Store, campaign: str, studies: Sequence[Study]) -> StoredRuns:
    """What the store holds, after its experiments are restored and its old rows migrated."""
    for benchmark in dict.fromkeys(study.name[0] for study in studies):
        store.restore(benchmark)
    migrate(store, campaign, studies)
    return StoredRuns.read(store, campaign)


def _replayed(
    studies: Sequence[Study],
    stored_runs: StoredRuns,
    recorder: Recorder,
    check: ReuseCheck | None,
    stop: Callable[[], bool],
) -> Generator[Event, None, Replay]:
    """Answer the studies from the store, after `check` has tried the stored results."""
    for study in studies:
        refusal = stored_runs.refusal(study)
        if refusal and study.plan.stacks:
            study.use_plain(refusal)
    work = Replay(studies, stored_runs)
    replayed = list(work.replay())
    if check is not None:
        yield from check.run(studies, stop)
        if _apply_decisions(check, recorder):
            work = Replay(studies, stored_runs)
            replayed = list(work.replay())
        for study, decision in check.decisions.items():
            if decision.error:
                study.stop(decision.error)
    yield from replayed
    return work


def _apply_decisions(check: ReuseCheck, recorder: Recorder) -> bool:
    """Apply what the check of reused results decided; return whether the studies were restarted."""
    refuted = []
    for study, decision in check.decisions.items():
        if decision.mark:
            recorder.mark_reuse(study, decision.mark)
        if not decision.keep:
            refuted.append(study)
    if not refuted:
        return False
    for study in refuted:
        recorder.refute(study)
    for study in check.decisions:
        study.restart()
    return True


@contextmanager
def _with_summary(outbox: Outbox) -> Iterator[None]:
    """Add to a StoreUnavailableError where the results are kept."""
    try:
        yield
    except StoreUnavailableError as error:
        raise StoreUnavailableError(f"{error}{outbox.summary()}") from error


def missing(studies: Sequence[Study], *, uri: str, campaign: str) -> dict[str, int]:
    """How many runs each benchmark of the studies still needs. Writes nothing."""
    rows = pd.DataFrame()
    if store_exists(uri):
        rows = read_runs(open_store(uri), campaign, everything=True)
    work = Replay(studies, StoredRuns(renamed(rows, studies)))
    for _ in work.replay():
        pass
    return work.missing()
