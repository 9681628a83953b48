"""Identity follows the code: what changes a curve changes the description, nothing else does."""

import contextlib
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from edits import Edit, edits

from optsuite.definition import Suite
from optsuite.suites import load_suite
from optsuite.training.described import Descriptions, Identity
from optsuite.training.identity import DTYPE, identify_benchmark, identify_optimizer

CHANGING = edits("modules") + edits("classes") + edits("functions")
OF_OPTIMIZERS = {"build", "import_in_build", "step_of_an_optimizer", "init_of_an_optimizer"}


@contextlib.contextmanager
def loaded(folder: Path) -> Iterator[Suite]:
    """The suite of a folder, loaded as a fresh process would, and forgotten afterwards."""
    before, path, precision = set(sys.modules), list(sys.path), torch.get_float32_matmul_precision()
    linecache.clearcache()
    try:
        yield load_suite(str(folder / "suite.py"))
    finally:
        torch.set_float32_matmul_precision(precision)
        sys.path[:] = path
        for name in set(sys.modules) - before:
            places = [getattr(sys.modules[name], attribute, "") for attribute in ("__file__", "__path__")]
            if str(folder) in str(places):
                del sys.modules[name]


def identities(folder: Path) -> tuple[Identity, Identity]:
    """Those of the benchmark and of the suite's own optimizer."""
    with loaded(folder) as suite:
        described = Descriptions(suite)
        benchmark = suite.benchmarks[0]
        own = identify_benchmark(benchmark, benchmark.dataset(), dtype=DTYPE, device="cpu", described=described)
        return own, identify_optimizer(suite.optimizers[-1], described)


def before_and_after(folder: Path, edit: Edit) -> list[tuple[Identity, Identity]]:
    """The identities of two versions, each in a folder of its own."""
    return [identities(edit.write(folder / str(after), after=after).parent) for after in (False, True)]


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
