"""The English about results, made last from verdicts and numbers. No code reads it back."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from optsuite.analysis.calibration import Calibration
from optsuite.statistics.seeds_needed import FEWEST_SEEDS

Row = Mapping[Any, Any]
LISTED = 7  # names in a sentence
MAX_SEEDS_SHOWN = 1_000  # more seeds than this are not worth counting


def amount(gap: float) -> str:
    """A relative gap: a percentage, a factor where it exceeds two, nothing where it is infinite."""
    word = "worse" if gap > 0 else "better"
    size = abs(gap)
    if math.isinf(size):
        return word
    if size > 0.9995:
        return f"{size + 1:.3g}x {word}"
    if size >= 0.001:
        return f"{size:.1%} {word}"
    return f"{size * 100:.1g}% {word}"


def verdict(row: Row) -> str:
    """The verdict on a row of the leaderboard."""
    if row["arm"] == "default" and row["verdict"] in VERSUS_TUNED:
        return f"{VERSUS_TUNED[row['verdict']](row['gap'])} {PREPOSITION[row['verdict']]} tuned"
    return VERDICTS[row["verdict"]](row)


def standing(row: Row) -> str:
    """The verdict on a ranked row in a word, and its gap to the lowest score."""
    word, gap = STANDINGS[row["verdict"]], row["gap"]
    if not gap or math.isinf(gap):
        return word
    if gap < 1:
        return f"{word} {round(gap, 3) + 0.0:+.1%}"  # adding 0 removes the sign of -0.0
    return f"{word} {gap + 1:.3g}x"


def default_rate(row: Row) -> str:
    """The default rate of a tuned row, and how its score compares with the tuned one."""
    if row["arm"] != "tuned" or pd.isna(row["default_lr"]):
        return ""
    rate, found = f"{row['default_lr']:.3g}", row["default_verdict"]
    if found in VERSUS_TUNED:
        return f"{rate}: {VERSUS_TUNED[found](row['default_gap'])}"
    return f"{rate}: {UNRANKED[found]}"


def warnings(row: Row) -> str:
    """What may mislead in a row of the leaderboard; empty where there is nothing."""
    if not row["warnings"]:
        return ""
    codes = row["warnings"].split(";")
    return "; ".join(WARNINGS[code](row) for code in codes)


def headline(rows: Sequence[Row]) -> str:
    """One sentence on a benchmark from the ranked rows of its leaderboard, best first."""
    if not rows:
        return "Nothing is ranked yet."
    first = rows[0]["optimizer"]
    if len(rows) == 1:
        return f"Only {first} is ranked."
    near = [row["optimizer"] for row in rows[1:] if row["verdict"] != "worse"]
    beaten = [row["optimizer"] for row in rows[1:] if row["verdict"] == "worse"]
    if not near:
        return f"{first} is best: better than {listed(beaten)}."
    rest = "."
    if beaten:
        verb = "is" if len(beaten) == 1 else "are"
        rest = f"; {listed(beaten)} {verb} worse."
    standings = {row["verdict"] for row in rows if row["optimizer"] not in beaten}
    if standings == {"tied"}:
        return f"{listed([first, *near])} are tied for best{rest}"
    return f"{first} leads, but {listed(near)} may be as good{rest}"


def protocol(budgets: pd.DataFrame) -> str:
    """The budget of a comparison, from the columns BUDGET of its finished studies."""
    if budgets.empty:
        return "No study is complete yet."
    if len(budgets.drop_duplicates()) > 1:
        return (
            "Not all studies had the same numbers of trials and seeds; "
            "only those that had are ranked against each other."
        )
    budget = budgets.iloc[0]
    confirmed = ""
    if budget["n_confirmation_seeds"] and budget["n_trials"] > 1:
        n_seeds = f"{budget['n_confirmation_seeds']:.0f}"
        confirmed = f", confirmed by the rates around the best on {n_seeds} more seeds"
    more = ""
    if budget["max_seeds"]:
        more = f"; up to {budget['max_seeds']:.0f} where a verdict was open"
    return (
        f"Every optimizer had the same steps, {budget['n_trials']:.0f} trials to tune its learning "
        f"rate on validation data{confirmed}, and {budget['n_seeds']:.0f} fresh seeds, the same "
        f"for all{more}. "
        "A lower score is better."
    )


def calibration(last: Calibration) -> str:
    """How far verdicts held when the default suite was tuned anew."""
    return (
        f"Each optimizer was tuned once. Of pairs of tunings of one optimizer on other seeds, "
        f"{last.alarms:.1%} ({last.low:.1%} to {last.high:.1%}) were called different, and "
        f"{last.covered:.0%} of the intervals held the mean over tunings: measured on {last.date} "
        f"with {last.version}, {last.n_tunings} tunings of each of {last.n_cells} pairs of a "
        "benchmark and an optimizer of the default suite; the table is docs/calibration.md of "
        "optsuite's source."
    )


def target_note(kind: str, target: str) -> str:
    """What is wrong with the target of a benchmark, from its `difficulty`."""
    if kind == "too_hard":
        return f"No run reached the target, {target}: it is too hard for this budget."
    when = "at the first measurement after step 0"
    return f"Every run reached the target, {target}, {when}: it is too easy."


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence; of many, the first ones and the number of the others."""
    if len(names) == 1:
        return names[0]
    *some, last = names
    if len(names) > LISTED:
        some = some[: LISTED - 1]
        last = f"{len(names) - LISTED + 1} others"
    return f"{', '.join(some)} and {last}"


