"""A campaign from its lock to its end: what `run` and `train` share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pandas as pd

from optsuite.campaign.costs import record_costs
from optsuite.campaign.events import Event, Ready
from optsuite.campaign.held import Held
from optsuite.campaign.ledger import Ledger
from optsuite.campaign.lock import campaign_lock
from optsuite.campaign.loop import Training
from optsuite.campaign.prepare import Problem
from optsuite.campaign.replay import Campaign
from optsuite.campaign.study import Study, at_rate, given, tune_and_evaluate
from optsuite.campaign.writer import Writer
from optsuite.definition import Suite
from optsuite.errors import StoreLost
from optsuite.execution.pool import Pool
from optsuite.tracking.lease import lease
from optsuite.tracking.location import store_exists
from optsuite.tracking.reading import read_runs
from optsuite.tracking.spool import Spool
from optsuite.tracking.store import open_store


def studies_of(
    suite: Suite, problems: Sequence[Problem], *, device: str, rates: Mapping[tuple[str, str], float] = {}
) -> list[Study]:
    """A study of every optimizer on every problem: at its rate, by benchmark and optimizer, where it has one, else tuned."""
    studies = []
    for problem in problems:
        name = problem.benchmark.name
        for spec in (spec for spec in suite.optimizers if spec.name in problem.plans):
            lr = rates.get((name, spec.name))
            asks = tune_and_evaluate(name, spec, suite) if lr is None else at_rate(name, spec, suite, lr)
            n_tuning = 0 if lr is not None else suite.n_trials * suite.n_tuning_seeds
            n_arms = 1 if lr is not None or spec.default_lr is None else 2
            n_runs = n_tuning + suite.n_seeds * n_arms
            studies.append(Study(problem=problem, spec=spec, suite=suite, asks=asks, device=device, n_runs=n_runs))
    return studies


def given_study(suite: Suite, problem: Problem, *, lr: float, seeds: Sequence[int], device: str) -> Study:
    """Runs of the suite's first optimizer at a given rate, in the shape of a study."""
    spec = suite.optimizers[0]
    return Study(
        problem=problem,
        spec=spec,
        suite=suite,
        asks=given(problem.benchmark.name, spec, lr, seeds),
        device=device,
        n_runs=len(seeds),
        is_given=True,
    )


def drive(
    studies: Sequence[Study],
    *,
    uri: str,
    campaign: str,
    suite: str,
    pool: Pool,
    stop: Callable[[], bool],
    night: str | None = None,
) -> Iterator[Event]:
    """Hold the campaign, replay it, train what is missing in a pool and record it.

    `suite` is the suite's name. `night` says what kind of night this is, if it is one. Raises StoreLost when results can no
    longer be written; those at hand are in the spool then.
    """
    with campaign_lock(uri, campaign), Spool(uri, campaign) as spool, _accounted(spool):
        store = open_store(uri)
        with lease(store, campaign) as own:

            def must_stop() -> bool:
                return stop() or (own is not None and own.is_lost)

            delivered = spool.deliver(store)
            for benchmark in dict.fromkeys(study.name[0] for study in studies):
                store.restore(benchmark)
            held = Held.read(store, campaign)
            work = Campaign(studies, held)
            yield from work.replay()
            yield Ready(missing=work.missing(), replaced=held.replaced_by(studies), delivered=delivered)
            held.tidy(store, studies)
            ledger = Ledger(store, held, spool, campaign=campaign, suite=suite, night=night)
            with Writer() as writer:
                yield from Training(work, ledger, writer, pool).run(must_stop)
            if own is not None:
                own.require()
            record_costs(studies, ledger, must_stop)
            if store.patience.has_waited:  # what seemed not to be written may have been written all the same
                Held.read(store, campaign).sweep(store)


@contextmanager
def _accounted(spool: Spool) -> Iterator[None]:
    """Let whoever hears that the store is lost know where the results are."""
    try:
        yield
    except StoreLost as error:
        raise StoreLost(f"{error}{spool.account()}") from error


def missing(studies: Sequence[Study], *, uri: str, campaign: str) -> dict[str, int]:
    """How many runs each benchmark of the studies still needs. Writes nothing."""
    rows = read_runs(open_store(uri), campaign, everything=True) if store_exists(uri) else pd.DataFrame()
    work = Campaign(studies, Held(rows))
    for _ in work.replay():
        pass
    return work.missing()
