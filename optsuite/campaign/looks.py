"""Where a verdict of a benchmark is open, its optimizers are evaluated on more seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optsuite.campaign.study import Study
from optsuite.statistics.differences import to_continue
from optsuite.statistics.sign_flip import Matrix
from optsuite.training.results import Run, RunScore, with_penalty


@dataclass(frozen=True, kw_only=True)
class Decided:
    """The studies that a look has decided on: the settled ones, and those with `n_more` runs."""

    settled: Sequence[Study]
    going_on: Sequence[Study] = ()
    n_seeds: int = 0
    n_more: int = 0


class Looks:
    """Decides, once all studies of a benchmark have their seeds, which of them get more.

    The decision follows from the scores alone, so that every start decides alike.
    """

    def __init__(self, studies: Sequence[Study]) -> None:
        self._by_benchmark: dict[str, list[Study]] = {}
        for study in studies:
            if len(study.looks) > 1:
                self._by_benchmark.setdefault(study.name[0], []).append(study)

    def at(self, study: Study) -> Decided:
        """What is decided now that a study has ended."""
        own = self._by_benchmark.get(study.name[0], [])
        if study.settled or study not in own:
            return Decided(settled=[study])
        settled = []
        if study.error is not None:
            study.settled = True
            settled.append(study)
        waiting = [one for one in own if not one.settled]
        if not waiting or not all(one.ended and not one.under_guard for one in waiting):
            return Decided(settled=settled)
        return self._decide(own, waiting, settled)

    def _decide(
        self, own: Sequence[Study], waiting: Sequence[Study], settled: list[Study]
    ) -> Decided:
        """Compare the studies of a benchmark; those `waiting` have the seeds of this look."""
        looks = waiting[0].looks
        look = len(waiting[0].evaluations())
        compared = [one for one in own if one.error is None]
        scores = _scores(compared, look)
        alive = ~np.isnan(scores).all(axis=0)
        columns = np.flatnonzero(alive)
        tolerance = waiting[0].suite.tolerance
        found = to_continue(scores[:, columns], tolerance, looks) if look < looks[-1] else set()
        wanted = [compared[columns[i]] for i in sorted(found)]
        going_on = [one for one in waiting if one in wanted]
        following = next((n for n in looks if n > look), look)
        n_more = 0
        for one in waiting:
            if one in going_on:
                n_more += one.add_seeds(following)
            else:
                one.settled = True
                settled.append(one)
        return Decided(settled=settled, going_on=going_on, n_seeds=following, n_more=n_more)


def _scores(studies: Sequence[Study], n_seeds: int) -> Matrix:
    """The scores (seeds, studies) that a table would compare, nan for seeds that a study lacks.

    Diverged runs have penalties; a study that diverged on every seed has no scores.
    """
    answers: dict[Run, RunScore] = {}
    for study in studies:
        for run, score in study.answers.items():
            if run.arm in ("tuned", "default"):
                answers[run] = score
    values = dict(
        zip(
            answers,
            with_penalty(
                [score.value for score in answers.values()],
                [score.initial_loss for score in answers.values()],
                [score.outcome == "finished" for score in answers.values()],
            ),
            strict=True,
        )
    )
    scores = np.full((n_seeds, len(studies)), np.nan)
    for column, study in enumerate(studies):
        runs = study.evaluations()
        if all(answers[run].outcome == "diverged" for run in runs):
            continue
        for row, run in enumerate(runs[:n_seeds]):
            scores[row, column] = values[run]
    return scores
