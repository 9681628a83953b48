"""Resuming is replaying: each study starts from its beginning and is answered from the store as far as that goes."""

import math
from collections.abc import Iterator, Sequence

from optsuite.campaign.events import RunEnded
from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Study
from optsuite.training.results import Run


class Replay:
    """A named set of studies and what the store already holds of them. Writes nothing."""

    def __init__(self, studies: Sequence[Study], stored_runs: StoredRuns) -> None:
        """Studies that come first are trained first."""
        self.studies = studies
        self.stored_runs = stored_runs
        for study in studies:
            study.proposals.update(stored_runs.proposals(study))
        self._initial_losses: dict[tuple[str, int], tuple[float, str]] = {}

    def replay(self) -> Iterator[RunEnded]:
        """Answer every study from the store."""
        for study in self.studies:
            yield from self.replay_study(study)

    def replay_study(self, study: Study) -> Iterator[RunEnded]:
        """Answer one study from the store, until it asks for a run that is not there, or ends."""
        answered = True
        while answered and not study.ended:
            for run in study.requested:
                score = self.stored_runs.score(study.fingerprint(run), run)
                if run not in study.answers and score is not None:
                    study.answers[run] = score
                    self.why_unpaired(run, score.initial_loss)
                    yield RunEnded(run=run, score=score, reused=True)
            answered = all(run in study.answers for run in study.requested)
            study.advance()

    def missing(self) -> dict[str, int]:
        """How many runs each benchmark still needs."""
        missing = dict.fromkeys((study.name[0] for study in self.studies), 0)
        for study in self.studies:
            missing[study.name[0]] += 0 if study.ended else study.n_runs - len(study.answers)
        return missing

    def why_unpaired(self, run: Run, initial_loss: float) -> str:
        """What is wrong with a run that did not start where the others of its seed did; empty when it did."""
        first, optimizer = self._initial_losses.setdefault(
            (run.benchmark, run.seed), (initial_loss, run.optimizer)
        )
        if math.isclose(initial_loss, first, rel_tol=1e-5):  # engines differ in the last bits
            return ""
        return (
            f"validation loss at step 0 is {initial_loss:.6g}, but {first:.6g} with {optimizer}: "
            "it must depend on the seed alone"
        )
