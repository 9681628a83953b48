"""The English about nights and what changed between two of them, made at the very end. Nothing reads it back."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from optsuite.analysis.changes import PAIR, Change, Quantity
from optsuite.analysis.trend import History, environments
from optsuite.tracking.nights import REFERENCE, Night

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
    match found.quantity:
        case "evaluations":
            return f"{found.before:.0f}", f"{found.after:.0f}"
        case "diverged":
            before, after = (f"{n:.0f} of {found.n_seeds}" for n in (found.before, found.after))
            return before, after
        case "step_time":
            before, after = (f"{time:.3g} x reference" for time in (found.before, found.after))
            return before, f"{after} ({found.gap:+.0%})"
        case _:
            return f"{found.before:.4g}", f"{found.after:.4g} ({found.gap:+.1%})"


def headline(nights: Sequence[Night], points: pd.DataFrame) -> str:
    """How the last night was, and which one broke something last."""
    if len(nights) < 2:
        return "There is nothing to compare yet: trends begin with the second night."
    how = {True: "was good", False: "was bad", None: "has not been judged"}[nights[-1].good]
    said = f"The last night, {nights[-1].campaign}, {how}."
    tuned = [i for i, night in enumerate(nights) if night.kind == REFERENCE]
    worse = points[(points["kind"] == "worse") & ~points["night"].isin(tuned)]
    if worse.empty:
        return f"{said} Nothing got worse while the rates stayed the same."
    broke = worse[worse["night"] == worse["night"].max()]
    pairs = [
        f"{row['optimizer']} on {row['benchmark']}"
        for row in broke.drop_duplicates(PAIR).to_dict("records")
    ]
    names = ", ".join(pairs[:NAMED]) + (
        f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
    )
    return f"{said} The last to make something worse was {nights[broke['night'].iloc[0]].campaign}: {names}."


def environment_changes(history: History) -> list[str]:
    """What was different about each night but its results, in a line; of the first, what it was made with."""
    lines = []
    for i, items in enumerate(environments(history)):
        said = [
            f"{name} {old or 'unknown'} → {new or 'unknown'}" if i else f"{name} {new}"
            for name, old, new in items
        ]
        tuned = ["reference: rates tuned"] if history[i][0].kind == REFERENCE else []
        lines.append(COMMIT.sub(r"\1", "; ".join([*tuned, *said])))
    return lines
