"""Trains cells, pairs of a benchmark and an optimizer, and keeps every score in a file.

A score depends on the definition, the rate and the seed alone, so a file is named after the
definition, and a run that the file holds is not trained again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import torch

from optsuite import Suite
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.runner import studies_of
from optsuite.campaign.study import Study
from optsuite.execution.worker import Train, trainer, updates
from optsuite.registry import load_suite, select
from optsuite.training.identity import digest
from optsuite.training.plan import group
from optsuite.training.results import Measurement, Run, RunScore, score_of

FIRST_SEED, FIRST_TUNING_SEED = 500_000, 100_000  # of no campaign
FIRST_REFERENCE_SEED = 700_000
TUNINGS_APART = 100  # seeds from the first of one tuning to that of the next


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What one tuning of a cell has chosen, and how that scores.

    `scores` are of the evaluation seeds, `reference` of seeds that are used nowhere else.
    """

    lr: float
    scores: Sequence[RunScore]
    reference: Sequence[RunScore]


class Scores:
    """The scores of one cell's runs by rate and seed, in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[float, int], RunScore] = {}
        if path.exists():
            lines = path.read_text().splitlines()
            # A kill may have cut the last line.
            path.write_text("".join(f"{line}\n" for line in lines if line.endswith("}")))
            for line in lines:
                if not line.endswith("}"):
                    continue
                row = json.loads(line)
                key = row.pop("lr"), row.pop("seed")
                self._known[key] = RunScore(**row)

    def get(self, run: Run) -> RunScore | None:
        """The score of a run; None if it was not trained."""
        return self._known.get((run.lr, run.seed))

    def add(self, run: Run, score: RunScore) -> None:
        """Keep a score."""
        self._known[run.lr, run.seed] = score
        row = {"lr": run.lr, "seed": run.seed, **asdict(score)}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


class Cell:
    """One benchmark with one optimizer, tuned with any seeds in this process."""

    def __init__(self, suite: Suite, benchmark: str, optimizer: str, folder: Path) -> None:
        """Scores are kept in the folder."""
        chosen = select(suite, benchmarks=[benchmark], optimizers=[optimizer])
        self._suite = replace(chosen, first_seed=FIRST_SEED)
        (self._problem,) = _prepared(self._suite)
        self._train: Train = trainer(lambda: self._suite, "cpu")
        self._ids = count(1)
        (self._study,) = studies_of(self._suite, [self._problem], device="cpu")  # makes tasks
        name = self._study.definition.named("calibration", engine=self._study.plan.engine)
        self._scores = Scores(folder / f"{benchmark}-{optimizer}-{digest(str(name))}.jsonl")

    def tunings(self, n: int, n_reference: int) -> Iterator[Tuning]:
        """Search, confirm and evaluate `n` times, each on other tuning seeds."""
        for number in range(n):
            yield self._tuning(FIRST_TUNING_SEED + TUNINGS_APART * number, n_reference)

    def reference(self, lr: float, n_seeds: int) -> list[RunScore]:
        """The scores at a rate on reference seeds."""
        runs = []
        for seed in range(FIRST_REFERENCE_SEED, FIRST_REFERENCE_SEED + n_seeds):
            run = Run(
                benchmark=self._problem.benchmark.name,
                optimizer=self._suite.optimizers[0].name,
                lr=lr,
                seed=seed,
                kind="evaluation",
                arm="tuned",
            )
            runs.append(run)
        return self._trained(runs)

    def _tuning(self, first_tuning_seed: int, n_reference: int) -> Tuning:
        suite = replace(self._suite, first_tuning_seed=first_tuning_seed)
        (study,) = studies_of(suite, [self._problem], device="cpu")
        self._finish(study)
        if len(study.looks) > 1:
            study.add_seeds(study.looks[-1])
            self._finish(study)
        assert study.lr is not None
        scores = [study.answers[run] for run in study.evaluations()]
        return Tuning(lr=study.lr, scores=scores, reference=self.reference(study.lr, n_reference))

    def _finish(self, study: Study) -> None:
        """Answer all requests of a study."""
        while not study.ended:
            wanted = [run for run in study.requested if run.arm != "default"]
            scores = dict(zip(wanted, self._trained(wanted), strict=True))
            for run in study.requested:  # default rates take no part here
                empty = RunScore(outcome="diverged", value=float("nan"), initial_loss=0.0)
                study.answers[run] = scores.get(run, empty)
            study.advance()

    def _trained(self, runs: Sequence[Run]) -> list[RunScore]:
        """The scores of runs; those that the file lacks are trained."""
        missing = [run for run in dict.fromkeys(runs) if self._scores.get(run) is None]
        for stack in group(missing, self._study.plan.max_stack):
            self._train_stack(stack)
        found = []
        for run in runs:
            score = self._scores.get(run)
            assert score is not None
            found.append(score)
        return found

    def _train_stack(self, runs: tuple[Run, ...]) -> None:
        task = self._study.task(next(self._ids), runs)
        measured: list[list[Measurement]] = [[] for _ in runs]
        for event in updates(task, self._train):
            update = event.update
            if isinstance(update, Measurement):
                measured[event.index].append(update)
                continue
            if update.outcome == "failed":
                raise RuntimeError(f"{runs[event.index]} failed: {update.error}")
            self._scores.add(runs[event.index], score_of(measured[event.index], update.outcome))


def _prepared(suite: Suite) -> Sequence[Problem]:
    problems, skipped = prepare(suite, device="cpu")
    if skipped:
        raise RuntimeError(str(skipped[0]))
    return problems


def tune_cell(
    suite: str, n_trials: int, pair: tuple[str, str], numbers: tuple[int, int], folder: Path
) -> list[Tuning]:
    """All tunings of a cell, in a process of its own."""
    torch.set_num_threads(1)
    whole = replace(load_suite(suite), n_trials=n_trials)
    return list(Cell(whole, *pair, folder).tunings(*numbers))
