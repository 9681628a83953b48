"""The runs that the store holds of a campaign, and which of them no longer belong there."""

from collections.abc import Collection, Iterable
from typing import Self

import pandas as pd

from optsuite.campaign.outdated import Definitions, Outdated
from optsuite.campaign.stored_run import StoredRun
from optsuite.campaign.study import Study
from optsuite.tracking.query import read_rows
from optsuite.tracking.schema import REFUTED, SUPERSEDED
from optsuite.tracking.soundness import Damaged, require_known
from optsuite.tracking.store import Store
from optsuite.training.fingerprint import Basis, Fingerprint
from optsuite.training.legacy_fingerprint import AnyFingerprint, FormerBasis, read_fingerprint
from optsuite.training.machine import machine_class
from optsuite.training.results import Run, RunScore
from optsuite.tuning.search import Proposals

Pair = tuple[str, str | None]  # a benchmark and an optimizer; None stands for all optimizers


class StoredRuns:
    """The runs of a campaign in the store, by fingerprint."""

    def __init__(self, rows: pd.DataFrame, damaged: Iterable[Damaged] = ()) -> None:
        """Take the rows of `read_rows`. Rows that optsuite did not write are ignored."""
        self._damaged = list(damaged)
        self.by_fingerprint: dict[AnyFingerprint, StoredRun] = {}
        self._leftover: list[StoredRun] = []
        self._refusals: dict[Basis | FormerBasis, str] = {}
        for row in rows.to_dict("records"):
            fingerprint = read_fingerprint(row["fingerprint"])
            if fingerprint is None:
                continue
            if row["refusal"] is not None:
                self._refusals[fingerprint.basis] = row["refusal"]
            if row["refuted"]:
                continue
            stored = StoredRun.of_row(row, fingerprint)
            if stored.status == "FINISHED" and stored.fingerprint not in self.by_fingerprint:
                self.by_fingerprint[stored.fingerprint] = stored
            else:  # unfinished, failed, or a duplicate
                self._leftover.append(stored)

    @classmethod
    def read(cls, store: Store, campaign: str) -> Self:
        """Read the store. Raises InputError if a newer optsuite wrote some of the rows."""
        rows = read_rows(store, campaign)
        require_known(campaign, rows.damaged)
        return cls(rows.sound, rows.damaged)

    def score(self, fingerprint: Fingerprint, run: Run) -> RunScore | None:
        """The score of a run, None if the store lacks it. A row that contradicts it is damaged."""
        stored = self.by_fingerprint.get(fingerprint)
        if stored is None:
            return None
        if stored.describes(run):
            return stored.score
        self._disbelieve(stored, "it describes another run than its fingerprint")
        return None

    def drop_unlike(self, store: Store, study: Study) -> bool:
        """Delete the study's own run if it contradicts the study; return whether it did."""
        stored = self.by_fingerprint.get(study.identity)
        if stored is None:
            return False
        found = ("study", study.name, study.lr)
        if (stored.kind, stored.name, stored.lr_and_seed[0]) == found:
            return False
        self._disbelieve(stored, "it contradicts its runs")
        self._repair(store)
        return True

    def reopen(self, store: Store, study: Study) -> bool:
        """Delete the study's own run if the study has another number of seeds now.

        Returns whether it did. What was known of how results were reused goes on with the study.
        """
        stored = self.by_fingerprint.get(study.identity)
        n_evaluated = len(study.evaluations())
        if stored is None or not n_evaluated or stored.n_evaluated == n_evaluated:
            return False
        study.reuse = study.reuse or stored.reuse[0]
        del self.by_fingerprint[study.identity]
        store.delete(stored.run_id)
        return True

    def _disbelieve(self, stored: StoredRun, reason: str) -> None:
        del self.by_fingerprint[stored.fingerprint]
        benchmark, optimizer = stored.name
        damaged = Damaged(
            run_id=stored.run_id,
            what=f"{benchmark} {optimizer}",
            reason=reason,
            status=stored.status,
        )
        self._damaged.append(damaged)

    def _repair(self, store: Store) -> None:
        """Move damaged rows of ours to MLflow's trash, and report all damaged rows."""
        own = [one for one in self._damaged if one.ours]
        foreign = [one for one in self._damaged if not one.ours]
        store.say(f"Moved to MLflow's trash, to be trained again if needed: {one}" for one in own)
        store.say(f"Left out: {one}" for one in foreign)
        for one in own:
            store.delete(one.run_id)
        self._damaged = []

    def refusal(self, study: Study) -> str:
        """Why an earlier start refused to stack the study; empty if none did."""
        return self._refusals.get(study.identity.basis, "")

    def is_compared(self, study: Study) -> bool:
        """Whether one of the study's stacked runs was compared with a plain one."""
        own = [study.identity]
        if study.is_manual:
            own = [study.fingerprint(run) for run in study.answers]
        found = [self.by_fingerprint.get(fingerprint) for fingerprint in own]
        return any(stored is not None and stored.compared for stored in found)

    def proposals(self, study: Study) -> Proposals:
        """The rates that the study's search has proposed."""
        stored = self.by_fingerprint.get(study.identity)
        if stored is None:
            return Proposals()
        return Proposals.read(stored.proposed)

    def reuse_of(self, study: Study) -> tuple[str, bool]:
        """The mark of the study's results, and whether a machine of this class set it."""
        mark, where = "", ""
        stored = self.by_fingerprint.get(study.identity)
        if stored is not None:
            mark, where = stored.reuse
        return mark, where == machine_class(study.device)

    def trained_elsewhere(self, study: Study, run: Run) -> str:
        """The class of the machine that trained a run; empty if unknown or equal to this one's."""
        stored = self.by_fingerprint.get(study.fingerprint(run))
        if stored is None or stored.machine_class is None:
            return ""
        if stored.machine_class == machine_class(study.device):
            return ""
        return stored.machine_class

    def refute(self, store: Store, study: Study) -> None:
        """Never reuse this campaign's results of a definition again: they did not repeat."""
        basis = study.identity.basis
        for stored in list(self.by_fingerprint.values()):
            if stored.fingerprint.basis == basis:
                store.tag(stored.run_id, SUPERSEDED, REFUTED)
                del self.by_fingerprint[stored.fingerprint]

    def replaced_by(self, studies: Iterable[Study]) -> dict[str, str]:
        """What differs, by benchmark, where these studies replace others of their definitions.

        That is the engine or the budget.
        """
        wanted = {study.name: study for study in studies if not study.is_manual}
        replaced = {}
        for stored in self.by_fingerprint.values():
            study = wanted.get(stored.name)
            if study is None or stored.kind != "study" or stored.superseded:
                continue
            own = study.identity
            found = stored.fingerprint
            if found != own and found.basis == own.basis:
                is_other = isinstance(found, Fingerprint) and found.environment != own.environment
                replaced[stored.name[0]] = "engine" if is_other else "budget"
        return replaced

    def beside(self, studies: Iterable[Study]) -> dict[str, list[dict[int, RunScore]]]:
        """The tuned scores by seed of the studies that are in the report but not among these.

        They are lists by benchmark, of present definitions only.
        """
        studies = list(studies)
        selected, present = {study.name for study in studies}, Definitions(studies)
        found: dict[str, dict[str, dict[int, RunScore]]] = {}
        rates: dict[str, float] = {}
        for stored in self.by_fingerprint.values():
            is_beside = stored.name not in selected and present.are_of(stored)
            if stored.kind == "study" and is_beside and not stored.superseded:
                rates[stored.run_id] = stored.lr_and_seed[0]
                found.setdefault(stored.name[0], {})[stored.run_id] = {}
        for stored in self.by_fingerprint.values():
            lr, seed = stored.lr_and_seed
            if stored.kind == "evaluation" and stored.parent and rates.get(stored.parent) == lr:
                found[stored.name[0]][stored.parent][int(seed)] = stored.score
        return {benchmark: list(own.values()) for benchmark, own in found.items()}

    def outdated(self, studies: Iterable[Study]) -> tuple[Outdated, ...]:
        """The runs that leave the report since other definitions of these studies are present."""
        return Definitions(studies).outdated(self.by_fingerprint.values())

    def delete_unfinished(
        self, store: Store, studies: Iterable[Study], broken: Collection[Pair] = ()
    ) -> None:
        """Delete unfinished runs, and supersede runs of older definitions of these studies.

        The definitions of `broken` pairs cannot be compared: their runs are superseded as well,
        until they can be trained again. Failed runs are deleted only if a study tries them again,
        because the cause may be gone.
        """
        present = Definitions(studies)
        for stored in self._leftover:
            if stored.status != "FAILED" or present.include(stored):
                store.delete(stored.run_id)
        self._leftover = []
        self._repair(store)
        for stored in self.by_fingerprint.values():
            benchmark, _ = stored.name
            is_broken = stored.name in broken or (benchmark, None) in broken
            if is_broken or not present.are_of(stored):
                stored.supersede(store)

    def delete_duplicates(self, store: Store) -> None:
        """Delete duplicates and halves, left by writes that seemed to fail."""
        for stored in self._leftover:
            if stored.status in ("RUNNING", "FINISHED"):
                store.delete(stored.run_id)
        for one in self._damaged:
            if one.ours and one.status in ("RUNNING", "FINISHED"):
                store.delete(one.run_id)

    def reconcile(self, store: Store, study: Study, study_run: str | None) -> None:
        """After a successful study, restore its runs under `study_run`, and supersede the rest."""
        requested = {study.fingerprint(run) for run in study.answers} | {study.identity}
        rates = {(run.lr, run.seed) for run in study.answers}
        for stored in list(self.by_fingerprint.values()):  # another thread may remove some
            if stored.name != study.name or stored.is_manual != study.is_manual:
                continue
            if stored.fingerprint in requested:
                parent = study_run if stored.kind != "study" else None
                stored.restore(store, parent)
            elif not stored.is_manual or stored.lr_and_seed in rates:
                stored.supersede(store)
