"""Edits that change a curve change the description, and no others do."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.edits import Edit, edits, write
from support.identities import digests, identities, loaded, use

from optsuite.errors import InputError
from optsuite.training.canonical.descriptions import Descriptions, Identity
from optsuite.training.identity import identify_optimizer

pytestmark = pytest.mark.usefixtures("no_bytecode")

FILES = ("modules", "classes", "functions", "hidden", "reached")
CHANGING = [edit for name in FILES for edit in edits(name)]
# Registrations with torch concern everything in their file.
COARSE = {"operation_registered_with_torch", "divergence_registered_with_torch"}
# The numerics of torch that a suite sets belong to the environment, not to the task.
OF_ENVIRONMENT = {"default_dtype"}
OF_OPTIMIZERS = {"build", "import_in_build", "step_of_an_optimizer", "init_of_an_optimizer"}


def before_and_after(folder: Path, edit: Edit) -> list[tuple[Identity, Identity]]:
    """The identities of two versions, each in a folder of its own."""
    found = []
    for after in (False, True):
        with loaded(edit.write(folder / str(after), after=after).parent) as suite:
            found.append(identities(suite))
    return found


@pytest.mark.parametrize("edit", CHANGING, ids=lambda edit: edit.name)
def test_edit_changes_what_it_concerns_and_nothing_else(tmp_path: Path, edit: Edit) -> None:
    before, after = before_and_after(tmp_path, edit)
    concerned = edit.name in OF_OPTIMIZERS
    assert before[concerned] != after[concerned]
    assert (before[concerned].digest == after[concerned].digest) == (edit.name in OF_ENVIRONMENT)
    assert (before[not concerned] == after[not concerned]) == (edit.name not in COARSE)


@pytest.mark.parametrize("edit", edits("unchanged"), ids=lambda edit: edit.name)
def test_edit_that_changes_no_curve_changes_nothing(tmp_path: Path, edit: Edit) -> None:
    before, after = before_and_after(tmp_path, edit)
    assert before == after


def test_edits_that_change_something_are_at_least_49() -> None:
    assert len(CHANGING) >= 49


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of some of the suites, since each takes a second.

    Not of those whose dataset changes what their model reads.
    """
    folder = tmp_path_factory.mktemp("suites")
    lasting = [edit for edit in CHANGING if "dataset" not in edit.name]
    return [edit.write(folder / edit.name, after=False).parent for edit in lasting[::8]]


LOADING_MORE = """
import runpy, optsuite.data.generated, optsuite.models.signals
runpy.run_module("support.identities", run_name="__main__", alter_sys=True)
"""


def test_another_process_finds_the_same_whatever_its_hash_seed_and_what_it_has_loaded(
    folders: list[Path],
) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", LOADING_MORE, *map(str, folders)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    there = json.loads(done.stdout)
    assert [folder.name for folder in folders if there[str(folder)] != digests(folder)] == []


def test_what_was_built_and_trained_before_changes_nothing(folders: list[Path]) -> None:
    changed = []
    for folder in folders:
        with loaded(folder) as suite:
            before = identities(suite)
            use(suite)
            if identities(suite) != before:
                changed.append(folder.name)
    assert changed == []


COUNTING = """
class Net(nn.Linear):
    built = 0
    def __init__(self):
        super().__init__(3, 1)
        Net.built += 1
SEEN = []
def model():
    SEEN.append(1)
    return Net()
"""


def test_what_a_suite_counts_and_keeps_is_described_as_it_was_loaded(tmp_path: Path) -> None:
    write(tmp_path, {"suite.py": COUNTING})
    with loaded(tmp_path) as suite:
        (benchmark,), described = suite.benchmarks, Descriptions(suite)
        before = described.of(benchmark.model, "its model")
        benchmark.model()
        shorter = replace(benchmark, name="b@3", max_steps=3)
        assert described.of(shorter.model, "its model") == before
        assert Descriptions(suite).of(benchmark.model, "its model") != before


LOCKED = """
import threading
from functools import partial
model = partial(print, threading.Lock())
"""


def test_part_that_cannot_be_described_raises_only_on_request(tmp_path: Path) -> None:
    write(tmp_path, {"suite.py": LOCKED})
    with loaded(tmp_path) as suite:
        described = Descriptions(suite)
        identify_optimizer(suite.optimizers[-1], described)
        message = "^benchmark b: its model: argument 0: got a value of type lock, which cannot"
        with pytest.raises(InputError, match=message):
            described.of(suite.benchmarks[0].model, "benchmark b: its model")
