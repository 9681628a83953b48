"""What `run` and `train` return, and what a run would train."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from optsuite.analysis.leaderboard import VERDICT_COLUMNS, verdict_rows
from optsuite.analysis.overall import OVERALL_COLUMNS, overall
from optsuite.campaign.prepare import Skipped
from optsuite.campaign.session import Outcome
from optsuite.reporting.publish import Report
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.store import open_store


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a campaign holds after `run` or `train`.

    `leaderboard` has the requested rows. `report` is the report that was written; `train` writes
    none.
    """

    uri: str
    campaign: str
    outcome: Outcome
    leaderboard: pd.DataFrame
    skipped: tuple[Skipped, ...] = ()
    report: Report | None = None

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The ended runs of the campaign, one row each."""
        return read_runs(open_store(self.uri), self.campaign)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Their validation losses, with columns run_id, curve, step and value."""
        store = open_store(self.uri)
        return read_curves(store, self.runs["run_id"], ["validation/loss"])

    @cached_property
    def overall(self) -> pd.DataFrame:
        """Every optimizer across the benchmarks of the report, best first."""
        if self.report is None:
            return pd.DataFrame(columns=OVERALL_COLUMNS)
        return overall(self.report.found)

    @property
    def verdicts(self) -> pd.DataFrame:
        """Every ranked optimizer against every other of its benchmark."""
        found = verdict_rows(self.report.found) if self.report else []
        return pd.DataFrame(found, columns=VERDICT_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a run would train, by benchmark: all runs, missing runs, and the estimated minutes."""

    n_runs: Mapping[str, int]
    n_missing: Mapping[str, int]
    minutes: Mapping[str, float]
    n_workers: int
    notes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
