"""What deleting a campaign or cleaning a store removes and keeps, as a value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from optsuite.campaign.housekeeping.leftovers import size
from optsuite.tracking.cleaning import Shrunk, artifact_bytes
from optsuite.tracking.inventory import InventoryRow

What = Literal[
    "runs",
    "reports",
    "superseded",
    "refuted",
    "unfinished",
    "trash",
    "checkpoints",
    "waiting",
    "set_aside",
    "litter",
    "locks",
    "unreplaced",
    "remembered",
    "foreign",
]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The number of runs or files of one sort, and their bytes.

    The bytes of runs are an estimate, and 0 unless the store is a SQLite file.
    """

    what: What
    n: int
    n_bytes: int
    is_kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What was removed, or would be in a `dry_run`, and what was kept.

    `skipped` holds the reasons, by campaign, for leaving it alone. `trash_only` is true for a
    server, which moves runs to MLflow's trash. `artifacts_left` could not be deleted. `shrunk` is
    the change of a SQLite file.
    """

    dry_run: bool
    parts: tuple[Part, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    trash_only: bool = False
    artifacts_left: tuple[str, ...] = ()
    shrunk: Shrunk | None = None

    @property
    def n(self) -> int:
        """How many runs and files were removed."""
        return sum(part.n for part in self.parts if not part.is_kept)

    @property
    def n_bytes(self) -> int:
        """Roughly the bytes that were removed."""
        return sum(part.n_bytes for part in self.parts if not part.is_kept)


class Tally:
    """Counts what is removed and what is kept."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """`sizes` are the bytes of runs, by id."""
        self._sizes = sizes
        self._counts: dict[tuple[What, bool], list[int]] = {}

    def runs(self, what: What, found: Sequence[InventoryRow], *, kept: bool = False) -> None:
        """Count runs."""
        n_bytes = sum(self._sizes.get(run.run_id, 0) + artifact_bytes(run) for run in found)
        self._add(what, len(found), n_bytes, kept)

    def files(self, what: What, found: Iterable[Path], *, kept: bool = False) -> None:
        """Count files, before they are removed."""
        paths = list(found)
        self._add(what, len(paths), size(paths), kept)

    def _add(self, what: What, n: int, n_bytes: int, kept: bool) -> None:
        if n:
            count = self._counts.setdefault((what, kept), [0, 0])
            count[0] += n
            count[1] += n_bytes

    @property
    def parts(self) -> tuple[Part, ...]:
        """What was counted, in that order; kept parts last."""
        removed_parts: list[Part] = []
        kept_parts: list[Part] = []
        for (what, kept), (n, n_bytes) in self._counts.items():
            part = Part(what=what, n=n, n_bytes=n_bytes, is_kept=kept)
            parts = kept_parts if kept else removed_parts
            parts.append(part)
        return (*removed_parts, *kept_parts)
