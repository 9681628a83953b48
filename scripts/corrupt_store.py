"""Damages a small finished campaign in many ways, then runs and reports: no silent change allowed.

    python scripts/corrupt_store.py [PART OF AN EDIT'S NAME ...]

Prints a line for each edit: the outcomes and messages of `report` and `run`. Exits with 1 after a
traceback, an unexpected error, or a table that changed without a message.
"""

import contextlib
import io
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from store_damage import CAMPAIGN, Apply
from store_edits import EDITS
from torch import nn

from optsuite import OPTIMIZERS, Benchmark, Splits, Suite
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.runner import studies_of
from optsuite.campaign.session import Session
from optsuite.cli.console import console
from optsuite.cli.progress import Display
from optsuite.cli.results import show_report
from optsuite.errors import InputError, StoreUnavailableError, one_line
from optsuite.execution.options import ExecutionOptions
from optsuite.execution.pool import RunUpdate, Task, TaskLost
from optsuite.execution.worker import trainer, updates
from optsuite.reporting.publish import publish
from optsuite.tracking.location import tracking_uri

TABLES = ("leaderboard.csv", "learning_rates.csv")


def line() -> Splits:
    """A line in three dimensions, with noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [3.0]]) + 0.1 * torch.randn(96, 1, generator=generator)
    return Splits(train=(x[:64], y[:64]), validation=(x[64:80], y[64:80]), test=(x[80:], y[80:]))


SUITE = Suite(
    name="small",
    benchmarks=(
        Benchmark(
            name="line",
            dataset=line,
            model=partial(nn.Linear, 3, 1),
            loss=F.mse_loss,
            batch_size=16,
            max_steps=20,
            eval_every=5,
        ),
    ),
    optimizers=(OPTIMIZERS["sgd"], OPTIMIZERS["adam"]),
    n_trials=3,
    n_seeds=3,
)


class Inline:
    """A pool that trains in this process, a task at a poll."""

    n_workers = 1
    checkpoints = None

    def __init__(self) -> None:
        self._tasks: list[Task] = []
        self._train = trainer(lambda: SUITE, "cpu")

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.append(task)

    def cancel(self, task: int) -> None:
        """Forget a task."""
        self._tasks = [other for other in self._tasks if other.id != task]

    def poll(self, timeout: float) -> Sequence[RunUpdate | TaskLost]:
        """Train a task."""
        return list(updates(self._tasks.pop(0), self._train))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an edit: of the table, by `report` and then by `run`, and what was said."""

    report: str
    run: str
    said: str

    @property
    def is_silent(self) -> bool:
        """Whether something went wrong that must not."""
        return any(text.startswith(("CHANGED", "RAW")) for text in (self.report, self.run))


def _report() -> None:
    """What the command `report` does."""
    show_report(console(), publish(tracking_uri(), CAMPAIGN, Path("mlruns/report")), CAMPAIGN)


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """A finished campaign in a folder, its tables, and what `run` needs to go on with it."""

    folder: Path
    tables: tuple[str, ...]
    problems: Sequence[Problem]

    @classmethod
    def finish(cls, folder: Path) -> "Campaign":
        """Train it in a folder."""
        problems, _ = prepare(SUITE, device="cpu")
        own = cls(folder=folder, tables=(), problems=problems)
        with contextlib.chdir(folder):
            own.run()
        return cls(folder=folder, tables=_tables(folder), problems=problems)

    def run(self) -> None:
        """What the command `run` does."""
        out = console()
        with Display(out) as display:
            session = Session(
                suite=SUITE,
                campaign=CAMPAIGN,
                uri=tracking_uri(),
                pool=Inline(),
                problems=self.problems,
                skipped=(),
                options=ExecutionOptions(),
                listener=display.show,
            )
            session.run(studies_of(SUITE, self.problems, device="cpu"))
        _report()

    def try_edit(self, apply: Apply, folder: Path) -> Outcome:
        """Edit a copy, report, and run."""
        shutil.copytree(self.folder, folder, symlinks=True)
        apply(folder)
        with contextlib.chdir(folder):
            reported, heard = self._heard(folder, _report)
            healed, more = self._heard(folder, self.run)
            if healed == "left out, and named":
                healed = "CHANGED for good"
        return Outcome(report=reported, run=healed, said=" | ".join(dict.fromkeys(heard + more)))

    def _heard(self, folder: Path, call: Callable[[], object]) -> tuple[str, list[str]]:
        """How a call ended, and what it said besides its tables."""
        log, out = io.StringIO(), io.StringIO()
        handler = logging.StreamHandler(log)
        logging.getLogger("optsuite").addHandler(handler)
        shutil.rmtree(folder / "mlruns" / "report", ignore_errors=True)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(log):
                call()
        except (InputError, StoreUnavailableError) as error:
            return "refused in one line", [*log.getvalue().splitlines(), one_line(error)]
        except Exception as error:
            return f"RAW {type(error).__name__}", [*log.getvalue().splitlines(), one_line(error)]
        finally:
            logging.getLogger("optsuite").removeHandler(handler)
        said = log.getvalue().splitlines()
        said += [
            text
            for text in out.getvalue().splitlines()
            if text.startswith(("The report could not", "Broken"))
        ]
        if _tables(folder) == self.tables:
            return "healed" if said else "unchanged", said
        return "left out, and named" if said else "CHANGED in silence", said


def _tables(folder: Path) -> tuple[str, ...]:
    paths = [folder / "mlruns" / "report" / name for name in TABLES]
    return tuple(path.read_text() if path.exists() else "" for path in paths)


def main(wanted: Sequence[str]) -> int:
    """Try all edits whose names hold one of these words; all of them without words."""
    chosen = {
        name: apply
        for name, apply in EDITS.items()
        if not wanted or any(word in name for word in wanted)
    }
    warnings.simplefilter("ignore")
    logging.getLogger("optsuite").propagate = False
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    failed = []
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_STATE_HOME"] = place
        base = Path(place) / "base"
        base.mkdir()
        with contextlib.redirect_stdout(io.StringIO()):
            campaign = Campaign.finish(base)
        for number, (name, apply) in enumerate(chosen.items()):
            outcome = campaign.try_edit(apply, Path(place) / f"copy-{number}")
            failed += [name] if outcome.is_silent else []
            print(
                f"{name:44} | report: {outcome.report:20} | run: {outcome.run:20} | {outcome.said}",
                flush=True,
            )
            shutil.rmtree(Path(place) / f"copy-{number}")
    print(f"{len(chosen)} edits, {len(failed)} went wrong: {', '.join(failed) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
