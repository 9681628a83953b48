"""What a person sees while a campaign goes on: bars in a terminal, plain lines elsewhere."""

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
    StudyEnded,
    StudyRestarted,
)
from optsuite.training.results import Run

LONG_SECONDS = 10.0  # a run that takes longer is followed step by step
LINE_SECONDS = 30.0  # without a terminal, a sign of life at least this often


class Display:
    """Shows events."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._costs: Mapping[str, float] = {}
        self._totals: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._started = self._last_line = time.monotonic()
        self._under_way: dict[Run, float] = {}  # which fraction of it has been trained
        self._to_do = 0.0
        self._ready = False
        self._doing = "starting workers"
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if console.is_terminal:
            text, now = (
                TextColumn(f"{{task.{field}}}", markup=False)
                for field in ("description", "fields[now]")
            )
            columns = (text, BarColumn(), MofNCompleteColumn(), now)
            self._bars = Progress(*columns, console=console)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars:
            self._bars.stop()

    def show(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Prepared():
                self._on_prepared(event)
            case NightStarted(campaign=campaign, rates_of=rates_of):
                how = (
                    f"at the rates of {rates_of}"
                    if rates_of
                    else "the rates are tuned, and later nights train at them"
                )
                self._say(f"Night {campaign}: {how}")
            case Interrupted():
                self._console.print("Stopping. What has ended is kept.")
            case Ready():
                if event.delivered:
                    self._console.print(
                        f"Delivered {event.delivered} runs that the store could not take before",
                        highlight=False,
                    )
                if event.replaced:
                    names = ", ".join(event.replaced)
                    text = f"{names}: results of another budget leave the report, and come back when it is run again;"
                    self._console.print(
                        f"{text} another --campaign keeps both",
                        markup=False,
                        highlight=False,
                        soft_wrap=True,
                    )
                self._on_ready(event.missing)
            case ReuseChecked():
                self._on_reuse_checked(event)
            case StudyRestarted():
                self._on_study_restarted(event)
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
            self._say(
                "What this campaign holds of them is left out of the report until they can be trained."
            )
        for line in event.notes:
            self._say(line)
        self._costs = event.seconds_per_run
        self._totals, self._left = dict(event.n_runs), dict(event.n_runs)
        if self._bars:
            self._tasks = {
                name: self._bars.add_task(name, total=n, now="") for name, n in self._totals.items()
            }
            self._tasks[""] = self._bars.add_task(
                "all", total=sum(self._totals.values()), now="reading the store"
            )
            self._bars.start()

    def _on_reuse_checked(self, event: ReuseChecked) -> None:
        """What became of the reused results that were trained again."""
        if event.n_same:
            studies = "1 study" if event.n_same == 1 else f"{event.n_same} studies"
            self._say(
                f"Reused results checked: one run of each of {studies} trained again gave the same bits"
            )
        for line in event.findings:
            self._say(line)

    def _on_study_restarted(self, event: StudyRestarted) -> None:
        self._say(f"{event.benchmark} {event.optimizer}: trained again one by one: {event.reason}")
        self._left[event.benchmark] += event.n_runs
        self._totals[event.benchmark] += event.n_runs
        if self._bars:
            self._bars.update(self._tasks[event.benchmark], total=self._totals[event.benchmark])
            self._bars.update(self._tasks[""], total=sum(self._totals.values()))

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _on_ready(self, missing: Mapping[str, int]) -> None:
        self._started, self._ready = time.monotonic(), True
        self._to_do = self._work()
        held = sum(self._totals.values()) - sum(missing.values())
        message = f"{sum(self._totals.values())} runs, {held} of them in the store already"
        if self._bars:
            self._bars.update(self._tasks[""], now="starting workers")
        self._console.print(message, highlight=False)

    def _on_run_measured(self, event: RunMeasured) -> None:
        """Within runs: of interest where they are long."""
        run = event.run
        self._under_way[run] = event.step / event.max_steps
        where = f"step {event.step:,} of {event.max_steps:,}, validation loss {event.validation_loss:.4g}"
        self._doing = f"{run.benchmark} {run.optimizer} lr={run.lr:.3g} seed={run.seed} {where}"
        if self._bars and self._costs[run.benchmark] > LONG_SECONDS:
            self._bars.update(self._tasks[run.benchmark], now=f"{run.optimizer} {where}")
            self._bars.update(self._tasks[""], now=self._time_left())

    def _on_run_ended(self, event: RunEnded) -> None:
        run = event.run
        self._left[run.benchmark] -= 1
        self._under_way.pop(run, None)
        if self._bars:
            doing = "tuning" if run.kind == "trial" else "evaluating"
            self._bars.update(self._tasks[run.benchmark], advance=1, now=f"{doing} {run.optimizer}")
            self._bars.update(self._tasks[""], advance=1, now=self._time_left())
        self._doing = f"{run.benchmark} {run.optimizer} under way"

    def _heartbeat(self) -> None:
        """Without a terminal, say at least every LINE_SECONDS that all is well."""
        if not self._bars and time.monotonic() - self._last_line > LINE_SECONDS:
            self._line(self._doing)

    def _on_study_ended(self, event: StudyEnded) -> None:
        what = f"{event.benchmark} {event.optimizer}"
        if event.error is not None:
            self._console.print(
                f"{what} stopped: {event.error}", style="red", markup=False, highlight=False
            )
        elif not self._bars and not event.reused:
            self._line(f"{what} lr={event.lr:.3g} score={event.score:.4g}")
        if self._bars:
            self._bars.update(
                self._tasks[event.benchmark], now="" if self._left[event.benchmark] <= 0 else "…"
            )

    def _line(self, text: str) -> None:
        n, total = sum(self._totals.values()) - sum(self._left.values()), sum(self._totals.values())
        self._console.print(
            f"{n:>5}/{total} runs  {self._time_left():<16}{text}", markup=False, highlight=False
        )
        self._last_line = time.monotonic()

    def _work(self) -> float:
        done = sum(
            fraction * self._costs[run.benchmark] for run, fraction in self._under_way.items()
        )
        return sum(n * self._costs[name] for name, n in self._left.items()) - done

    def _time_left(self) -> str:
        """Time left, from the time that the work done so far has taken."""
        if not self._ready:
            return ""
        left = self._work()
        done = self._to_do - left
        if done <= 0:
            return ""
        seconds = (time.monotonic() - self._started) * left / done
        return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"
