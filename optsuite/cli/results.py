"""How results are printed: tables, what was skipped, and the paths of files."""

import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optsuite.analysis import statements
from optsuite.analysis.answer import advice, answer
from optsuite.analysis.leaderboard import Comparison
from optsuite.analysis.overall import overall
from optsuite.reporting.publish import Report
from optsuite.reporting.result import Preview, Result
from optsuite.reporting.text import narrowed

EXIT_CODES = {"done": 0, "failed": 1, "interrupted": 130}
RESUME = "Interrupted. Nothing is lost: rerun the command to resume."


def show_result(out: Console, result: Result) -> None:
    """Print the table of a campaign, and the path of its report."""
    assert result.report is not None
    show_report(out, result.report, result.campaign, result.leaderboard)
    if result.outcome == "interrupted":
        out.print(RESUME)


def show_report(
    out: Console, report: Report, campaign: str, table: pd.DataFrame | None = None
) -> None:
    """Print a table of a report and its path; without a table, the whole leaderboard."""
    shown = report.table() if table is None else table
    show_table(out, shown)
    show_answer(out, report.found, shown)
    for note in report.skipped:
        say(out, str(note))
    if report.not_kept:
        say(out, f"The report could not be kept in MLflow: {report.not_kept}")
    if len(shown):
        out.print(statements.LEGEND, style="dim", highlight=False)
    else:
        out.print(f"Nothing has been evaluated yet in campaign {campaign}.", highlight=False)
    out.print(f"\nReport:  {report.page}", soft_wrap=True, highlight=False)
    flag = "" if campaign == "default" else f" --campaign {campaign}"
    out.print(f"Curves:  {_command()} ui{flag}", soft_wrap=True, highlight=False)


def show_table(out: Console, table: pd.DataFrame) -> None:
    """Print a leaderboard, one table per benchmark, with as many columns as fit."""
    for name, rows in table.groupby("benchmark", sort=False):
        text = narrowed(rows, out.width)
        title = Text(str(name))
        shown = Table(*text.columns, title=title, title_justify="left", title_style="bold")
        for line in text.itertuples(index=False):
            shown.add_row(*map(Text, line))  # in a str, brackets would be markup
        out.print(shown)


def show_answer(out: Console, found: Comparison, table: pd.DataFrame) -> None:
    """Print what the benchmarks of a table say together, and the code of the first optimizer."""
    across = overall(found.part(set(table["benchmark"])))
    said = answer(across, table)
    if said:
        out.print(Text(" ".join(said), style="bold"))
    code = advice(across)
    if code:
        say(out, f"\n    {code}\n")


def show_preview(out: Console, preview: Preview) -> int:
    """Print what is to be trained; return 1 if a part of it is broken, else 0."""
    table = Table("benchmark", "runs", "in the store", "to train", "estimated minutes")
    for name, missing in preview.n_missing.items():
        n_runs = preview.n_runs[name]
        numbers = (n_runs, n_runs - missing, missing)
        table.add_row(name, *map(str, numbers), f"{preview.minutes[name]:.1f}")
    out.print(table)
    n_missing = sum(preview.n_missing.values())
    minutes = sum(preview.minutes.values())
    runs = "1 run" if n_missing == 1 else f"{n_missing} runs"
    out.print(f"{runs} to train, about {minutes:.1f} minutes on {preview.n_workers} workers.")
    for line in (*preview.notes, *map(str, preview.skipped)):
        say(out, line)
    return int(any(one.broken for one in preview.skipped))


def say(out: Console, line: str) -> None:
    """Print a line as it is, however long."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _command() -> str:
    """The command that calls this program again."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return "python -m optsuite"
    if name.is_relative_to(Path.cwd()):
        name = name.relative_to(Path.cwd())
    return str(name)
