"""What a campaign writes: the run of each study in the store, and the recordings of its children."""

import time
from collections.abc import Set
from dataclasses import asdict

from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Curves, Study, curves_of
from optsuite.tracking.location import checkpoint_folder
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.run_logger import RunLogger
from optsuite.tracking.schema import (
    ARM,
    BENCHMARK,
    CAMPAIGN,
    COMPARED,
    ERROR,
    FINGERPRINT,
    KIND,
    NIGHT,
    OPTIMIZER,
    OUTCOME,
    PROPOSED,
    REFUSAL,
    REFUTED,
    REUSE,
    REUSED_ON,
    SEED,
    SUITE,
    SUPERSEDED,
    TRIED,
)
from optsuite.tracking.seal import Points, sealed
from optsuite.tracking.store import Store
from optsuite.training.checkpoint import remove
from optsuite.training.equivalence.trial import rates_tried
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
        """`suite` is the name of the suite that the studies belong to, `night` the kind of night that this is."""
        self._store = store
        self._stored_runs = stored
        self._outbox = outbox
        self._common = {CAMPAIGN: campaign, SUITE: suite}
        if night:
            self._common[NIGHT] = night
        self._study_runs: dict[Study, str] = {}
        self._curves: dict[Study, dict[Run, Curves]] = {}
        self._recorded: dict[
            Study, dict[Run, str]
        ] = {}  # the ids of the runs that were written by this start

    def run_logger(self, study: Study, run: Run) -> RunLogger:
        """A new recording of one of the study's runs. Nothing is written before it has something to say."""
        own = {SEED: str(run.seed)} | ({ARM: run.arm} if run.arm else {})
        return RunLogger(
            store=self._store,
            outbox=self._outbox,
            run=run,
            parent=lambda: None if study.is_manual else self._study_run(study),
            target=study.problem.benchmark.target,
            tags=self._tags(study, run.kind, study.fingerprint(run)) | own,
            params=study.params() | {"lr": run.lr, "seed": run.seed},
        )

    def end(self, study: Study, run_logger: RunLogger, ended: RunResult) -> None:
        """End a recording, and keep its curves where the study will want their median.

        Its checkpoint goes once the store holds the run, unless the run failed: then the next start tries it again.
        """
        if run_logger.run.arm == "tuned":
            self._curves.setdefault(study, {})[run_logger.run] = curves_of(run_logger.measurements)
        run_logger.end(ended)
        if run_logger.run_id is not None:
            self._recorded.setdefault(study, {})[run_logger.run] = run_logger.run_id
        if ended.outcome != "failed":
            remove(checkpoint_folder(self._store.uri), study.fingerprint(run_logger.run))

    def finish(self, study: Study) -> None:
        """Write what a study that has ended found out, unless the store knows it all. One that failed settles nothing."""
        if study.error is not None:
            if study in self._study_runs:
                failed = {OUTCOME: "failed", ERROR: study.error}
                told = self._tags(study, "study", study.identity) | failed
                self._end_study(
                    study,
                    "FAILED",
                    failed | sealed(told, study.params() | study.budget(), {}, Points.of(())),
                )
            return
        if study.is_manual:
            self._stored_runs.reconcile(self._store, study, None)
            return
        if self._stored_runs.drop_unlike(self._store, study):
            self._study_runs.pop(study, None)
        stored = self._stored_runs.by_fingerprint.get(study.identity)
        proposed = {PROPOSED: text} if (text := study.proposals.text()) else {}
        if (
            stored is not None and not stored.proposed and proposed
        ):  # it is of an optsuite that did not keep them
            self._store.tag(stored.run_id, PROPOSED, text)
        if stored is None:
            curves, summary, ended = (
                study.median_curves(self._tuned_curves(study)),
                {"score": study.score()},
                {OUTCOME: "finished"},
            )
            run_id = self._study_run(study)
            self._store.log(
                run_id,
                measurements=curves,
                summary=summary,
                params=study.result_params(),
                time=time.time(),
            )
            told = self._tags(study, "study", study.identity) | ended
            params = study.params() | study.budget() | study.result_params()
            self._end_study(
                study,
                "FINISHED",
                ended | proposed | sealed(told, params, summary, Points.of(curves)),
            )
        self._stored_runs.reconcile(self._store, study, self._study_run(study))

    def mark_reuse(self, study: Study, mark: str) -> None:
        """Mark a study whose reused results are not bit for bit those of this machine.

        The mark stays until they are trained again: that one run repeats says nothing of the others.
        """
        study.reuse = mark
        stored = self._stored_runs.by_fingerprint.get(study.identity)
        if stored is not None and stored.reuse != (mark, machine_class(study.device)):
            self._store.tag(stored.run_id, REUSE, mark)
            self._store.tag(stored.run_id, REUSED_ON, machine_class(study.device))

    def refute(self, study: Study) -> None:
        """Never use again what the store holds of a study: it has not repeated."""
        self._stored_runs.refute(self._store, study)

    def is_compared(self, study: Study) -> bool:
        """Whether the store says that a stacked run of the study was compared with a plain one."""
        return self._stored_runs.is_compared(study)

    def mark_compared(self, study: Study, run: Run, step: int) -> None:
        """Remember that a stacked run of the study equals a plain one up to a step: with the run, where it has no study."""
        run_id = self._run_id(study, run) if study.is_manual else self._study_run(study)
        if run_id is not None:
            self._store.tag(run_id, COMPARED, str(step))

    def _run_id(self, study: Study, run: Run) -> str | None:
        stored = self._stored_runs.by_fingerprint.get(study.fingerprint(run))
        return stored.run_id if stored else self._recorded.get(study, {}).get(run)

    def refuse_stacks(
        self,
        study: Study,
        identity: Fingerprint,
        run_fingerprints: Set[Fingerprint],
        reason: str,
    ) -> None:
        """Supersede the stacked runs of a study that part from plain ones, and remember the reason with its own run.

        `identity` and `run_fingerprints` are those that it had when it was stacked.
        """
        refused = (identity, *sorted(run_fingerprints, key=str))
        stored = [self._stored_runs.by_fingerprint.pop(one, None) for one in refused]
        stale = {one.run_id for one in stored if one is not None} | set(
            self._recorded.pop(study, {}).values()
        )
        for run_id in sorted(stale):
            self._store.tag(run_id, SUPERSEDED, REFUTED)
        self._curves.pop(study, None)
        own = self._study_runs.pop(study, None) or (stored[0].run_id if stored[0] else None)
        if own is None:  # runs at a given rate have no study that could remember
            own = self._store.create(
                study.name[0], study.spec.name, self._tags(study, "study", identity), time.time()
            )
        self._store.log(own, tags={REFUSAL: reason, SUPERSEDED: REFUTED}, time=time.time())
        self._store.terminate(own, "FINISHED", time.time())

    def knows_cost(self, study: Study) -> bool:
        """Whether the store holds what a step of the study's optimizer costs."""
        stored = self._stored_runs.by_fingerprint.get(study.identity)
        return stored is not None and stored.knows_cost

    def record_cost(self, study: Study, cost: Cost) -> None:
        """Write what a step costs to the run of a finished study."""
        summary = {f"usage/{name}": value for name, value in asdict(cost).items()}
        self._store.log(self._study_run(study), summary=summary, time=time.time())

    def stop_waiting(self) -> None:
        """Do not wait for a store that does not answer."""
        self._store.retry.stop_waiting()

    def interrupt(self, study: Study) -> None:
        """Mark the run of a study that has not ended as such. The next start makes it anew."""
        if study in self._study_runs and study.identity not in self._stored_runs.by_fingerprint:
            self._store.terminate(self._study_runs[study], "KILLED", time.time())

    def _end_study(self, study: Study, status: str, tags: dict[str, str]) -> None:
        self._store.log(self._study_run(study), tags=tags, time=time.time())
        self._store.terminate(self._study_run(study), status, time.time())

    def _tuned_curves(self, study: Study) -> dict[Run, Curves]:
        names = study.problem.benchmark.curves
        curves = self._curves.pop(study, {})
        for run in study.evaluations():
            if run not in curves:
                run_id = self._stored_runs.by_fingerprint[study.fingerprint(run)].run_id
                curves[run] = self._store.curves(run_id, names)
        return curves

    def _study_run(self, study: Study) -> str:
        """The study's own run in the store, found or created."""
        if study not in self._study_runs:
            stored = self._stored_runs.by_fingerprint.get(study.identity)
            self._study_runs[study] = stored.run_id if stored else self._create(study)
        return self._study_runs[study]

    def _create(self, study: Study) -> str:
        low, high = rates_tried(study.spec)
        tags = self._tags(study, "study", study.identity) | {TRIED: f"{low!r} {high!r}"}
        if study.reuse:
            tags |= {REUSE: study.reuse, REUSED_ON: machine_class(study.device)}
        run_id = self._store.create(study.name[0], study.spec.name, tags, time.time())
        self._store.log(run_id, params=study.params() | study.budget(), time=time.time())
        return run_id

    def _tags(self, study: Study, kind: str, fingerprint: Fingerprint) -> dict[str, str]:
        benchmark, optimizer = study.name
        own = {KIND: kind, BENCHMARK: benchmark, OPTIMIZER: optimizer}
        return self._common | own | {FINGERPRINT: str(fingerprint)}
