"""Resuming by replay: each study starts over and is answered from the store as far as possible."""

import math
from collections.abc import Iterator, Sequence

from optsuite.campaign.events import RunEnded, SeedsAdded
from optsuite.campaign.looks import Decided, Looks
from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Study
from optsuite.training.results import Run


class Replay:
    """Studies, and the runs that the store already holds of them. Writes nothing."""

    def __init__(self, studies: Sequence[Study], stored_runs: StoredRuns) -> None:
        """The order of studies is their priority."""
        self.studies = studies
        self.stored_runs = stored_runs
        for study in studies:
            study.proposals.update(stored_runs.proposals(study))
        self._looks = Looks(studies, stored_runs.beside(studies))
        self._initial_losses: dict[tuple[str, int], tuple[float, str]] = {}

    def replay(self) -> Iterator[RunEnded | SeedsAdded]:
        """Answer every study from the store, with the seeds that are added at looks."""
        waiting = list(self.studies)
        while waiting:
            study = waiting.pop(0)
            yield from self.replay_study(study)
            if study.ended and not study.settled:
                decided = self.look(study)
                yield from added(decided)
                waiting += decided.going_on

    def look(self, study: Study) -> Decided:
        """What the end of a study decides: who of its benchmark is evaluated on more seeds."""
        return self._looks.at(study)

    def replay_study(self, study: Study) -> Iterator[RunEnded]:
        """Answer one study from the store until it ends, or asks for a run that is missing."""
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
        missing: dict[str, int] = {}
        for study in self.studies:
            benchmark, _ = study.name
            missing.setdefault(benchmark, 0)
            if not study.ended:
                missing[benchmark] += study.n_runs - len(study.answers)
        return missing

    def why_unpaired(self, run: Run, initial_loss: float) -> str:
        """Why a run does not start like the earlier ones of its seed; empty if it does."""
        key = (run.benchmark, run.seed)
        first, optimizer = self._initial_losses.setdefault(key, (initial_loss, run.optimizer))
        if math.isclose(initial_loss, first, rel_tol=1e-5):  # engines differ in the last bits
            return ""
        return (
            f"validation loss at step 0 is {initial_loss:.6g}, but {first:.6g} with {optimizer}: "
            "it must depend on the seed alone"
        )


def added(decided: Decided) -> Iterator[SeedsAdded]:
    """The event of a look at which seeds are added."""
    if decided.going_on:
        names = tuple(study.spec.name for study in decided.going_on)
        yield SeedsAdded(
            benchmark=decided.going_on[0].name[0],
            optimizers=names,
            n_seeds=decided.n_seeds,
            n_runs=decided.n_more,
        )
