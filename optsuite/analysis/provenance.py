"""What two campaigns were made with: commits, versions, machines and definitions that differ."""

from collections.abc import Iterator

import pandas as pd

from optsuite.training.fingerprint import Fingerprint

ENVIRONMENT = (
    "commit",
    "optsuite_version",
    "torch_version",
    "mlflow_version",
    "optuna_version",
    "machine",
    "device",
)
EXPLAINING = ("torch_version", "device")  # the rest of an environment has no column
DIGITS = 8  # of a fingerprint, as shown


def environment(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """What the two campaigns were made with, where it differs: name, before, after."""
    for name in ENVIRONMENT:
        old, new = _joined(before[name]), _joined(after[name])
        if old != new:
            yield name.removesuffix("_version"), old, new
    yield from _definitions(before, after)


def _joined(column: pd.Series) -> str:
    """The distinct values of a column, sorted."""
    return ", ".join(sorted(set(column.dropna())))


def _definitions(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Which definitions changed, and which environments unless torch or the device explains it."""
    explained = any(set(before[n].dropna()) != set(after[n].dropna()) for n in EXPLAINING)
    for column in ("benchmark", "optimizer"):
        first, last = _fingerprints(before, column), _fingerprints(after, column)
        for name in sorted(first.keys() & last.keys()):
            old, new = first[name], last[name]
            old_definition = _shortened(old, column)
            new_definition = _shortened(new, column)
            if old_definition != new_definition:
                yield f"definition of {name}", old_definition, new_definition
                continue
            old_place = _shortened(old.environment, column)
            new_place = _shortened(new.environment, column)
            if old_place != new_place and not explained:
                yield f"packages or settings of {name}", old_place, new_place


def _shortened(hashes: object, column: str) -> str:
    """The first digits of the hash of a benchmark or an optimizer."""
    return str(getattr(hashes, column))[:DIGITS]


def _fingerprints(runs: pd.DataFrame, column: str) -> dict[str, Fingerprint]:
    """The fingerprint of one study of each benchmark or optimizer, by name."""
    studies = runs[runs["kind"] == "study"]
    found: dict[str, Fingerprint] = {}
    for name, text in zip(studies[column], studies["fingerprint"], strict=True):
        own = Fingerprint.parse(text)
        if own is not None:
            found[str(name)] = own
    return found
