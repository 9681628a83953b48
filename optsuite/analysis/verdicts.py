"""Verdicts on the rows of a leaderboard as data: the comparison with the best, and warnings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optsuite.statistics.differences import Verdict
from optsuite.statistics.seeds import interquartile_mean

# A ranked row against the lowest score. The row with the lowest score leads if any pair is open.
Standing = Literal["best", "tied", "leads", "open", "worse", "alone"]
# Why a row has no rank.
Unranked = Literal["failed", "manual", "incomplete", "diverged", "other_budget"]

OPTIMISM_LIMIT = 0.1  # a tuned trial this much better than the fresh seeds was helped by its seed


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The place of an optimizer.

    `rank` is one more than the number of optimizers that are certainly better. `gap` is relative to
    the lowest score; `p` and `seeds_needed` are those of the comparison with it, nan and 0 for the
    optimizer that has it.
    """

    rank: int
    verdict: Standing
    gap: float = 0.0
    p: float = math.nan
    seeds_needed: int | None = 0


def ranked(scores: NDArray[np.float64], pairs: Mapping[tuple[int, int], Verdict]) -> list[Ranked]:
    """The place of each column of paired scores (seeds, optimizers), given all verdicts."""
    n = scores.shape[1]
    if n == 1:
        return [Ranked(rank=1, verdict="alone")]
    leader = int(np.argmin(interquartile_mean(scores, axis=0)))
    against = {i: pairs[i, leader] for i in range(n) if i != leader}
    leading = _leading({verdict.kind for verdict in against.values()})
    found = []
    for i in range(n):
        rank = 1 + sum(pairs[j, i].kind == "better" for j in range(n) if j != i)
        if i == leader or bool((scores[:, i] == scores[:, leader]).all()):
            found.append(Ranked(rank=rank, verdict=leading))
            continue
        own = against[i]
        place = Ranked(
            rank=rank,
            verdict=_against(own),
            gap=own.gap,
            p=own.p,
            seeds_needed=own.seeds_needed,
        )
        found.append(place)
    return found


def _leading(others: set[str]) -> Standing:
    """The standing of the lowest score."""
    if "open" in others:
        return "leads"
    return "tied" if "tied" in others else "best"


def _against(verdict: Verdict) -> Standing:
    """The standing of a score that is not the lowest, even if the verdict calls it better."""
    if verdict.kind == "worse" or verdict.kind == "open":
        return verdict.kind
    return "tied"


def certainty(rows: Sequence[Mapping[Any, Any]]) -> Literal["certain", "tie", "open", ""]:
    """How certain the winner is, from the ranked rows of a benchmark; empty if none could lose."""
    found = {row["verdict"] for row in rows}
    if "best" in found:
        return "certain"
    if "leads" in found:
        return "open"
    return "tie" if "tied" in found else ""


def warnings(row: Mapping[Any, Any]) -> str:
    """What may mislead in a row: codes joined by semicolons, for `statements.WARNINGS`."""
    optimism = row["optimism"]
    is_lucky = math.isfinite(optimism) and optimism > OPTIMISM_LIMIT
    found = {
        "diverged": row["diverged"] > 0,
        "never_improved": row["never_improved"] > 0,
        "at_edge": bool(row["at_edge"]),
        "other_machine": row["reuse"] == "other machine",
        "not_reproducible": row["reuse"] == "not reproducible",
        "tied_rates": row["tied_rates"] > 1,
        "bimodal": bool(row["bimodal"]),
        "beaten_by_special_case": bool(row["beaten_by"]),
        "beaten_on_test": bool(row["beaten_on_test"]),
        "lucky_seed": is_lucky and row["score"] > row["trial_score"] < row["ci_low"],
    }
    return ";".join(code for code, holds in found.items() if holds)
