"""The report of a campaign, from the store to its folder and back into the store."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from optsuite.analysis.leaderboard import Comparison, comparison
from optsuite.campaign.prepare import Skipped
from optsuite.errors import InputError, one_line
from optsuite.redact import redact
from optsuite.reporting.write import build
from optsuite.tracking.links import UI
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.store import open_store


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report folder that has been written, and what it rests on.

    `skipped` could not be trained where it was made.
    `not_kept` says why MLflow could not keep a copy; empty where it has.
    """

    folder: Path
    found: Comparison
    skipped: tuple[Skipped, ...] = ()
    not_kept: str = ""

    @property
    def page(self) -> Path:
        """The page to open."""
        return self.folder / "index.html"

    def table(self, benchmarks: Collection[str] | None = None) -> pd.DataFrame:
        """The leaderboard of these benchmarks; of all where it is None."""
        whole = self.found.table
        return whole if benchmarks is None else whole[whole["benchmark"].isin(list(benchmarks))]


def publish(uri: str, campaign: str, folder: Path, skipped: Sequence[Skipped] = ()) -> Report:
    """Write the report of a campaign. Raises InputError for a folder that cannot be written or is not ours."""
    store = open_store(uri)
    runs = read_runs(store, campaign)
    curves = partial(read_curves, store, names=["validation/loss"])
    found = comparison(runs)
    notes = [
        str(one) if one.broken else f"Skipped {one.benchmark}: its dataset is not there."
        for one in skipped
    ]
    ui = UI if store.is_database else redact(uri)
    try:
        files = build(runs, curves, found, folder, campaign=campaign, ui=ui, notes=notes)
    except OSError as error:
        raise InputError(
            f"report folder: {folder} cannot be written ({error.strerror or error}); choose another --out"
        ) from error
    not_kept = ""
    try:
        store.attach_report(campaign, folder, files)
    except Exception as error:  # whatever an artifact store may raise: the report itself is there
        not_kept = redact(one_line(error))
    return Report(folder=folder, found=found, skipped=tuple(skipped), not_kept=not_kept)
