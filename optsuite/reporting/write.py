"""The report folder: tables, figures and page, each file replaced at once or not at all."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from optsuite.analysis.leaderboard import Comparison, verdict_rows
from optsuite.analysis.learning_rates import learning_rates, trials
from optsuite.analysis.overall import overall
from optsuite.reporting.campaign_page import cost_table, name_of, page
from optsuite.reporting.figures import Curves, drawings
from optsuite.reporting.folder import FIGURES, ReportFolder
from optsuite.reporting.latex import latex
from optsuite.reporting.style import THEME
from optsuite.reporting.text import markdown


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

    Returns the files. Raises InputError for a folder that is not ours. The definitions alone
    determine everything except `cost.csv` and the page's links, costs and runs.
    """
    own = ReportFolder(folder)
    tried, across = trials(runs), overall(found)
    figures = drawings(runs, curves, found, tried, across)
    texts = {
        "overall.csv": _csv(across),
        "leaderboard.csv": _csv(found.table),
        "learning_rates.csv": _csv(learning_rates(runs, tried)),
        "cost.csv": _csv(cost_table(runs)),
        "verdicts.json": _verdicts(found),
        "leaderboard.md": markdown(found.table, campaign, notes),
        "leaderboard.tex": latex(found.table),
    }
    for benchmark, drawn in figures.items():
        for figure in drawn:
            name = f"{name_of(benchmark)}-{figure.name}" if benchmark else figure.name
            texts[f"{FIGURES}/{name}.svg"] = figure.svg.replace(">", f">{THEME}", 1)
    texts["index.html"] = page(runs, found, figures, across, campaign=campaign, ui=ui, notes=notes)
    own.claim(texts)
    written = [own.write(name, text) for name, text in texts.items()]
    own.close()
    return written


def _verdicts(found: Comparison) -> str:
    """The verdicts on all pairs as JSON."""
    rows = verdict_rows(found)
    for row in rows:
        row |= {name: _json_number(row[name]) for name in ("gap", "p", "test_gap")}
    return json.dumps(rows, indent=1) + "\n"


def _json_number(value: float) -> float | str:
    """To six digits; infinity, which JSON does not have, as text."""
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def _csv(table: pd.DataFrame) -> str:
    safe = table.copy()
    for name in table.columns:
        if any(isinstance(cell, str) for cell in table[name]):
            safe[name] = table[name].map(_defused)
    return safe.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _defused(cell: object) -> object:
    """A cell on one line that no spreadsheet computes. Our own names never start like a formula."""
    if not isinstance(cell, str):
        return cell
    text = cell
    if re.search(r"[^\S ]", cell):
        text = " ".join(cell.split())
    if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{text}"
    return text
