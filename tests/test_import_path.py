"""A suite imports its own modules, and hides no library and no benchmark."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import optsuite.benchmarks
from optsuite.errors import InputError
from optsuite.registry import load_suite

ROOT = Path(__file__).parents[1]
MAKES_A_SUITE = "from suites.tiny import SUITE\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that is not on the import path."""
    monkeypatch.setattr(
        sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))]
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["resource", "tabulate", "git", "secrets", "random", "torch", "sword"]
)
def test_file_beside_suite_hides_no_library(place: Path, name: str) -> None:
    (place / f"{name}.py").write_text("raise RuntimeError('imported')")
    (place / "mine.py").write_text(MAKES_A_SUITE)
    load_suite("mine.py")
    assert sys.path[-1] == str(place)
    (place / "mine.py").write_text(f"def f():\n    import {name}\n" + MAKES_A_SUITE)
    if name == "sword":  # nothing hides it
        (place / "sword.py").write_text("")
        load_suite("mine.py")
        return
    with pytest.raises(
        InputError, match=rf"mine.py imports {name}: .*{name}.py is hidden by .*; rename it$"
    ):
        load_suite("mine.py")


def test_imports_of_suite_modules_are_checked(place: Path) -> None:
    (place / "parts").mkdir()
    (place / "parts" / "__init__.py").write_text("")
    (place / "parts" / "one.py").write_text("import helper\n")
    (place / "helper.py").write_text("import random\n")
    (place / "random.py").write_text("raise RuntimeError('imported')")
    (place / "mine.py").write_text("import parts.one\n" + MAKES_A_SUITE)
    with pytest.raises(
        InputError, match=r"helper.py imports random: .*random.py is hidden by Python's own module"
    ):
        load_suite("mine.py")


def test_modules_of_two_suites_are_not_confused(place: Path) -> None:
    for name, trials in (("one", 3), ("two", 4)):
        (place / name).mkdir()
        (place / name / "helper_of_suites.py").write_text(f"N = {trials}\n")
        text = "from dataclasses import replace\nfrom helper_of_suites import N\n"
        (place / name / "mine.py").write_text(
            f"{text}{MAKES_A_SUITE}SUITE = replace(SUITE, n_trials=N)\n"
        )
    assert load_suite("one/mine.py").n_trials == 3
    assert load_suite("two/mine.py").n_trials == 4
    (place / "two" / "helper_of_suites.py").write_text("N = 17 \n")
    assert load_suite("two/mine.py").n_trials == 17


BENCHMARKS = {  # the text of a person's own package or module, and how its SUITE is named
    "package": ("from .own import SUITE\n", "benchmarks"),
    "absolute": ("from benchmarks.own import SUITE\n", "benchmarks"),
    "file": ("from .own import SUITE\n", "./benchmarks/__init__.py"),
    "module": (MAKES_A_SUITE, "benchmarks"),
}


@pytest.fixture
def named_benchmarks() -> Iterator[None]:
    """The modules of that name, as they are before and after a test."""

    def known() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]
        return {name: sys.modules[name] for name in names}

    before = known()
    yield
    for name in known():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("named_benchmarks")
@pytest.mark.parametrize("kind", BENCHMARKS)
def test_foreign_benchmarks_are_used_only_when_named(place: Path, kind: str) -> None:
    text, where = BENCHMARKS[kind]
    if kind == "module":
        (place / "benchmarks.py").write_text(text)
    else:
        (place / "benchmarks").mkdir()
        (place / "benchmarks" / "__init__.py").write_text(text)
        (place / "benchmarks" / "own.py").write_text(MAKES_A_SUITE)
    (place / "smoke.py").write_text(MAKES_A_SUITE)
    for name in ("default", "smoke"):
        assert load_suite(name) is optsuite.benchmarks.SUITES[name]
    assert load_suite(where).name == "tiny"
    assert load_suite("default") is optsuite.benchmarks.SUITE
    assert load_suite("smoke.py").name == "tiny"


@pytest.mark.usefixtures("named_benchmarks")
def test_broken_or_empty_foreign_benchmarks_are_ignored(place: Path) -> None:
    (place / "benchmarks").mkdir()
    (place / "mine.py").write_text(MAKES_A_SUITE)
    for text in (None, "raise RuntimeError('imported')\n"):
        if text is not None:
            (place / "benchmarks" / "__init__.py").write_text(text)
        assert load_suite("default").name == "default"
        assert load_suite("mine.py").name == "tiny"
        assert load_suite("mine").name == "tiny"
    said = r"suite benchmarks \(.*, line 1\) raised RuntimeError: imported"
    with pytest.raises(InputError, match=said):
        load_suite("benchmarks")


def test_package_given_as_a_file_imports_its_own_modules(place: Path) -> None:
    (place / "torch").mkdir()
    (place / "torch" / "__init__.py").write_text("from .own import SUITE\n")
    (place / "torch" / "own.py").write_text(MAKES_A_SUITE)
    assert load_suite("torch/__init__.py").name == "tiny"
    assert sys.modules["torch"] is torch


ONE_SET = """
import benchmarks.digits_cnn, optsuite.benchmarks.digits_cnn, sys
assert benchmarks is optsuite.benchmarks
assert benchmarks.digits_cnn is optsuite.benchmarks.digits_cnn
assert benchmarks.SUITES is optsuite.benchmarks.SUITES
assert benchmarks.__name__ == "optsuite.benchmarks"
names = [name for name in sys.modules if name.startswith("benchmarks")]
assert all(sys.modules[name] is sys.modules[f"optsuite.{name}"] for name in names), names
"""


@pytest.mark.parametrize("first", ["benchmarks", "optsuite.benchmarks", "benchmarks.digits_mlp"])
def test_clone_has_one_set_of_benchmarks_under_two_names(tmp_path: Path, first: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = f"import {first}\n{ONE_SET}"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.usefixtures("named_benchmarks")
def test_benchmarks_of_a_clone_give_the_default_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert load_suite("benchmarks") is optsuite.benchmarks.SUITE
    assert load_suite("benchmarks/__init__.py") is optsuite.benchmarks.SUITE
    assert load_suite("optsuite.benchmarks") is optsuite.benchmarks.SUITE
