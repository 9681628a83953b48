"""The progress of a campaign: bars in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from optsuite.campaign.events import (
    Event,
    Heartbeat,
    Interrupted,
    NightStarted,
    Prepared,
    Ready,
    ReuseChecked,
    RunEnded,
    RunMeasured,
    SeedsAdded,
    StudyEnded,
    StudyRestarted,
)
from optsuite.campaign.outdated import Outdated
from optsuite.training.results import Run

REPLACING = {"budget": "budget or other seeds", "engine": "engine"}
LONG_SECONDS = 10.0  # the progress within a run is shown if it takes longer
LINE_SECONDS = 30.0  # without a terminal, print a line at least this often


class Display:
    """Shows events."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._costs: Mapping[str, float] = {}
        self._totals: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._started = self._last_line = time.monotonic()
        self._under_way: dict[Run, float] = {}  # the fraction of its steps that is done
        self._to_do = 0.0  # seconds of work, as estimated at the start
        self._ready = False
        self._doing = "starting workers"
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[now]}", markup=False),
                console=console,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars:
            self._bars.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Prepared():
                self._on_prepared(event)
            case NightStarted():
                self._on_night_started(event)
            case Interrupted():
                self._console.print("Stopping. Completed runs are kept.")
            case Ready():
                self._on_ready(event)
            case ReuseChecked():
                self._on_reuse_checked(event)
            case StudyRestarted():
                self._on_study_restarted(event)
            case SeedsAdded():
                self._on_seeds_added(event)
            case Heartbeat():
                self._heartbeat()
            case RunMeasured():
                self._on_run_measured(event)
            case RunEnded():
                self._on_run_ended(event)
            case StudyEnded():
                self._on_study_ended(event)

    def _on_prepared(self, event: Prepared) -> None:
        broken = [one for one in event.skipped if one.broken]
        for one in broken:
            self._say(str(one))
        if broken:
            self._say("Their earlier results, if any, leave the report until they can be trained.")
        for line in event.notes:
            self._say(line)
        self._costs = event.seconds_per_run
        self._totals = dict(event.n_runs)
        self._left = dict(event.n_runs)
        if self._bars:
            for name, n in self._totals.items():
                self._tasks[name] = self._bars.add_task(name, total=n, now="")
            self._tasks[""] = self._bars.add_task(
                "all", total=self._n_total(), now="reading the store"
            )
            self._bars.start()

    def _on_night_started(self, event: NightStarted) -> None:
        how = "the rates are tuned, and later nights train at them"
        if event.rates_of:
            how = f"at the rates of {event.rates_of}"
        self._say(f"Night {event.campaign}: {how}")

    def _on_reuse_checked(self, event: ReuseChecked) -> None:
        """Print how the reused results compared with their repetition."""
        if event.n_same:
            studies = "1 study" if event.n_same == 1 else f"{event.n_same} studies"
            self._say(
                f"Checked reused results: one run of each of {studies}, trained again, "
                "was bit-for-bit the same"
            )
        for line in event.findings:
            self._say(line)

    def _on_study_restarted(self, event: StudyRestarted) -> None:
        self._say(f"{event.benchmark} {event.optimizer}: trained again one by one: {event.reason}")
        self._add_runs(event.benchmark, event.n_runs)

    def _on_seeds_added(self, event: SeedsAdded) -> None:
        self._add_runs(event.benchmark, event.n_runs)
        if not self._bars and self._ready:
            names = ", ".join(event.optimizers)
            self._line(f"{event.benchmark}: open, so up to {event.n_seeds} seeds of {names}")

    def _add_runs(self, benchmark: str, n_runs: int) -> None:
        self._left[benchmark] += n_runs
        self._totals[benchmark] += n_runs
        if self._bars:
            self._bars.update(self._tasks[benchmark], total=self._totals[benchmark])
            self._bars.update(self._tasks[""], total=self._n_total())

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _on_ready(self, event: Ready) -> None:
        if event.delivered:
            line = f"Delivered {event.delivered} runs that the store could not take before"
            self._console.print(line, highlight=False)
        for cause in dict.fromkeys(event.replaced.values()):
            names = ", ".join(name for name, why in event.replaced.items() if why == cause)
            self._say(
                f"{names}: earlier results had another {REPLACING[cause]} and leave the report; "
                "use another --campaign to keep both"
            )
        for one in event.outdated:
            self._say(_outdated(one))
        self._started = time.monotonic()
        self._ready = True
        self._to_do = self._work()
        n_stored = self._n_total() - sum(event.missing.values())
        runs = "1 run" if self._n_total() == 1 else f"{self._n_total()} runs"
        message = f"{runs}, {n_stored} of them in the store already"
        if self._bars:
            self._bars.update(self._tasks[""], now="starting workers")
        self._console.print(message, highlight=False)

    def _on_run_measured(self, event: RunMeasured) -> None:
        """Show the progress within a run, if runs are long."""
        run = event.run
        self._under_way[run] = event.step / event.max_steps
        loss = f"validation loss {event.validation_loss:.4g}"
        where = f"step {event.step:,} of {event.max_steps:,}, {loss}"
        self._doing = f"{run.benchmark} {run.optimizer} {run.label} {where}"
        if self._bars and self._costs[run.benchmark] > LONG_SECONDS:
            self._bars.update(self._tasks[run.benchmark], now=f"{run.optimizer} {where}")
            self._bars.update(self._tasks[""], now=self._time_left())

    def _on_run_ended(self, event: RunEnded) -> None:
        run = event.run
        self._left[run.benchmark] -= 1
        self._under_way.pop(run, None)
        if self._bars:
            doing = "evaluating" if run.kind == "evaluation" else "tuning"
            self._bars.update(self._tasks[run.benchmark], advance=1, now=f"{doing} {run.optimizer}")
            self._bars.update(self._tasks[""], advance=1, now=self._time_left())
        self._doing = f"{run.benchmark} {run.optimizer} under way"

    def _heartbeat(self) -> None:
        """Without a terminal, print a line at least every LINE_SECONDS."""
        if not self._bars and time.monotonic() - self._last_line > LINE_SECONDS:
            self._line(self._doing)

    def _on_study_ended(self, event: StudyEnded) -> None:
        what = f"{event.benchmark} {event.optimizer}"
        self._left[event.benchmark] -= event.n_unneeded
        self._totals[event.benchmark] -= event.n_unneeded
        if event.error is not None:
            line = f"{what} stopped: {event.error}"
            self._console.print(line, style="red", markup=False, highlight=False)
        elif not self._bars and not event.reused:
            self._line(f"{what} lr={event.lr:.3g} score={event.score:.4g}")
        if self._bars:
            now = "" if self._left[event.benchmark] <= 0 else "…"
            self._bars.update(self._tasks[event.benchmark], now=now)

    def _line(self, text: str) -> None:
        total = self._n_total()
        n = total - sum(self._left.values())
        line = f"{n:>5}/{total} runs  {self._time_left():<16}{text}"
        self._console.print(line, markup=False, highlight=False)
        self._last_line = time.monotonic()

    def _n_total(self) -> int:
        return sum(self._totals.values())

    def _work(self) -> float:
        """The estimated seconds of work that are left, on one worker."""
        done = 0.0
        for run, fraction in self._under_way.items():
            done += fraction * self._costs[run.benchmark]
        left = 0.0
        for name, n in self._left.items():
            left += n * self._costs[name]
        return left - done

    def _time_left(self) -> str:
        """The time left, extrapolated from the time that the work so far has taken."""
        if not self._ready:
            return ""
        left = self._work()
        done = self._to_do - left
        if done <= 0:
            return ""
        seconds = (time.monotonic() - self._started) * left / done
        if seconds < 90:
            return f"{seconds:.0f} s left"
        return f"{seconds / 60:.0f} min left"


def _outdated(one: Outdated) -> str:
    what = f"the benchmark {one.benchmark}"
    if one.optimizer:
        what = f"the optimizer {one.optimizer}"
    changed = {
        "definition": f"{what} has changed",
        "environment": f"packages, settings of torch, or the kind of device of {what} have changed",
    }
    name = f"{one.benchmark} {one.optimizer}" if one.optimizer else one.benchmark
    n_runs = "1 run leaves" if one.n_runs == 1 else f"{one.n_runs} runs leave"
    return f"{name}: {n_runs} the report, because {changed[one.cause]} since"
