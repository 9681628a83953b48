"""Which edits of a run its seal detects."""

import math
from collections.abc import Mapping

import pytest

from optsuite.tracking.schema import OF_SEALS, POINTS, SCHEMA, SEAL, SEALED
from optsuite.tracking.seal import Points, broken, flaw_of_seal, seal, sealed
from optsuite.training.results import Measurement


def curves(*losses: float, swapped: bool = False) -> Points:
    names = ("test/loss", "validation/loss") if swapped else ("validation/loss", "test/loss")
    return Points.of(
        Measurement(step=step, values={names[0]: loss, names[1]: loss + 1}, time=0.0)
        for step, loss in enumerate(losses)
    )


def row(change: Mapping[str, object] = {}) -> dict[str, object]:
    tags = sealed({"optsuite.kind": "study"}, {"lr": 0.1, "machine_class": "m"}, {}, curves(1.0))
    nothing = {**dict.fromkeys((*SEALED, *OF_SEALS)), **dict.fromkeys(POINTS, math.nan)}
    said = {"status": "FINISHED", "kind": "study", "lr": "0.1", "machine_class": "m"}
    seals = {"seal": tags[SEAL], "schema": tags[SCHEMA]}
    return {**nothing, **said, **seals, **change}


@pytest.mark.parametrize(
    "other",
    [
        curves(2.0, 1.0, 3.0),
        curves(1.0, 2.0, 3.0, swapped=True),
        curves(1.0, 2.0),
        curves(1.0, 2.0, 3.0 + 1e-6),
    ],
)
def test_edited_curves_break_the_seal(other: Points) -> None:
    text = seal({}, curves(1.0, 2.0, 3.0))
    assert broken(text, {}, curves(1.0, 2.0, 3.0)) == ""
    assert broken(text, {}, other) == "its curves have been edited"


def test_infinite_and_huge_values_keep_the_seal() -> None:
    own = curves(math.inf, -math.inf, math.nan, 1e308, 1e308)
    assert broken(seal({}, own), {}, own) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"seal": None}, "its seal is missing"),
        ({"seal": None, "schema": None}, "its seal is missing"),
        ({"seal": None, "schema": None, "machine_class": None}, ""),  # older than seals
        ({"seal": None, "status": "RUNNING"}, ""),
        ({"schema": None}, "its tags, params or summaries have been edited"),
        ({"seal": "1 0123 4 5 6"}, "its seal is of version 1, and this optsuite knows version 3"),
        ({"seal": "2 0123 4"}, "its seal is damaged"),
        ({"seal": "lead"}, "its seal is damaged"),
    ],
)
def test_row_is_checked_by_its_seal(change: Mapping[str, object], said: str) -> None:
    assert flaw_of_seal(row(change)) == said
