"""How a suite went from night to night: from the runs of its nights to tables. It knows no store and no page."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import pairwise

import numpy as np
import pandas as pd

from optsuite.analysis.changes import PAIR, Change, changes, environment, tuned
from optsuite.statistics.seeds import interquartile_mean
from optsuite.tracking.nights import Night
from optsuite.tracking.schema import RELATIVE_TIME
from optsuite.training.results import penalty

History = Sequence[
    tuple[Night, pd.DataFrame]
]  # the nights by start, each with the rows that `read_runs` gives of it
LINES = ("night", *PAIR, "score", "time", "diverged", "seeds")


def lines(history: History) -> pd.DataFrame:
    """A row for each night, as its place in the history, and each optimizer that has a finished study there, by benchmark.

    `score` is the interquartile mean over the seeds, a diverged run counting as no better than untrained, and `time` that of a
    step in units of the reference. `score_change` and `time_change` relate them to the first night that has them: 0.1 is a
    tenth more. They are nan where that is 0.
    """
    table = pd.DataFrame(
        [row for i, (_, runs) in enumerate(history) for row in _points(i, runs)],
        columns=list(LINES),
    )
    table = table.astype({"score": "float64", "time": "float64"}).sort_values(
        [*PAIR, "night"], ignore_index=True
    )
    for name in ("score", "time"):
        first = table.groupby(PAIR)[name].transform("first")
        change = (table[name] - first) / first.abs()
        table[f"{name}_change"] = change.where(table[name] != first, 0.0).replace(
            [np.inf, -np.inf], np.nan
        )
    return table


def _points(night: int, runs: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")].drop_duplicates(
        PAIR
    )
    times = dict(
        zip(
            zip(*(studies[name] for name in PAIR), strict=True), studies[RELATIVE_TIME], strict=True
        )
    )
    for (benchmark, optimizer), seeds in tuned(runs).groupby(PAIR):
        if (benchmark, optimizer) not in times:
            continue
        finished = seeds["outcome"] == "finished"
        worst = penalty(seeds["initial/validation_loss"], seeds.loc[finished, "score"])
        score = float(interquartile_mean(seeds["score"].where(finished, worst).to_numpy(float)))
        yield (
            night,
            benchmark,
            optimizer,
            score,
            times[benchmark, optimizer],
            int((~finished).sum()),
            len(seeds),
        )


def change_points(history: History) -> pd.DataFrame:
    """What changed from each night to the next: the place of that next night, and the fields of its `Change`."""
    found = [
        {"night": i} | asdict(change)
        for i, ((_, before), (_, after)) in enumerate(pairwise(history), start=1)
        for change in changes(before, after)
    ]
    return pd.DataFrame(found, columns=["night", *(field.name for field in fields(Change))])


def environments(history: History) -> list[list[tuple[str, str, str]]]:
    """What each night was made with, where it differs from the night before: name, before, after."""
    nothing = [history[0][1][:0]] if history else []
    frames = [*nothing, *(runs for _, runs in history)]
    return [list(environment(before, after)) for before, after in pairwise(frames)]
