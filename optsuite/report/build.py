"""The report folder: tables, figures and page, each file replaced at once or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from optsuite.report.drawings import Curves, drawings
from optsuite.report.latex import latex
from optsuite.report.overall import overall
from optsuite.report.page import cost_table, name_of, page
from optsuite.report.search import learning_rates, trials
from optsuite.report.style import THEME
from optsuite.report.tables import Comparison
from optsuite.report.text import markdown


def build(
    runs: pd.DataFrame,
    curves: Curves,
    found: Comparison,
    folder: Path,
    *,
    campaign: str,
    ui: str,
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write the report of a campaign from its runs, their curves, and the comparison of its runs.

    Returns the files. Everything but `cost.csv` and the page's links, costs and ledger is determined by the definitions alone.
    """
    tried, ranks = trials(runs), overall(found.table, found.scores)
    figures = drawings(runs, curves, found, tried, ranks)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    _csv(folder / "leaderboard.csv", found.table)
    _csv(folder / "learning_rates.csv", learning_rates(runs, tried))
    _csv(folder / "cost.csv", cost_table(runs))
    replace_text(folder / "leaderboard.md", markdown(found.table, campaign, notes))
    replace_text(folder / "leaderboard.tex", latex(found.table))
    written = [
        folder / name for name in ("leaderboard.csv", "learning_rates.csv", "cost.csv", "leaderboard.md", "leaderboard.tex")
    ]
    for benchmark, own in figures.items():
        for figure in own:
            path = folder / "figures" / f"{'-'.join(filter(None, (name_of(benchmark), figure.name)))}.svg"
            replace_text(path, figure.svg.replace(">", f">{THEME}", 1))
            written.append(path)
    for stale in set((folder / "figures").glob("*.svg")) - set(written):
        stale.unlink()
    replace_text(folder / "index.html", page(runs, found, figures, ranks, campaign=campaign, ui=ui, notes=notes))
    return [*written, folder / "index.html"]


def _csv(path: Path, table: pd.DataFrame) -> None:
    replace_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a kill in the middle, sees the old or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
