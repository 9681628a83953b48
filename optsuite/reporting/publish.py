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
    """A report folder that was written, and the comparison behind it.

    `skipped` are the pairs that could not be trained. `not_kept` is why MLflow could not keep a
    copy; empty if it did.
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
        """The leaderboard of these benchmarks, or of all."""
        whole = self.found.table
        if benchmarks is None:
            return whole
        return whole[whole["benchmark"].isin(list(benchmarks))]


def publish(uri: str, campaign: str, folder: Path, skipped: Sequence[Skipped] = ()) -> Report:
    """Write the report of a campaign.

    Raises InputError for a folder that cannot be written or is not ours.
    """
    store = open_store(uri)
    runs = read_runs(store, campaign)
    curves = partial(read_curves, store, names=["validation/loss"])
    found = comparison(runs)
    notes = []
    for pair in skipped:
        missing = f"Skipped {pair.benchmark}: its dataset is not there."
        notes.append(str(pair) if pair.broken else missing)
    ui = UI if store.is_database else redact(uri)
    try:
        files = build(runs, curves, found, folder, campaign=campaign, ui=ui, notes=notes)
    except OSError as error:
        cause = error.strerror or error
        message = f"report folder: {folder} cannot be written ({cause}); choose another --out"
        raise InputError(message) from error
    not_kept = ""
    try:
        store.attach_report(campaign, folder, files)
    except Exception as error:  # artifact stores raise anything, and the report itself exists
        not_kept = redact(one_line(error))
    return Report(folder=folder, found=found, skipped=tuple(skipped), not_kept=not_kept)
