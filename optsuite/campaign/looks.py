"""Where a verdict of a benchmark is open, its optimizers are evaluated on more seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optsuite.campaign.study import Study
from optsuite.statistics.differences import to_continue
from optsuite.statistics.sign_flip import Matrix
from optsuite.training.results import RunScore, penalty


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

    def __init__(
        self, studies: Sequence[Study], beside: Mapping[str, Sequence[Mapping[int, RunScore]]] = {}
    ) -> None:
        """`beside` are tuned scores of other studies of the report, by benchmark, then by seed."""
        self._beside = beside
        self._by_benchmark: dict[str, list[Study]] = {}
        for study in studies:
            if len(study.looks) > 1:
                self._by_benchmark.setdefault(study.name[0], []).append(study)

    def at(self, study: Study) -> Decided:
        """What is decided now that a study has ended."""
        own = self._by_benchmark.get(study.name[0], [])
        if study.settled or study not in own:
            study.settled = True
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
        scores = _scores(compared, self._beside.get(own[0].name[0], ()), look)
        alive = ~np.isnan(scores).all(axis=0)
        columns = np.flatnonzero(alive)
        tolerance = waiting[0].suite.tolerance
        found = to_continue(scores[:, columns], tolerance, looks) if look < looks[-1] else set()
        wanted = [compared[columns[i]] for i in sorted(found) if columns[i] < len(compared)]
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


def _scores(
    studies: Sequence[Study], beside: Sequence[Mapping[int, RunScore]], n_seeds: int
) -> Matrix:
    """The scores (seeds, studies and those beside) that a table would compare.

    It has nan for seeds that a study lacks, and for a study that diverged on every seed. Other
    diverged runs have penalties.
    """
    own = [{run.seed: study.answers[run] for run in study.evaluations()} for study in studies]
    every = [score for scores in (*own, *beside) for score in scores.values()]
    for study in studies:  # the penalty of a benchmark is that of all its evaluations
        every += [score for run, score in study.answers.items() if run.arm == "default"]
    finished = [score.value for score in every if score.outcome == "finished"]
    worst = penalty([score.initial_loss for score in every], finished)
    first = studies[0].suite.first_seed
    matrix = np.full((n_seeds, len(own) + len(beside)), np.nan)
    for column, scores in enumerate((*own, *beside)):
        if all(score.outcome != "finished" for score in scores.values()):
            continue
        for row in range(n_seeds):
            score = scores.get(first + row)
            if score is None:
                break
            matrix[row, column] = score.value if score.outcome == "finished" else worst
    return matrix