def _open(row: Row) -> str:
    n_seeds, n_more = row["seeds"], row["seeds_needed"]
    if n_seeds < FEWEST_SEEDS:
        remedy = f"needs at least {FEWEST_SEEDS} seeds, not {n_seeds}"
    elif pd.isna(n_more):
        remedy = "more seeds would not resolve it"
    elif n_more > MAX_SEEDS_SHOWN:
        remedy = f"over {MAX_SEEDS_SHOWN:,} more seeds"
    else:
        remedy = f"about {n_more} more seeds"
    return f"open: {amount(row['gap'])} ({remedy})"


def _other_budget(row: Row) -> str:
    tuning = f"{row['trials']} trials on {row['tuning_seeds']} tuning seeds"
    if pd.notna(row["confirmation_seeds"]) and row["confirmation_seeds"]:
        tuning += f", the best on {row['confirmation_seeds']} more"
    return f"not ranked: {tuning}, {row['seeds']} seeds"


def _of_seeds(name: str, words: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]} of {row['seeds']} {words}"


UNRANKED = {
    "manual": "not ranked",
    "incomplete": "study incomplete",
    "diverged": "diverged on every seed",
    "failed": "failed",
}
VERDICTS: Mapping[str, Callable[[Row], str]] = {
    "best": lambda row: "best",
    "tied": lambda row: "tied with best",
    "leads": lambda row: "best so far",
    "alone": lambda row: "nothing to compare with",
    "worse": lambda row: amount(row["gap"]),
    "open": _open,
    "manual": lambda row: UNRANKED["manual"],
    "incomplete": lambda row: UNRANKED["incomplete"],
    "diverged": lambda row: UNRANKED["diverged"],
    "failed": lambda row: f"{row['failed']} failed" if row["seeds"] else UNRANKED["failed"],
    "other_budget": _other_budget,
}
STANDINGS = {
    "best": "best",
    "tied": "tied",
    "alone": "best",
    "leads": "leads",
    "open": "open",
    "worse": "worse",
}
CERTAINTIES = {"certain": "certain", "tie": "a tie", "open": "open", "": ""}
VERSUS_TUNED: Mapping[str, Callable[[float], str]] = {
    "better": amount,
    "worse": amount,
    "tied": lambda gap: "as good",
    "open": lambda gap: "not told apart",
}
PREPOSITION = {"better": "than", "worse": "than", "tied": "as", "open": "from"}
WARNINGS: Mapping[str, Callable[[Row], str]] = {
    "diverged": _of_seeds("diverged", "diverged"),
    "never_improved": _of_seeds("never_improved", "never improved"),
    "at_edge": lambda row: "rate at the edge",
    "other_machine": lambda row: "trained on another machine",
    "not_reproducible": lambda row: "not reproducible",
    "tied_rates": lambda row: f"{row['tied_rates']} rates tied in tuning: the middle was taken",
    "bimodal": lambda row: "two groups of seeds",
    "beaten_by_special_case": lambda row: (
        f"worse than {row['beaten_by']}, a special case of it: tuning budget too small"
    ),
    "beaten_on_test": lambda row: f"on test data not better than {row['beaten_on_test']}",
    "lucky_seed": lambda row: f"tuned on a lucky seed ({row['optimism']:+.0%})",
}
LEGEND = (
    "Score: interquartile mean over fresh seeds of the lowest validation loss, at the learning "
    "rate tuned on other seeds. Seeds: those of the verdicts, if more than the ones of the score, "
    "which all optimizers share. Rank: one more than the number of optimizers that are certainly "
    "better: by a paired test corrected for all pairs, and by more than the tolerance. Best so "
    "far, open: more seeds would resolve it. Steps: median number of steps to the target. Default "
    "lr: the documented rate, and how its score compares with the tuned one. Warnings: seeds that "
    "diverged (each counts as the worst loss of its benchmark) or never improved on their initial "
    "loss, and what may mislead. Verdicts and intervals hold for other seeds; none covers another "
    "split of the data, another machine, or that validation data chose the rate and the step too."
)
