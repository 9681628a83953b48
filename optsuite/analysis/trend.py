"""How a suite changed from night to night: from runs to tables. It knows no store and no page."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import pairwise

import numpy as np
import pandas as pd

from optsuite.analysis.changes import PAIR, Change, changes, tuned
from optsuite.analysis.provenance import environment
from optsuite.statistics.seeds import interquartile_mean
from optsuite.tracking.nights import Night
from optsuite.tracking.schema import RELATIVE_TIME
from optsuite.training.results import with_penalty

# The nights by start, each with its rows from `read_runs`.
History = Sequence[tuple[Night, pd.DataFrame]]
LINES = ("night", *PAIR, "score", "time", "diverged", "seeds")


def lines(history: History) -> pd.DataFrame:
    """One row for each night, benchmark and optimizer with a finished study there.

    `night` is its position in the history. `score` is the interquartile mean over the seeds, in
    which a diverged run counts as no better than untrained; `time` is that of a step in units of
    the reference. `score_change` and `time_change` are relative to the first night that has them:
    0.1 is a tenth more. They are nan where that is 0.
    """
    rows: list[tuple[object, ...]] = []
    for i, (_, runs) in enumerate(history):
        rows += _points(i, runs)
    table = pd.DataFrame(rows, columns=list(LINES))
    table = table.astype({"score": "float64", "time": "float64"})
    table = table.sort_values([*PAIR, "night"], ignore_index=True)
    for name in ("score", "time"):
        first = table.groupby(PAIR)[name].transform("first")
        change = (table[name] - first) / first.abs()
        change = change.where(table[name] != first, 0.0)
        table[f"{name}_change"] = change.replace([np.inf, -np.inf], np.nan)
    return table


def _points(night: int, runs: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """The rows of one night, in the order of LINES."""
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    times = studies.drop_duplicates(PAIR).set_index(PAIR)[RELATIVE_TIME].to_dict()
    for key, seeds in tuned(runs).groupby(PAIR):
        if key not in times:
            continue
        benchmark, optimizer = key
        finished = seeds["outcome"] == "finished"
        scores = with_penalty(seeds["score"], seeds["initial/validation_loss"], finished)
        score = float(interquartile_mean(scores))
        n_diverged = int((~finished).sum())
        yield night, benchmark, optimizer, score, times[key], n_diverged, len(seeds)


def change_points(history: History) -> pd.DataFrame:
    """What changed from each night to the next: the later one's position, and the `Change`."""
    found = []
    for i, ((_, before), (_, after)) in enumerate(pairwise(history), start=1):
        for change in changes(before, after):
            found.append({"night": i} | asdict(change))
    return pd.DataFrame(found, columns=["night", *(field.name for field in fields(Change))])


def environments(history: History) -> list[list[tuple[str, str, str]]]:
    """What each night was made with, where that differs from the night before: name, old, new."""
    frames = [runs for _, runs in history]
    if frames:
        frames.insert(0, frames[0][:0])  # before the first night, nothing is known
    return [list(environment(before, after)) for before, after in pairwise(frames)]
