"""What the store already holds of a campaign, and what of it no longer belongs there."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from optsuite.campaign.study import Study
from optsuite.tracking.query import read_rows
from optsuite.tracking.schema import COSTS, PARENT, REFUTED, SUPERSEDED
from optsuite.tracking.soundness import Damaged, require_known
from optsuite.tracking.store import Store
from optsuite.training.fingerprint import Basis, Fingerprint
from optsuite.training.legacy_fingerprint import AnyFingerprint, FormerBasis, read_fingerprint
from optsuite.training.machine import machine_class
from optsuite.training.results import Run, RunScore
from optsuite.tuning.search import Proposals

Current = dict[tuple[object, bool], set[object]]
Pair = tuple[str, str | None]  # a benchmark and an optimizer; all of them where it is None


@dataclass
class StoredRun:
    """One run in the store."""

    run_id: str
    name: tuple[str, str]  # benchmark and optimizer
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
    reuse: tuple[
        str, str
    ]  # the mark of a study whose results are not this machine's, and the class of that machine
    compared: bool
    proposed: str


class StoredRuns:
    """The runs of a campaign in the store, by fingerprint."""

    def __init__(self, rows: pd.DataFrame, damaged: Iterable[Damaged] = ()) -> None:
        """Take the rows of `read_rows`. Those that optsuite has not written are left alone."""
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
            stored = _stored_run(row, fingerprint)
            if stored.status == "FINISHED" and stored.fingerprint not in self.by_fingerprint:
                self.by_fingerprint[stored.fingerprint] = stored
            else:  # unfinished, failed, or the second of its kind
                self._leftover.append(stored)

    @classmethod
    def read(cls, store: Store, campaign: str) -> Self:
        """What the store holds now. Raises InputError if a newer optsuite wrote some of it."""
        rows = read_rows(store, campaign)
        require_known(campaign, rows.damaged)
        return cls(rows.sound, rows.damaged)

    def score(self, fingerprint: Fingerprint, run: Run) -> RunScore | None:
        """The score of a run, where the store holds it. A row that says it is another run is not believed."""
        stored = self.by_fingerprint.get(fingerprint)
        if stored is None:
            return None
        said = (stored.name, stored.lr_and_seed, stored.kind, stored.is_manual)
        if said == (
            (run.benchmark, run.optimizer),
            (run.lr, run.seed),
            run.kind,
            run.arm == "manual",
        ):
            return stored.score
        self._disbelieve(stored, "it says that it is another run than its fingerprint does")
        return None

    def drop_unlike(self, store: Store, study: Study) -> bool:
        """Delete the run of a study that says something else than the study has found out; whether there was one."""
        stored = self.by_fingerprint.get(study.identity)
        if stored is None or (
            stored.kind == "study"
            and stored.name == study.name
            and stored.lr_and_seed[0] == study.lr
        ):
            return False
        self._disbelieve(stored, "it says something else than its runs do")
        self._repair(store)
        return True

    def _disbelieve(self, stored: StoredRun, reason: str) -> None:
        del self.by_fingerprint[stored.fingerprint]
        what = " ".join(str(part) for part in stored.name)
        self._damaged.append(
            Damaged(run_id=stored.run_id, what=what, reason=reason, status=stored.status)
        )

    def _repair(self, store: Store) -> None:
        """Move what cannot be believed to MLflow's trash, and name it."""
        own = [one for one in self._damaged if one.ours]
        store.say(
            f"Moved to MLflow's trash, and trained again where it is needed: {one}" for one in own
        )
        store.say(f"Left out: {one}" for one in self._damaged if not one.ours)
        for one in own:
            store.delete(one.run_id)
        self._damaged = []

    def refusal(self, study: Study) -> str:
        """Why the study must not be stacked, as an earlier start found out; empty where nothing is known."""
        return self._refusals.get(study.identity.basis, "")

    def is_compared(self, study: Study) -> bool:
        """Whether one of its stacked runs has been compared with a plain one."""
        own = (
            [study.fingerprint(run) for run in study.answers]
            if study.is_manual
            else [study.identity]
        )
        return any(
            stored is not None and stored.compared for stored in map(self.by_fingerprint.get, own)
        )

    def proposals(self, study: Study) -> Proposals:
        """What the search of the study has proposed."""
        stored = self.by_fingerprint.get(study.identity)
        return Proposals.read(stored.proposed) if stored else Proposals()

    def reuse_of(self, study: Study) -> tuple[str, bool]:
        """How the study's results are marked, and whether that was found on a machine of this class."""
        stored = self.by_fingerprint.get(study.identity)
        mark, where = stored.reuse if stored else ("", "")
        return mark, where == machine_class(study.device)

    def trained_elsewhere(self, study: Study, run: Run) -> str:
        """The class of the machine that trained a run, where it is another than this one's; else empty."""
        stored = self.by_fingerprint.get(study.fingerprint(run))
        there = stored.machine_class if stored else None
        return there if there is not None and there != machine_class(study.device) else ""

    def refute(self, store: Store, study: Study) -> None:
        """Never use again what the store holds of this definition, in this campaign: it has not repeated."""
        basis = study.identity.basis
        for stored in list(self.by_fingerprint.values()):
            if stored.fingerprint.basis == basis:
                store.tag(stored.run_id, SUPERSEDED, REFUTED)
                del self.by_fingerprint[stored.fingerprint]

    def replaced_by(self, studies: Iterable[Study]) -> tuple[str, ...]:
        """The benchmarks on which these studies take the place of others that only had another budget."""
        wanted = {study.name: study for study in studies if not study.is_manual}
        replaced = set()
        for stored in self.by_fingerprint.values():
            study = wanted.get(stored.name)
            if study is None or stored.kind != "study" or stored.superseded:
                continue
            own = study.identity
            if stored.fingerprint != own and stored.fingerprint.basis == own.basis:
                replaced.add(stored.name[0])
        return tuple(sorted(replaced))

    def delete_unfinished(
        self, store: Store, studies: Iterable[Study], broken: Collection[Pair] = ()
    ) -> None:
        """Delete what was left unfinished, and mark as superseded what an older definition of these studies gave.

        Of what is `broken` now, nobody can say whether its definition gave what is there: it is marked as well, until it can be
        trained again. Failed runs are deleted with their studies only, which try them again: the cause may have gone.
        """
        settings, methods = _current(studies)
        for stored in self._leftover:
            if stored.status != "FAILED" or (stored.name, stored.is_manual) in methods:
                store.delete(stored.run_id)
        self._leftover = []
        self._repair(store)
        for stored in self.by_fingerprint.values():
            benchmark_hash, optimizer_hash = (
                stored.fingerprint.benchmark_hash,
                stored.fingerprint.optimizer_hash,
            )
            is_broken = stored.name in broken or (stored.name[0], None) in broken
            is_current = benchmark_hash in settings.get(
                (stored.name[0], stored.is_manual), {benchmark_hash}
            )
            is_current = is_current and optimizer_hash in methods.get(
                (stored.name, stored.is_manual), {optimizer_hash}
            )
            if is_broken or not is_current:
                _supersede(store, stored)

    def delete_duplicates(self, store: Store) -> None:
        """Delete what is there twice or only half: what seemed not to be written, when the store did not answer."""
        for stored in self._leftover:
            if stored.status in ("RUNNING", "FINISHED"):
                store.delete(stored.run_id)
        for one in self._damaged:
            if one.ours and one.status in ("RUNNING", "FINISHED"):
                store.delete(one.run_id)

    def reconcile(self, store: Store, study: Study, study_run: str | None) -> None:
        """After a study has ended well, bring back what it asked for, under its own run, and supersede the rest of its own."""
        requested = {study.fingerprint(run) for run in study.answers} | {study.identity}
        rates = {(run.lr, run.seed) for run in study.answers}
        for stored in list(self.by_fingerprint.values()):  # another thread may drop some meanwhile
            if stored.name != study.name or stored.is_manual != study.is_manual:
                continue
            if stored.fingerprint in requested:
                _restore(store, stored, study_run if stored.kind != "study" else None)
            elif not stored.is_manual or stored.lr_and_seed in rates:
                _supersede(store, stored)


