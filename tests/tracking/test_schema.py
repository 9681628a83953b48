"""The names of the store: each is in one place, and no hyperparameter can take one."""

import re
from pathlib import Path

import optsuite
from optsuite.definitions.names import RUN_PARAMS
from optsuite.tracking.schema import AT_EDGE, NUMBER_PARAMS, TAG_NAMES, TEXT_PARAMS, UNREAD_PARAMS

ROOT = Path(optsuite.__file__).parent
# Modules and functions of the package look like tags in a text; `definition` is one of schema 2.
NO_TAGS = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
NO_TAGS |= {*optsuite.__all__, "benchmarks", "definition"}


def test_tags_are_named_in_the_schema_alone() -> None:
    for path in ROOT.rglob("*.py"):
        if path.name == "schema.py":
            continue
        for name in re.findall(r"[\"'`]optsuite\.(\w+)", path.read_text()):
            assert name in NO_TAGS, f"{path.name} names the tag optsuite.{name}"
        assert "mlflow.parentRunId" not in path.read_text(), path.name


def test_no_two_tags_share_a_column() -> None:
    assert len(set(TAG_NAMES.values())) == len(TAG_NAMES)


def test_hyperparameters_cannot_take_the_name_of_a_param() -> None:
    assert {*NUMBER_PARAMS, *TEXT_PARAMS, *UNREAD_PARAMS, AT_EDGE} == RUN_PARAMS
