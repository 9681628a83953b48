"""From scores to words: who is best on a benchmark, who is as good, and what to beware of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsuite.statistics.differences import FEWEST_SEEDS, Difference
from optsuite.statistics.seeds import interquartile_mean

BEST, SO_FAR, TIED = "best", "best so far", "tied with best"
ALL_DIVERGED = "diverged on every seed"
LISTED = 7  # names in a sentence
MANY = 1_000  # more seeds than this are not worth counting
LUCK = 0.1  # a tuned trial this much better than the fresh seeds was helped by its seed


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`rank` is one more than the number of optimizers that are certainly better; `gap` is relative to the lowest score."""

    rank: int
    gap: float
    text: str


def verdicts(scores: NDArray[np.float64], pairs: Mapping[tuple[int, int], Difference]) -> list[Verdict]:
    """The verdict on each column of paired scores (seeds, optimizers), from `compare`'s differences of all pairs."""
    n_seeds, n = scores.shape
    if n == 1:
        return [Verdict(rank=1, gap=0.0, text="nothing to compare with")]
    leader = int(np.argmin(interquartile_mean(scores, axis=0)))
    against = {i: pairs[i, leader] for i in range(n) if i != leader}
    leading = _leading([difference.verdict for difference in against.values()])
    found = []
    for i in range(n):
        rank = 1 + sum(pairs[j, i].verdict == "better" for j in range(n) if j != i)
        same = i == leader or bool((scores[:, i] == scores[:, leader]).all())
        text = leading if same else _against(against[i], n_seeds)
        found.append(Verdict(rank=rank, gap=0.0 if same else against[i].gap, text=text))
    return found


def _leading(others: list[str]) -> str:
    """What is said of the lowest score."""
    if "inconclusive" in others:
        return SO_FAR
    return TIED if "tied" in others else BEST


def _against(difference: Difference, n_seeds: int) -> str:
    """What is said of a score that is not the lowest."""
    if difference.verdict == "worse":
        return worse(difference.gap)
    if difference.verdict != "inconclusive":
        return TIED
    return f"inconclusive: {worse(difference.gap)} ({_help(difference.n_more, n_seeds)})"


def _help(n_more: int | None, n_seeds: int) -> str:
    """What would settle an inconclusive pair."""
    if n_seeds < FEWEST_SEEDS:
        return f"needs at least {FEWEST_SEEDS} seeds, not {n_seeds}"
    if n_more is None:
        return "more seeds would not tell"
    return f"over {MANY:,} more seeds" if n_more > MANY else f"about {n_more} more seeds"


def worse(gap: float) -> str:
    """A relative gap in words: a percentage, a factor where the one is more than twice the other, nothing where infinite."""
    word, size = "worse" if gap > 0 else "better", abs(gap)
    if math.isinf(size):
        return word
    amount = f"{size + 1:.3g}x" if size > 0.9995 else f"{size:.1%}" if size >= 0.001 else f"{size * 100:.1g}%"
    return f"{amount} {word}"


def headline(rows: Sequence[Mapping[Any, Any]]) -> str:
    """One sentence on a benchmark from the ranked rows of its leaderboard, best first."""
    if not rows:
        return "Nothing is ranked yet."
    first, *others = (row["optimizer"] for row in rows)
    near = [row["optimizer"] for row in rows[1:] if not row["verdict"].endswith("worse")]
    beaten = [name for name in others if name not in near]
    rest = f"; {_listed(beaten)} {'is' if len(beaten) == 1 else 'are'} worse." if beaten else "."
    if not others:
        return f"Only {first} is ranked."
    if not near:
        return f"{first} is best: better than {_listed(beaten)}."
    if all(row["verdict"] == TIED for row in rows if row["optimizer"] not in beaten):
        return f"{_listed([first, *near])} are tied for best{rest}"
    return f"{first} leads, but {_listed(near)} may be as good{rest}"


REUSE_FLAGS = {"other machine": "trained on another machine"}


def sureness(rows: Sequence[Mapping[Any, Any]]) -> str:
    """How sure it is who won a benchmark: `certain`, `a tie`, or `open`; from the same rows."""
    verdicts = {row["verdict"] for row in rows}
    return "certain" if BEST in verdicts else "open" if SO_FAR in verdicts else "a tie" if TIED in verdicts else ""


def _listed(names: list[str]) -> str:
    if len(names) > LISTED:
        return f"{', '.join(names[: LISTED - 1])} and {len(names) - LISTED + 1} others"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def flags(row: Mapping[Any, Any]) -> str:
    """What to beware of in a row of the leaderboard; empty where there is nothing."""
    found = [f"{row[kind]} of {row['seeds']} {kind}" for kind in ("diverged", "collapsed") if row[kind]]
    if row["at_edge"]:
        found.append("rate at the edge")
    if isinstance(row["reuse"], str):
        found.append(REUSE_FLAGS.get(row["reuse"], row["reuse"]))
    if row["n_tied"] > 1:
        found.append(f"{row['n_tied']:.0f} rates tied when tuned: the middle was taken")
    if row["bimodal"]:
        found.append("two groups of seeds")
    if row["outdone_by"]:
        found.append(f"worse than {row['outdone_by']}, a special case of it: budget too small")
    optimism = row["optimism"]
    if math.isfinite(optimism) and optimism > LUCK and row["score"] > row["trial_score"] < row["ci_low"]:
        found.append(f"tuned on a lucky seed ({optimism:+.0%})")
    return "; ".join(found)
