"""The ranks of one benchmark's optimizers, and whether test data agree with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from optsuite.analysis.studies import looks, tolerance
from optsuite.analysis.verdicts import ranked
from optsuite.statistics.differences import Verdict, compare, probability_of_improvement

Row = dict[Any, Any]
Pairs = dict[tuple[str, str], Verdict]


def rank(rows: list[Row], studies: pd.DataFrame) -> tuple[pd.DataFrame, Pairs]:
    """Fill in the ranks of a benchmark.

    Returns its scores (seeds, optimizers) on the seeds that all share, and the verdicts on pairs.
    """
    names = [row["optimizer"] for row in rows]
    evaluated = pd.concat([row["scores"] for row in rows], axis=1, keys=names).sort_index()
    found = _compared(evaluated, studies)
    pairs = _named(found, names)
    special_cases = studies.drop_duplicates("optimizer").set_index("optimizer")["includes"].dropna()
    shared = evaluated.dropna(ignore_index=True)
    matrix = shared.to_numpy()
    places = ranked(matrix, found)
    leader = [place.gap for place in places].index(0)
    for row, place, column in zip(rows, places, matrix.T, strict=True):
        row |= asdict(place)
        row["prob_improvement"] = probability_of_improvement(column, matrix[:, leader])
        included = special_cases.get(row["optimizer"], "[]")
        row["beaten_by"] = _beaten_by(row["optimizer"], pairs, included)
    return shared, pairs


def check_on_test(rows: list[Row], studies: pd.DataFrame, pairs: Pairs) -> Pairs:
    """Fill in who is certainly worse than a row on validation data, but not on test data.

    Returns the verdicts by test losses; none unless every run has one.
    """
    names = [row["optimizer"] for row in rows]
    losses = pd.concat([row["test_scores"] for row in rows], axis=1, keys=names).sort_index()
    if any(row["test_scores"].isna().any() for row in rows):
        return {}
    found = _named(_compared(losses, studies), names)
    for row in rows:
        beaten = []
        for name in names:
            pair = row["optimizer"], name
            if pair in pairs and pairs[pair].kind == "better" and found[pair].gap > 0:
                beaten.append(name)
        row["beaten_on_test"] = ", ".join(beaten)
    return found


def _compared(losses: pd.DataFrame, studies: pd.DataFrame) -> dict[tuple[int, int], Verdict]:
    """The verdicts on pairs of columns of losses (seeds, optimizers) of finished studies."""
    finished = studies["optimizer"].isin(losses.columns) & (studies["outcome"] == "finished")
    return compare(losses.to_numpy(), tolerance(studies), looks(studies[finished]))


def _named(found: Mapping[tuple[int, int], Verdict], names: Sequence[str]) -> Pairs:
    return {(names[i], names[j]): verdict for (i, j), verdict in found.items()}


def _beaten_by(optimizer: str, pairs: Pairs, included: str) -> str:
    """The special cases of an optimizer, a list in JSON, that are certainly better than it."""
    better = []
    for case in json.loads(included):
        verdict = pairs.get((case, optimizer))
        if verdict is not None and verdict.kind == "better":
            better.append(case)
    return ", ".join(better)
