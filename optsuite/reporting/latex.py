"""The leaderboard for papers: a LaTeX table for booktabs."""

from collections.abc import Iterable

import pandas as pd

from optsuite.reporting.text import as_text, shown

SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def latex(table: pd.DataFrame) -> str:
    """A `tabular` for each benchmark; needs the package booktabs."""
    parts = ["% needs \\usepackage{booktabs}"]
    for name, rows in table.groupby("benchmark", sort=False):
        columns, own = shown(rows)
        texts = as_text([column for column in columns if column.in_papers], own)
        parts += [
            f"% {' '.join(str(name).split())}",  # a line break would end the comment
            rf"\begin{{tabular}}{{{'l' * len(texts.columns)}}}",
            r"\toprule",
            _line(texts.columns),
            r"\midrule",
        ]
        parts += [_line(row) for row in texts.itertuples(index=False)]
        parts += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts) + "\n"


def _line(cells: Iterable[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
