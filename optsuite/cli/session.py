"""What run, train and report do once their input has been checked, up to the exit code."""

import signal
import sys
from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optsuite.campaign.drive import drive, missing
from optsuite.campaign.held import Pair
from optsuite.campaign.prepare import Problem, Skipped, broken_pairs
from optsuite.campaign.study import Study
from optsuite.cli.console import console
from optsuite.cli.progress import Display
from optsuite.errors import BadInput, one_line
from optsuite.execution.pool import Pool
from optsuite.redact import redact
from optsuite.report.build import build
from optsuite.report.grids import UI
from optsuite.report.tables import comparison, leaderboard
from optsuite.report.text import LEGEND, narrowed, readable
from optsuite.tracking.location import require_campaign, tracking_uri
from optsuite.tracking.reading import read_curves, read_runs
from optsuite.tracking.store import open_store

REPORT = Path("mlruns/report")
INTERRUPTED = 130


class Session:
    """One call of run or train."""

    def __init__(
        self, suite: str, campaign: str, pool: Pool, problems: Sequence[Problem], *, trust_store: bool = False
    ) -> None:
        """`suite` is the suite's name. `trust_store` reuses results that have not been checked."""
        self._trust_store = trust_store
        self._suite = suite
        self._campaign = campaign
        self._pool = pool
        self._costs = {p.benchmark.name: p.seconds_per_run for p in problems}
        self._uri = tracking_uri()
        self._console = console()

    def run(self, studies: Sequence[Study], skipped: Sequence[Skipped], night: str | None = None) -> int:
        """Bring the studies to their end and report."""
        for one in skipped:
            if one.broken:
                self._say(str(one))
        broken = broken_pairs(skipped)
        if broken:
            self._say("What this campaign holds of them is left out of the report until they can be trained.")
        code = self._drive(studies, night, broken) or int(bool(broken))
        asked = {study.name[0] for study in studies}
        _report(self._console, self._uri, self._campaign, REPORT, skipped, asked)
        if code == INTERRUPTED:
            self._console.print("Interrupted. Nothing is lost: the same command goes on from here.")
        return code

    def train(self, study: Study) -> int:
        """Train the runs of a given rate and show their row."""
        code = self._drive([study])
        benchmark, optimizer = study.name
        runs = read_runs(open_store(self._uri), self._campaign)
        own = (runs["benchmark"] == benchmark) & (runs["optimizer"] == optimizer) & (runs["arm"] == "given")
        _show(self._console, leaderboard(runs[own & (runs["lr"] == study.lr)]))
        return code

    def dry_run(self, studies: Sequence[Study], skipped: Sequence[Skipped]) -> int:
        """Say what there is to train."""
        left = missing(studies, uri=self._uri, campaign=self._campaign)
        table = Table("benchmark", "runs", "in the store", "to train", "estimated minutes")
        total = 0.0
        for name, n in left.items():
            n_runs = sum(study.n_runs for study in studies if study.name[0] == name)
            minutes = n * self._costs[name] / self._pool.n_workers / 60
            total += minutes
            table.add_row(name, str(n_runs), str(n_runs - n), str(n), f"{minutes:.1f}")
        self._console.print(table)
        n_workers = self._pool.n_workers
        self._console.print(f"{sum(left.values())} runs, about {total:.1f} minutes on {n_workers} workers.")
        for line in _notes(studies):
            self._say(line)
        _show_skipped(self._console, skipped)
        return int(any(one.broken for one in skipped))

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _drive(self, studies: Sequence[Study], night: str | None = None, broken: Collection[Pair] = ()) -> int:
        totals: dict[str, int] = {}
        for study in studies:
            totals[study.name[0]] = totals.get(study.name[0], 0) + study.n_runs
        unsaved = _unsaved(studies) if self._pool.checkpoints else ()
        for line in (*_notes(studies), *_one_by_one(studies), *unsaved):
            self._say(line)
        interrupted: list[int] = []
        with Display(self._console, self._costs, totals) as display, _interrupts(self._console, interrupted):
            events = drive(
                studies,
                uri=self._uri,
                campaign=self._campaign,
                suite=self._suite,
                pool=self._pool,
                stop=lambda: bool(interrupted),
                night=night,
                trust_store=self._trust_store,
                broken=broken,
            )
            for event in events:
                display.show(event)
        if interrupted:
            return INTERRUPTED
        return 1 if display.n_failed else 0


