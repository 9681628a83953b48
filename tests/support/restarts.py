"""A small campaign that is started again and again, each start with counters of its own."""

from dataclasses import replace

from conftest import InlinePool
from suites import tiny

from optsuite import Suite
from optsuite.campaign.events import Event
from support import campaigns

SUITE = replace(tiny.SUITE, n_trials=4, n_seeds=2)
N_SGD, N_SIGN = 4 + 2 + 2, 4 + 2


def go(pool: InlinePool, suite: Suite = SUITE, *, trust_store: bool = False) -> list[Event]:
    pool.load(suite)
    return resume(pool, suite, trust_store=trust_store)


def resume(pool: InlinePool, suite: Suite = SUITE, *, trust_store: bool = False) -> list[Event]:
    """The same with the training function that the pool already has."""
    pool.n_trained, pool.checks = 0, []
    fresh = replace(suite)  # prepared again, since tests change what its definitions read
    return campaigns.resume(pool, fresh, trust_store=trust_store)
