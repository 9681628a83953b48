"""From scores to words: who is best on a benchmark, who is as good, and what to beware of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsuite.statistics.differences import Difference, fewest_seeds
from optsuite.statistics.seeds import interquartile_mean

BEST, SO_FAR, TIED = "best", "best so far", "tied with best"
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
    n_least = fewest_seeds(n * (n - 1) // 2)
    found = []
    for i in range(n):
        rank = 1 + sum(pairs[j, i].verdict == "better" for j in range(n) if j != i)
        same = i == leader or bool((scores[:, i] == scores[:, leader]).all())
        text = leading if same else _against(against[i], n_seeds, n_least)
        found.append(Verdict(rank=rank, gap=0.0 if same else against[i].gap, text=text))
    return found


def _leading(others: list[str]) -> str:
    """What is said of the lowest score."""
    if "inconclusive" in others:
        return SO_FAR
    return TIED if "tied" in others else BEST


def _against(difference: Difference, n_seeds: int, n_least: int) -> str:
    """What is said of a score that is not the lowest."""
    if difference.verdict == "worse":
        return worse(difference.gap)
    if difference.verdict != "inconclusive":
        return TIED
    if n_seeds < n_least:
        return f"inconclusive ({n_seeds} seeds; no fewer than {n_least} can settle it)"
    if difference.n_more is None or difference.n_more > MANY:
        return f"inconclusive (over {MANY:,} more seeds)"
    return f"inconclusive (about {difference.n_more} more seeds)"


def worse(gap: float) -> str:
    """A relative gap in words: a percentage, or a factor where the one is more than twice the other."""
    amount = f"{abs(gap) + 1:.3g}x" if abs(gap) > 0.9995 else f"{abs(gap):.1%}"
    return "as good" if amount == "0.0%" else f"{amount} {'worse' if gap > 0 else 'better'}"


def headline(rows: Sequence[Mapping[Any, Any]]) -> str:
    """One sentence on a benchmark from the ranked rows of its leaderboard, best first."""
    if not rows:
        return "Nothing is ranked yet."
    first, *others = rows
    tied = [row["optimizer"] for row in rows if row["verdict"] == TIED]
    near = [row["optimizer"] for row in others if not row["verdict"].endswith("worse")]
    n_worse = sum(row["verdict"].endswith("worse") for row in rows)
    rest = "" if not n_worse else "; the other is worse" if n_worse == 1 else f"; the other {n_worse} are worse"
    if not others:
        return f"Only {first['optimizer']} is ranked."
    if first["verdict"] == BEST:
        return f"{first['optimizer']} is best: better than {'the other' if n_worse == 1 else f'all {n_worse} others'}."
    if len(tied) == len(near) + 1:
        return f"{_listed(tied)} are tied for best{rest}."
    return f"{first['optimizer']} leads, but {_listed(near)} may be as good{rest}."


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def flags(row: Mapping[Any, Any]) -> str:
    """What to beware of in a row of the leaderboard; empty where there is nothing."""
    found = [f"{row[kind]} of {row['seeds']} {kind}" for kind in ("diverged", "collapsed") if row[kind]]
    if row["at_edge"]:
        found.append("rate at the edge")
    if row["bimodal"]:
        found.append("two groups of seeds")
    optimism = row["optimism"]
    if math.isfinite(optimism) and optimism > LUCK and row["score"] > row["trial_score"] < row["ci_low"]:
        found.append(f"tuned on a lucky seed ({optimism:+.0%})")
    return "; ".join(found)