def _current(studies: Iterable[Study]) -> tuple[Current, Current]:
    """The present settings of benchmarks and methods of studies, by whether rates are given."""
    settings: Current = {}
    methods: Current = {}
    for study in studies:
        for own in (study.identity, study.former or study.identity):
            methods.setdefault((study.name, study.is_manual), set()).add(own.optimizer_hash)
            # Runs at given rates follow the definitions of a comparison, never the reverse.
            for is_manual in {study.is_manual, True}:
                settings.setdefault((study.name[0], is_manual), set()).add(own.benchmark_hash)
    return settings, methods


def _supersede(store: Store, stored: StoredRun) -> None:
    """Take a run out of the report without erasing it."""
    if not stored.superseded:
        store.tag(stored.run_id, SUPERSEDED, "true")
        stored.superseded = True


def _restore(store: Store, stored: StoredRun, parent: str | None) -> None:
    if stored.superseded:
        store.tag(stored.run_id, SUPERSEDED, None)
        stored.superseded = False
    if parent is not None and stored.parent != parent:
        store.tag(stored.run_id, PARENT, parent)
        stored.parent = parent


def _stored_run(row: dict[Any, Any], fingerprint: AnyFingerprint) -> StoredRun:
    return StoredRun(
        run_id=row["run_id"],
        name=(row["benchmark"], row["optimizer"]),
        kind=row["kind"],
        is_manual=row["arm"] == "manual",
        lr_and_seed=(row["lr"], row["seed"]),
        status=row["status"],
        fingerprint=fingerprint,
        parent=row["parent"],
        superseded=row["superseded"],
        score=RunScore(
            outcome=row["outcome"], value=row["score"], initial_loss=row["initial/validation_loss"]
        ),
        knows_cost=not math.isnan(row[COSTS[0]]),
        machine_class=row["machine_class"],
        reuse=(row["reuse"] or "", row["reused_on"] or ""),
        compared=row["compared"] is not None,
        proposed=row["proposed"] or "",
    )
