"""The leaderboard for papers: a LaTeX table for booktabs."""

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
        lines = [list(texts.columns), *(list(line) for line in texts.itertuples(index=False))]
        header, *body = (" & ".join(_escaped(cell) for cell in line) + r" \\" for line in lines)
        parts += [
            f"% {' '.join(str(name).split())}",  # any end of a line would end the comment
            rf"\begin{{tabular}}{{{'l' * len(texts.columns)}}}",
            r"\toprule",
            header,
            r"\midrule",
        ]
        parts += [*body, r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
