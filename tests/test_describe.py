"""Identity follows the code: what changes a curve changes the description, nothing else does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from edits import Edit, edits
from identities import digests, identities, loaded, use

from optsuite.training.described import Identity

CHANGING = edits("modules") + edits("classes") + edits("functions")
OF_OPTIMIZERS = {"build", "import_in_build", "step_of_an_optimizer", "init_of_an_optimizer"}


def before_and_after(folder: Path, edit: Edit) -> list[tuple[Identity, Identity]]:
    """The identities of two versions, each in a folder of its own."""
    found = []
    for after in (False, True):
        with loaded(edit.write(folder / str(after), after=after).parent) as suite:
            found.append(identities(suite))
    return found


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.mark.parametrize("edit", CHANGING, ids=lambda edit: edit.name)
def test_an_edit_changes_what_it_concerns_and_nothing_else(tmp_path: Path, edit: Edit) -> None:
    before, after = before_and_after(tmp_path, edit)
    concerned = edit.name in OF_OPTIMIZERS
    assert before[concerned].digest != after[concerned].digest
    assert before[not concerned].digest == after[not concerned].digest


@pytest.mark.parametrize("edit", edits("unchanged"), ids=lambda edit: edit.name)
def test_an_edit_that_changes_no_curve_changes_nothing(tmp_path: Path, edit: Edit) -> None:
    before, after = before_and_after(tmp_path, edit)
    assert before == after


def test_there_are_enough_kinds_of_edits() -> None:
    assert len(CHANGING) >= 49


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder for each suite that the edits are of."""
    folder = tmp_path_factory.mktemp("suites")
    return [edit.write(folder / edit.name, after=False).parent for edit in CHANGING]


def test_another_process_finds_the_same_whatever_its_hash_seed(folders: list[Path]) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "identities", *map(str, folders)]
    there = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert [folder.name for folder in folders if there[str(folder)] != digests(folder)] == []


def test_what_was_built_and_trained_before_changes_nothing(folders: list[Path]) -> None:
    changed = []
    for folder in folders:
        with loaded(folder) as suite:
            before = identities(suite)
            use(suite)
            changed += [] if identities(suite) == before else [folder.name]
    assert changed == []
