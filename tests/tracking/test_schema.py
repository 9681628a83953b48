"""The names of the store: each in one place, none that a hyperparameter could take."""

import re
from pathlib import Path

import optsuite
from optsuite.definitions.names import RUN_PARAMS
from optsuite.tracking.schema import AT_EDGE, NUMBER_PARAMS, TAG_NAMES, TEXT_PARAMS, UNREAD_PARAMS

ROOT = Path(optsuite.__file__).parent
MODULES = {  # what looks like a tag in a text: a module or a function of the package
    path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")
} | {*optsuite.__all__, "benchmarks", "definition"}  # the last is a module of schema 2


def test_tags_are_named_in_the_schema_alone() -> None:
    for path in ROOT.rglob("*.py"):
        if path.name == "schema.py":
            continue
        for name in re.findall(r"[\"'`]optsuite\.(\w+)", path.read_text()):
            assert name in MODULES, f"{path.name} names the tag optsuite.{name}"
        assert "mlflow.parentRunId" not in path.read_text(), path.name


def test_no_two_tags_share_a_column() -> None:
    assert len(set(TAG_NAMES.values())) == len(TAG_NAMES)


def test_hyperparameters_cannot_take_the_name_of_a_param() -> None:
    assert {*NUMBER_PARAMS, *TEXT_PARAMS, *UNREAD_PARAMS, AT_EDGE} == RUN_PARAMS