def _notes(studies: Sequence[Study]) -> Iterator[str]:
    """What a person should know of the benchmarks, a line for each."""
    yield from dict.fromkeys(note for study in studies for note in study.problem.notes)


def _one_by_one(studies: Sequence[Study]) -> Iterator[str]:
    """What cannot be stacked, wholly or in part, and why, in a line for each benchmark and reason."""
    plans = {study.name: (study.plan.engine, study.plan.reason) for study in studies}
    for benchmark, engine, reason in dict.fromkeys((name[0], *plan) for name, plan in plans.items() if plan[1]):
        own = [name for name in plans if name[0] == benchmark]
        named = [name[1] for name in own if plans[name] == (engine, reason)]
        which = f" {', '.join(named)}" if len(named) < len(own) else ""
        how = "trained" if engine == "plain" else "stepped"
        yield f"{benchmark}{which}: {how} one by one: {reason}"


def _unsaved(studies: Sequence[Study]) -> Iterator[str]:
    """Where checkpoints were asked for and none are saved, in one line."""
    names = dict.fromkeys(study.name[0] for study in studies if study.plan.engine != "plain")
    if names:
        yield f"{', '.join(names)}: trained in stacks, which save no checkpoints; --engine plain trains one by one"


def report(campaign: str, out: Path) -> int:
    """Build the report of a campaign from the store."""
    uri = tracking_uri()
    require_campaign(uri, campaign)
    _report(console(), uri, campaign, out, ())
    return 0


def _report(
    out: Console, uri: str, campaign: str, folder: Path, skipped: Sequence[Skipped], asked: Set[str] | None = None
) -> None:
    """Build the report of the campaign, and show the tables of the benchmarks that were asked for; all where None."""
    store = open_store(uri)
    runs, curves = read_runs(store, campaign), partial(read_curves, store, names=["validation/loss"])
    found = comparison(runs)
    table = found.table if asked is None else found.table[found.table["benchmark"].isin(asked)]
    _show(out, table)
    _show_skipped(out, skipped)
    notes = [str(one) if one.broken else f"Skipped {one.benchmark}: its dataset is not there." for one in skipped]
    try:
        ui = UI if store.is_database else redact(uri)
        files = build(runs, curves, found, folder, campaign=campaign, ui=ui, notes=notes)
    except OSError as error:
        raise BadInput(
            f"report folder: got {folder}, which cannot be written ({error.strerror or error}); allowed: another --out"
        ) from error
    try:
        store.attach_report(campaign, folder, files)
    except Exception as error:  # whatever an artifact store may raise: the report itself is there
        cause = redact(one_line(error))
        out.print(f"The report could not be kept in MLflow: {cause}", markup=False, highlight=False, soft_wrap=True)
    if len(table):
        out.print(LEGEND, style="dim", highlight=False)
    else:
        out.print(f"Nothing has been evaluated yet in campaign {campaign}.", highlight=False)
    out.print(f"\nReport:  {folder / 'index.html'}", soft_wrap=True, highlight=False)
    flag = "" if campaign == "default" else f" --campaign {campaign}"
    out.print(f"Curves:  {_command()} ui{flag}", soft_wrap=True, highlight=False)


def _show(out: Console, table: pd.DataFrame) -> None:
    for name, rows in table.groupby("benchmark", sort=False):
        text = narrowed(readable(rows), out.width)
        shown = Table(*text.columns, title=Text(str(name)), title_justify="left", title_style="bold")
        for line in text.itertuples(index=False):
            shown.add_row(*(Text(cell) for cell in line))  # not a str, in which brackets would be markup
        out.print(shown)


def _show_skipped(out: Console, skipped: Sequence[Skipped]) -> None:
    for one in skipped:
        out.print(str(one), markup=False, highlight=False, soft_wrap=True)


def _command() -> str:
    """How this program was called, as a person would call it again."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return "python -m optsuite"
    return str(name.relative_to(Path.cwd())) if name.is_relative_to(Path.cwd()) else str(name)


@contextmanager
def _interrupts(out: Console, received: list[int]) -> Iterator[None]:
    """Collect the first Ctrl-C or SIGTERM in `received`, so that all can be left tidy; a second one stops at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        out.print("Stopping. What has ended is kept.")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
