"""Which runs of a campaign no report, night or later start needs."""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from optsuite.tracking.inventory import InventoryRow
from optsuite.tracking.schema import (
    GIVEN_UP,
    LEASE,
    NIGHT,
    PARENT,
    PROPOSED,
    REFUSAL,
    SUPERSEDED,
    TRIED,
    UNFINISHED,
)


@dataclass(frozen=True, kw_only=True)
class Obsolete:
    """Runs that can be removed, by reason, and obsolete-looking runs that must stay.

    `unreplaced` runs are superseded but not replaced: their definition may be broken only for now.
    `remembered` studies hold what later starts need, such as the engine that a check found.
    """

    superseded: list[InventoryRow]
    refuted: list[InventoryRow]
    unfinished: list[InventoryRow]
    trash: list[InventoryRow]
    unreplaced: list[InventoryRow]
    remembered: list[InventoryRow]

    @property
    def runs(self) -> list[InventoryRow]:
        """All runs that can be removed."""
        return [*self.superseded, *self.refuted, *self.unfinished, *self.trash]


def obsolete(runs: Sequence[InventoryRow], resumable: Set[str] = frozenset()) -> Obsolete:
    """Sort the runs of one campaign, which must not be running.

    `resumable` are the fingerprints of runs that have a checkpoint.
    """
    own = [run for run in runs if run.is_ours and not run.experiment_is_deleted]
    sorted_out: dict[str, list[InventoryRow]] = {}
    current = _Current(own)
    for run in own:
        why = _why(run, current, resumable)
        if why:
            sorted_out.setdefault(why, []).append(run)
    kept = sorted_out.pop("unreplaced", [])
    candidates = {run.run_id for found in sorted_out.values() for run in found}
    needed = _needed(own, candidates)
    remembered = [run for run in own if run.run_id in needed]
    going: dict[str, list[InventoryRow]] = {}
    for why, found in sorted_out.items():
        going[why] = [run for run in found if run.run_id not in needed]
    return Obsolete(
        superseded=going.get("superseded", []),
        refuted=going.get("refuted", []),
        unfinished=going.get("unfinished", []),
        trash=going.get("trash", []),
        unreplaced=kept,
        remembered=remembered,
    )


class _Current:
    """The current results of each pair of benchmark and optimizer."""

    def __init__(self, runs: Iterable[InventoryRow]) -> None:
        self.studies: set[object] = set()
        self.pairs: set[object] = set()
        self.definitions: set[object] = set()
        self.fingerprints: Counter[str] = Counter()
        for run in runs:
            if not run.is_current or run.status != "FINISHED":
                continue
            self.fingerprints[run.fingerprint] += 1
            is_study = run.kind == "study"
            if is_study:
                self.studies.add(run.pair)
            if is_study or run.is_manual:
                self.pairs.add(run.pair)
                self.definitions.add((run.pair, run.basis))

    def replaces(self, run: InventoryRow) -> bool:
        """Whether newer results replace a superseded run."""
        if run.is_manual:  # `train` may restore a run of the same definition
            return run.pair in self.pairs and (run.pair, run.basis) not in self.definitions
        return run.pair in self.studies


def _why(run: InventoryRow, current: _Current, resumable: Set[str]) -> str:
    """Why a run can be removed; empty if it stays."""
    is_study_of_night = run.kind == "study" and NIGHT in run.texts
    if run.is_deleted:
        return "trash"
    if run.kind in (LEASE, "report") or is_study_of_night:  # such a study names its night
        return ""
    if run.status in UNFINISHED:
        resumes = run.fingerprint in resumable and not current.fingerprints[run.fingerprint]
        return "" if resumes else "unfinished"
    if SUPERSEDED not in run.texts:
        return ""
    if run.is_refuted:
        return "refuted"
    if current.fingerprints[run.fingerprint]:  # the next start decides which of them is right
        return ""
    return "superseded" if current.replaces(run) else "unreplaced"


def _needed(runs: Sequence[InventoryRow], candidates: Set[str]) -> set[str]:
    """Candidates that must stay: they alone hold a mark, or they are parents of runs that stay."""
    staying = [run for run in runs if run.run_id not in candidates]
    is_alive = any(not run.is_deleted for run in staying)
    known: set[tuple[object, ...]] = set()
    for run in staying:
        known |= _marks(run, is_alive=True)
    parents = {run.texts[PARENT] for run in staying if PARENT in run.texts}
    needed = set()
    going = [run for run in runs if run.run_id in candidates]
    for run in sorted(going, key=lambda run: (run.is_deleted, -run.started)):
        marks = _marks(run, is_alive=is_alive)
        if marks - known or (run.run_id in parents and not run.is_deleted):
            needed.add(run.run_id)
            known |= marks
    return needed


def _marks(run: InventoryRow, *, is_alive: bool) -> set[tuple[object, ...]]:
    """What a later start would learn from a study's run, in `read_plans` or in `StoredRuns`.

    For a campaign that is entirely in the trash, only refusals: they warn of wrong results.
    """
    engine = run.texts.get("engine", "plain")
    reason = run.texts.get("engine_reason", "")
    if run.kind != "study" or not run.fingerprint or GIVEN_UP in run.texts:
        return set()
    if REFUSAL in run.texts:
        return {(REFUSAL, run.basis, run.texts[REFUSAL])}
    marks = set[tuple[object, ...]]()
    if is_alive and TRIED in run.texts and engine != "plain":
        marks.add((TRIED, run.basis, engine, reason, run.texts[TRIED]))
    is_read = run.status == "FINISHED" and not run.is_deleted and not run.is_refuted
    if is_alive and PROPOSED in run.texts and is_read:
        marks.add((PROPOSED, run.fingerprint, run.texts[PROPOSED]))
    return marks
