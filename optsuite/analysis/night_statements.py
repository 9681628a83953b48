"""The English about nights and the changes between them, made last. No code reads it back."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from optsuite.analysis.changes import PAIR, Change, Quantity
from optsuite.analysis.trend import History, environments
from optsuite.tracking.nights import TUNED, Night

NAMED = 3  # optimizers in a sentence
COMMIT = re.compile(r"\b([0-9a-f]{10})[0-9a-f]{30}\b")
QUANTITIES: Mapping[Quantity, str] = {
    "evaluations": "evaluations",
    "diverged": "diverged",
    "score": "score",
    "early_train_loss": "early training loss",
    "steps_to_target": "steps to target",
    "step_time": "time of a step",
}


def change(found: Change) -> tuple[str, str]:
    """A number before and after, as people read them."""
    before, after, n_seeds = found.before, found.after, found.n_seeds
    match found.quantity:
        case "evaluations":
            return f"{before:.0f}", f"{after:.0f}"
        case "diverged":
            return f"{before:.0f} of {n_seeds}", f"{after:.0f} of {n_seeds}"
        case "step_time":
            return f"{before:.3g} x reference", f"{after:.3g} x reference ({found.gap:+.0%})"
        case _:
            return f"{before:.4g}", f"{after:.4g} ({found.gap:+.1%})"


def headline(nights: Sequence[Night], points: pd.DataFrame) -> str:
    """How the last night was, and which one broke something last."""
    if len(nights) < 2:
        return "There is nothing to compare yet: trends begin with the second night."
    how = {True: "passed", False: "failed", None: "has not been judged"}[nights[-1].passed]
    said = f"The last night, {nights[-1].campaign}, {how}."
    tuned = [i for i, night in enumerate(nights) if night.kind == TUNED]
    worse = points[(points["kind"] == "worse") & ~points["night"].isin(tuned)]
    if worse.empty:
        return f"{said} Nothing got worse while the rates stayed the same."
    broke = worse[worse["night"] == worse["night"].max()]
    pairs = []
    for row in broke.drop_duplicates(PAIR).to_dict("records"):
        pairs.append(f"{row['optimizer']} on {row['benchmark']}")
    names = ", ".join(pairs[:NAMED])
    if len(pairs) > NAMED:
        names += f" and {len(pairs) - NAMED} more"
    culprit = nights[broke["night"].iloc[0]].campaign
    return f"{said} The last to make something worse was {culprit}: {names}."


def environment_changes(history: History) -> list[str]:
    """What changed about each night except its results, in a line.

    The line of the first night has all that it was made with.
    """
    lines = []
    for i, items in enumerate(environments(history)):
        said = []
        if history[i][0].kind == TUNED:
            said.append("rates tuned")
        for name, old, new in items:
            change = f"{old or 'unknown'} → {new or 'unknown'}"
            said.append(f"{name} {change if i else new}")
        lines.append(COMMIT.sub(r"\1", "; ".join(said)))
    return lines
