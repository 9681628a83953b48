"""Campaigns of two optimizers on the tiny benchmark, trained in this process."""

from collections.abc import Callable
from dataclasses import replace

from conftest import InlinePool
from suites import tiny

from optsuite import Suite
from optsuite.campaign.events import Event
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.runner import studies_of
from support.stores import never, run_studies

SUITE = replace(tiny.SUITE, n_trials=9, n_seeds=2)
N_SGD, N_SIGN = 9 + 2 + 2, 9 + 2  # the optimizer of the suite has no default rate


def problems(suite: Suite = SUITE) -> list[Problem]:
    return prepare(suite, device="cpu")[0]


def go(pool: InlinePool, suite: Suite = SUITE, stop: Callable[[], bool] = never) -> list[Event]:
    """Run the suite in the current folder and return the events."""
    pool.load(suite)
    return resume(pool, suite, stop)


def resume(pool: InlinePool, suite: Suite = SUITE, stop: Callable[[], bool] = never) -> list[Event]:
    """The same with the training function that the pool already has."""
    studies = studies_of(suite, problems(suite), device="cpu")
    return run_studies(pool, studies, suite=suite.name, stop=stop)
