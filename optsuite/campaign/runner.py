"""A campaign from its lock to its end: what `run` and `train` share."""

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
from optsuite.campaign.stored_runs import Pair, StoredRuns
from optsuite.campaign.study import Study
from optsuite.campaign.writer import Writer
from optsuite.definitions.suite import Suite
from optsuite.errors import StoreUnavailableError
from optsuite.execution.pool import Pool
from optsuite.tracking.lease import lease
from optsuite.tracking.location import store_exists
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.store import Store, open_store
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.results import Measurement
from optsuite.tuning.protocol import Requests, evaluate_at, train_at, tune_and_evaluate
from optsuite.tuning.search import Proposals


def studies_of(
    suite: Suite,
    problems: Sequence[Problem],
    *,
    device: str,
    rates: Mapping[tuple[str, str], float] = {},
) -> list[Study]:
    """A study of every optimizer on every problem: at its rate, by benchmark and optimizer, where it has one, else tuned."""
    studies = []
    for problem in problems:
        name = problem.benchmark.name
        for spec in (spec for spec in suite.optimizers if spec.name in problem.plans):
            lr = rates.get((name, spec.name))
            proposals = Proposals()
            ask: Callable[[], Requests] = partial(tune_and_evaluate, name, spec, suite, proposals)
            if lr is not None:
                ask = partial(evaluate_at, name, spec, suite, lr)
            n_tuning = 0 if lr is not None else suite.n_trials * suite.n_tuning_seeds
            n_arms = 1 if lr is not None or spec.default_lr is None else 2
            n_runs = n_tuning + suite.n_seeds * n_arms
            own = Study(
                problem=problem,
                spec=spec,
                suite=suite,
                ask=ask,
                device=device,
                n_runs=n_runs,
                proposals=proposals,
            )
            studies.append(own)
    return studies


def manual_study(
    suite: Suite, problem: Problem, *, lr: float, seeds: Sequence[int], device: str
) -> Study:
    """Runs of the suite's first optimizer at a given rate, in the shape of a study."""
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
    """Hold the campaign, replay it, train what is missing in a pool and record it.

    `suite` is the suite's name. `night` says what kind of night this is, if it is one. One stored run of each study is
    trained again before the others count, unless `trust_store`. What the campaign holds of what is `broken` leaves its report.
    Raises StoreUnavailableError when results can no longer be written; those at hand are in the spool then.
    """
    with campaign_lock(uri, campaign), Outbox(uri, campaign) as outbox, _accounted(outbox):
        store = open_store(uri)
        with lease(store, campaign) as own:

            def must_stop() -> bool:
                return stop() or (own is not None and own.is_lost)

            delivered = outbox.deliver(store)
            for benchmark in dict.fromkeys(study.name[0] for study in studies):
                store.restore(benchmark)
            migrate(store, campaign, studies)
            stored_runs = StoredRuns.read(store, campaign)
            recorder = Recorder(
                store, stored_runs, outbox, campaign=campaign, suite=suite, night=night
            )
            stored, ids = partial(_stored, store, stored_runs), count(1)
            work = yield from _replayed(
                studies,
                stored_runs,
                recorder,
                None if trust_store else ReuseCheck(stored_runs, stored, pool, ids),
                must_stop,
            )
            yield Ready(
                missing=work.missing(),
                replaced=stored_runs.replaced_by(studies),
                delivered=delivered,
            )
            stored_runs.delete_unfinished(store, studies, broken)
            with Writer() as writer:
                yield from Scheduler(work, recorder, writer, pool, Guards(stored, ids), ids).run(
                    must_stop
                )
            if own is not None:
                own.require()
            record_costs(studies, recorder, must_stop)
            if (
                store.retry.has_waited
            ):  # what seemed not to be written may have been written all the same
                StoredRuns.read(store, campaign).delete_duplicates(store)


def _replayed(
    studies: Sequence[Study],
    stored_runs: StoredRuns,
    recorder: Recorder,
    check: ReuseCheck | None,
    stop: Callable[[], bool],
) -> Generator[Event, None, Replay]:
    """The campaign with its studies answered from the store, by results that have been checked unless `check` is None."""
    for study in studies:
        if study.plan.stacks and (refusal := stored_runs.refusal(study)):
            study.use_plain(refusal)
    work = Replay(studies, stored_runs)
    replayed = list(work.replay())
    if check is not None:
        yield from check.run(studies, stop)
        if _settle(check, recorder):
            work = Replay(studies, stored_runs)
            replayed = list(work.replay())
        for study, verdict in check.verdicts.items():
            if verdict.error:
                study.stop(verdict.error)
    yield from replayed
    return work


def _settle(check: ReuseCheck, recorder: Recorder) -> bool:
    """Do what the check of reused results has found; whether some of them are not used again."""
    refuted = [study for study, verdict in check.verdicts.items() if not verdict.keep]
    for study, verdict in check.verdicts.items():
        if verdict.mark:
            recorder.mark_reuse(study, verdict.mark)
    for study in refuted:
        recorder.refute(study)
    for study in check.verdicts if refuted else ():
        study.restart()
    return bool(refuted)


def _stored(
    store: Store,
    stored_runs: StoredRuns,
    wanted: Mapping[Fingerprint, Study],
) -> dict[Fingerprint, list[Measurement]]:
    """The curves of runs that the store holds, by fingerprint."""
    found = {one: stored_runs.by_fingerprint.get(one) for one in wanted}
    runs = {own.run_id: one for one, own in found.items() if own is not None}
    names = {name for study in set(wanted.values()) for name in study.problem.benchmark.curves}
    rows = read_curves(store, runs, sorted(names)).dropna()
    curves: dict[Fingerprint, list[Measurement]] = {one: [] for one in runs.values()}
    for run_id, of_run in rows.groupby("run_id"):
        for step, own in of_run.groupby("step", sort=True):
            values = dict(zip(own["curve"], own["value"], strict=True))
            curves[runs[str(run_id)]].append(
                Measurement(step=int(str(step)), values=values, time=0.0)
            )
    return curves


@contextmanager
def _accounted(outbox: Outbox) -> Iterator[None]:
    """Let whoever hears that the store is lost know where the results are."""
    try:
        yield
    except StoreUnavailableError as error:
        raise StoreUnavailableError(f"{error}{outbox.account()}") from error


def missing(studies: Sequence[Study], *, uri: str, campaign: str) -> dict[str, int]:
    """How many runs each benchmark of the studies still needs. Writes nothing."""
    rows = (
        read_runs(open_store(uri), campaign, everything=True)
        if store_exists(uri)
        else pd.DataFrame()
    )
    work = Replay(studies, StoredRuns(renamed(rows, studies)))
    for _ in work.replay():
        pass
    return work.missing()
