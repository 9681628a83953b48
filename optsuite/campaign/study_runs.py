"""The studies' own runs in the store: found or created, and ended."""

import time
from collections.abc import Mapping, Sequence

from optsuite.campaign.stored_run import StoredRun
from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Study
from optsuite.tracking.schema import (
    BENCHMARK,
    CAMPAIGN,
    ERROR,
    FINGERPRINT,
    KIND,
    NIGHT,
    OPTIMIZER,
    OUTCOME,
    PROPOSED,
    REUSE,
    REUSED_ON,
    SUITE,
    TRIED,
)
from optsuite.tracking.seal import Points, sealed
from optsuite.tracking.store import Store
from optsuite.training.equivalence.check import rates_tried
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.machine import machine_class
from optsuite.training.results import Measurement


class StudyRuns:
    """The runs of one campaign's studies themselves, beside the runs that they train."""

    def __init__(
        self, store: Store, stored: StoredRuns, *, campaign: str, suite: str, night: str | None
    ) -> None:
        self._store = store
        self._stored_runs = stored
        self._common = {CAMPAIGN: campaign, SUITE: suite}
        if night:
            self._common[NIGHT] = night
        self._ids: dict[Study, str] = {}

    def tags(self, study: Study, kind: str, fingerprint: Fingerprint) -> dict[str, str]:
        """The tags of every run of a study, and of the study itself."""
        benchmark, optimizer = study.name
        own = {KIND: kind, BENCHMARK: benchmark, OPTIMIZER: optimizer}
        return self._common | own | {FINGERPRINT: str(fingerprint)}

    def stored(self, study: Study) -> StoredRun | None:
        """The finished run that the store holds of a study."""
        return self._stored_runs.by_fingerprint.get(study.identity)

    def id(self, study: Study) -> str:
        """The id of the study's run, found in the store or created."""
        if study not in self._ids:
            stored = self.stored(study)
            self._ids[study] = stored.run_id if stored else self._create(study)
        return self._ids[study]

    def pop(self, study: Study) -> str | None:
        """Forget the study's run, and return its id if it was known."""
        return self._ids.pop(study, None)

    def finish(self, study: Study, curves: Sequence[Measurement], proposed: str) -> None:
        """Write the results of a study: `curves` are its medians, `proposed` the search's rates."""
        summary = {"score": study.score()}
        found = study.result_params()
        self._store.log(
            self.id(study), measurements=curves, summary=summary, params=found, time=time.time()
        )
        tags = {OUTCOME: "finished"}
        told = self.tags(study, "study", study.identity) | tags
        params = study.params() | study.budget() | found
        if proposed:
            tags[PROPOSED] = proposed
        self._end(study, "FINISHED", tags | sealed(told, params, summary, Points.of(curves)))

    def fail(self, study: Study, error: str) -> None:
        """End the run of a failed study, if it was created."""
        if study not in self._ids:
            return
        failed = {OUTCOME: "failed", ERROR: error}
        told = self.tags(study, "study", study.identity) | failed
        params = study.params() | study.budget()
        self._end(study, "FAILED", failed | sealed(told, params, {}, Points.of(())))

    def interrupt(self, study: Study) -> None:
        """Mark the run of an unfinished study. The next start creates it again."""
        if study in self._ids and self.stored(study) is None:
            self._store.terminate(self._ids[study], "KILLED", time.time())

    def _create(self, study: Study) -> str:
        low, high = rates_tried(study.spec)
        tags = self.tags(study, "study", study.identity)
        tags[TRIED] = f"{low!r} {high!r}"
        if study.reuse:
            tags[REUSE] = study.reuse
            tags[REUSED_ON] = machine_class(study.device)
        run_id = self._store.create(study.name[0], study.spec.name, tags, time.time())
        self._store.log(run_id, params=study.params() | study.budget(), time=time.time())
        return run_id

    def _end(self, study: Study, status: str, tags: Mapping[str, str]) -> None:
        self._store.log(self.id(study), tags=tags, time=time.time())
        self._store.terminate(self.id(study), status, time.time())
