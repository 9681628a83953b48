"""What a campaign writes to the store: the runs of its studies, and the studies' own runs."""

import time
from collections.abc import Set
from dataclasses import asdict

from optsuite.campaign.curves import Curves, curves_of, median_curves
from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Study
from optsuite.campaign.study_runs import StudyRuns
from optsuite.tracking.location import checkpoint_folder
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.run_logger import RunLogger
from optsuite.tracking.run_writer import RunWriter
from optsuite.tracking.schema import (
    ARM,
    COMPARED,
    PROPOSED,
    REFUSAL,
    REFUTED,
    REUSE,
    REUSED_ON,
    SEED,
    SUPERSEDED,
)
from optsuite.tracking.store import Store
from optsuite.training.checkpoint import remove
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.machine import machine_class
from optsuite.training.results import Run, RunResult
from optsuite.training.step_cost import Cost


class Recorder:
    """The store, as one campaign writes to it; all from one thread."""

    def __init__(
        self,
        store: Store,
        stored: StoredRuns,
        outbox: Outbox,
        *,
        campaign: str,
        suite: str,
        night: str | None = None,
    ) -> None:
        """`suite` is the name of the studies' suite, `night` the kind of night, if it is one."""
        self._store = store
        self._stored_runs = stored
        self._writer = RunWriter(store, outbox)
        self._study_runs = StudyRuns(store, stored, campaign=campaign, suite=suite, night=night)
        self._curves: dict[Study, dict[Run, Curves]] = {}
        self._recorded: dict[Study, dict[Run, str]] = {}  # ids of runs written by this start

    def run_logger(self, study: Study, run: Run) -> RunLogger:
        """A logger for one of the study's runs. Nothing is written before its first measurement."""
        tags = self._study_runs.tags(study, run.kind, study.fingerprint(run))
        tags[SEED] = str(run.seed)
        if run.arm:
            tags[ARM] = run.arm

        def parent() -> str | None:
            return None if study.is_manual else self._study_runs.id(study)

        return RunLogger(
            store=self._store,
            writer=self._writer,
            run=run,
            parent=parent,
            target=study.problem.benchmark.target,
            tags=tags,
            params=study.params() | {"lr": run.lr, "seed": run.seed},
        )

    def end(self, study: Study, run_logger: RunLogger, ended: RunResult) -> None:
        """End a run, and keep its curves if the study needs them for the median.

        The checkpoint is removed once the store holds the run. A failed run keeps it, because the
        next start tries that run again.
        """
        run = run_logger.run
        if run.arm == "tuned":
            self._curves.setdefault(study, {})[run] = curves_of(run_logger.measurements)

        def written(run_id: str) -> None:
            self._recorded.setdefault(study, {})[run] = run_id
            if ended.outcome != "failed":
                remove(checkpoint_folder(self._store.uri), study.fingerprint(run))

        run_logger.end(ended, written)

    def flush(self) -> None:
        """Write the ended runs that wait to be written together."""
        self._writer.flush()

    def finish(self, study: Study) -> None:
        """Write the results of an ended study, unless the store holds them.

        A failed study leaves earlier results as they are.
        """
        self.flush()
        if study.error is not None:
            self._study_runs.fail(study, study.error)
            return
        if study.is_manual:
            self._stored_runs.reconcile(self._store, study, None)
            return
        if self._stored_runs.drop_unlike(self._store, study):
            self._study_runs.pop(study)
        self.reopen(study)
        proposed = study.proposals.text()
        stored = self._study_runs.stored(study)
        if stored is None:
            curves = median_curves(self._tuned_curves(study))
            self._study_runs.finish(study, curves, proposed)
        elif proposed and not stored.proposed:  # an earlier optsuite did not keep them
            self._store.tag(stored.run_id, PROPOSED, proposed)
        self._stored_runs.reconcile(self._store, study, self._study_runs.id(study))

    def reopen(self, study: Study) -> None:
        """Replace the study's own run if it was stored with another number of seeds."""
        self.flush()
        if self._stored_runs.reopen(self._store, study):
            self._study_runs.pop(study)

    def mark_reuse(self, study: Study, mark: str) -> None:
        """Mark a study if its reused results are not bitwise those of this machine.

        The mark stays until the results are trained again: one run that repeats proves nothing
        about the rest.
        """
        study.reuse = mark
        stored = self._study_runs.stored(study)
        if stored is not None and stored.reuse != (mark, machine_class(study.device)):
            self._store.tag(stored.run_id, REUSE, mark)
            self._store.tag(stored.run_id, REUSED_ON, machine_class(study.device))

    def refute(self, study: Study) -> None:
        """Never reuse the stored results of a study again: they did not repeat."""
        self._stored_runs.refute(self._store, study)

    def is_compared(self, study: Study) -> bool:
        """Whether a stacked run of the study was compared with a plain one, by any start."""
        return self._stored_runs.is_compared(study)

    def mark_compared(self, study: Study, run: Run, step: int) -> None:
        """Remember that a stacked run equals a plain one up to a step.

        The mark goes to the study's own run, or to the run if its rate was given by hand.
        """
        self.flush()
        run_id = self._run_id(study, run) if study.is_manual else self._study_runs.id(study)
        if run_id is not None:
            self._store.tag(run_id, COMPARED, str(step))

    def _run_id(self, study: Study, run: Run) -> str | None:
        stored = self._stored_runs.by_fingerprint.get(study.fingerprint(run))
        if stored is not None:
            return stored.run_id
        return self._recorded.get(study, {}).get(run)

    def refuse_stacks(
        self,
        study: Study,
        identity: Fingerprint,
        run_fingerprints: Set[Fingerprint],
        reason: str,
    ) -> None:
        """Supersede stacked runs that differ from plain ones, and store the reason with the study.

        `identity` and `run_fingerprints` are those that the study had while it was stacked.
        """
        self.flush()
        known = self._stored_runs.by_fingerprint
        stored_study = known.pop(identity, None)
        stored_runs = [known.pop(fingerprint, None) for fingerprint in run_fingerprints]
        stale = set(self._recorded.pop(study, {}).values())
        for stored in (stored_study, *stored_runs):
            if stored is not None:
                stale.add(stored.run_id)
        for run_id in sorted(stale):
            self._store.tag(run_id, SUPERSEDED, REFUTED)
        self._curves.pop(study, None)
        own = self._study_runs.pop(study)
        if own is None and stored_study is not None:
            own = stored_study.run_id
        if own is None:  # runs at a rate given by hand have no study run to hold the reason
            tags = self._study_runs.tags(study, "study", identity)
            own = self._store.create(study.name[0], study.spec.name, tags, time.time())
        self._store.log(own, tags={REFUSAL: reason, SUPERSEDED: REFUTED}, time=time.time())
        self._store.terminate(own, "FINISHED", time.time())

    def knows_cost(self, study: Study) -> bool:
        """Whether the store holds the cost of a step of the study's optimizer."""
        stored = self._study_runs.stored(study)
        return stored is not None and stored.knows_cost

    def record_cost(self, study: Study, cost: Cost) -> None:
        """Write the cost of a step to the run of a finished study."""
        summary = {f"usage/{name}": value for name, value in asdict(cost).items()}
        self._store.log(self._study_runs.id(study), summary=summary, time=time.time())

    def stop_waiting(self) -> None:
        """Stop waiting for a store that does not answer."""
        self._store.retry.stop_waiting()

    def interrupt(self, study: Study) -> None:
        """Mark the run of an unfinished study. The next start creates it again."""
        self._study_runs.interrupt(study)

    def _tuned_curves(self, study: Study) -> dict[Run, Curves]:
        names = study.problem.benchmark.curves
        curves = self._curves.pop(study, {})
        for run in study.evaluations():
            if run not in curves:
                run_id = self._stored_runs.by_fingerprint[study.fingerprint(run)].run_id
                curves[run] = self._store.curves(run_id, names)
        return curves
