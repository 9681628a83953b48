"""The report folder: tables, figures and page, each file replaced at once or not at all."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from optsuite.analysis.leaderboard import Comparison, Pairs, verdict_rows
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

    Returns the files. Raises InputError for a folder that is not ours.
    Everything but `cost.csv` and the page's links, costs and ledger is determined by the definitions alone.
    """
    own = ReportFolder(folder)
    tried, ranks = trials(runs), overall(found.table, found.scores)
    figures = drawings(runs, curves, found, tried, ranks)
    texts = {
        "leaderboard.csv": _csv(found.table),
        "learning_rates.csv": _csv(learning_rates(runs, tried)),
        "cost.csv": _csv(cost_table(runs)),
        "verdicts.json": _verdicts(found.pairs),
        "leaderboard.md": markdown(found.table, campaign, notes),
        "leaderboard.tex": latex(found.table),
    }
    for benchmark, drawn in figures.items():
        for figure in drawn:
            name = "-".join(filter(None, (name_of(benchmark), figure.name)))
            texts[f"{FIGURES}/{name}.svg"] = figure.svg.replace(">", f">{THEME}", 1)
    texts["index.html"] = page(runs, found, figures, ranks, campaign=campaign, ui=ui, notes=notes)
    own.claim(texts)
    written = [own.write(name, text) for name, text in texts.items()]
    own.close()
    return written


def _verdicts(pairs: Mapping[str, Pairs]) -> str:
    """The verdicts on all pairs as JSON."""
    rows = verdict_rows(pairs)
    for row in rows:
        row["gap"], row["p"] = _json_number(row["gap"]), _json_number(row["p"])
    return json.dumps(rows, indent=1) + "\n"


def _json_number(value: float) -> float | str:
    """To six digits; infinity, which JSON does not know, as a text."""
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def _csv(table: pd.DataFrame) -> str:
    texts = [name for name in table.columns if any(isinstance(cell, str) for cell in table[name])]
    safe = table.assign(**{name: table[name].map(_defused) for name in texts})
    return safe.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _defused(cell: object) -> object:
    """A cell that no spreadsheet computes, on one line. Names of ours begin with none of these."""
    if not isinstance(cell, str):
        return cell
    text = " ".join(cell.split()) if re.search(r"[^\S ]", cell) else cell
    return f"'{text}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else text
