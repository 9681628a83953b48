"""One run in the store: the value read from its row, and its place in the report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from optsuite.tracking.schema import COSTS, PARENT, SUPERSEDED
from optsuite.tracking.store import Store
from optsuite.training.legacy_fingerprint import AnyFingerprint
from optsuite.training.results import Run, RunScore


@dataclass
class StoredRun:
    """One run in the store. `name` is the benchmark and the optimizer.

    `reuse` is the mark of a study with results that are not this machine's, and the class of that
    machine; two empty texts for any other run. `n_evaluated` is the number of evaluation seeds of
    a study, nan for any other run.
    """

    run_id: str
    name: tuple[str, str]
    kind: str
    is_manual: bool
    lr_and_seed: tuple[float, float]
    status: str
    fingerprint: AnyFingerprint
    parent: str | None
    superseded: bool
    score: RunScore
    knows_cost: bool
    machine_class: str | None
    reuse: tuple[str, str]
    compared: bool
    proposed: str
    n_evaluated: float

    @classmethod
    def of_row(cls, row: Mapping[Any, Any], fingerprint: AnyFingerprint) -> Self:
        """Read a row of `tracking.query.read_rows`."""
        score = RunScore(
            outcome=row["outcome"], value=row["score"], initial_loss=row["initial/validation_loss"]
        )
        return cls(
            run_id=row["run_id"],
            name=(row["benchmark"], row["optimizer"]),
            kind=row["kind"],
            is_manual=row["arm"] == "manual",
            lr_and_seed=(row["lr"], row["seed"]),
            status=row["status"],
            fingerprint=fingerprint,
            parent=row["parent"],
            superseded=row["superseded"],
            score=score,
            knows_cost=not math.isnan(row[COSTS[0]]),
            machine_class=row["machine_class"],
            reuse=(row["reuse"] or "", row["reused_on"] or ""),
            compared=row["compared"] is not None,
            proposed=row["proposed"] or "",
            n_evaluated=row["n_evaluated"],
        )

    def describes(self, run: Run) -> bool:
        """Whether the row describes this run."""
        return (
            self.name == (run.benchmark, run.optimizer)
            and self.lr_and_seed == (run.lr, run.seed)
            and self.kind == run.kind
            and self.is_manual == (run.arm == "manual")
        )

    def supersede(self, store: Store) -> None:
        """Remove the run from the report without deleting it."""
        if not self.superseded:
            store.tag(self.run_id, SUPERSEDED, "true")
            self.superseded = True

    def restore(self, store: Store, parent: str | None) -> None:
        """Return the run to the report, under `parent` unless that is None."""
        if self.superseded:
            store.tag(self.run_id, SUPERSEDED, None)
            self.superseded = False
        if parent is not None and self.parent != parent:
            store.tag(self.run_id, PARENT, parent)
            self.parent = parent
