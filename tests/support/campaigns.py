"""Campaigns of two optimizers on the tiny benchmark, trained in this process."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import TINY, InlinePool
from suites import tiny

from optsuite import Suite
from optsuite.campaign.events import Event
from optsuite.campaign.runner import studies_of
from support.stores import never, prepared, run_studies

SUITE = replace(tiny.SUITE, n_trials=9, n_seeds=2)
N_SGD, N_SIGN = 9 + 2 + 2, 9 + 2  # the optimizer of the suite has no default rate


def write_tiny_suite(folder: Path, changes: str) -> None:
    """Write `suite.py`, the tiny suite with other values of its fields, such as `n_trials=2`."""
    text = f"{TINY.read_text()}\nfrom dataclasses import replace\n"
    (folder / "suite.py").write_text(f"{text}SUITE = replace(SUITE, {changes})\n")


def go(
    pool: InlinePool, suite: Suite = SUITE, stop: Callable[[], bool] = never, **options: Any
) -> list[Event]:
    """Run the suite in the current folder and return the events."""
    pool.load(suite)
    return resume(pool, suite, stop, **options)


def resume(
    pool: InlinePool, suite: Suite = SUITE, stop: Callable[[], bool] = never, **options: Any
) -> list[Event]:
    """The same with the training function that the pool already has."""
    studies = studies_of(suite, prepared(suite), device="cpu")
    return run_studies(pool, studies, suite=suite.name, stop=stop, **options)
