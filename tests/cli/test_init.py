"""`optsuite init` writes a suite that runs, and nothing over what is there."""

from pathlib import Path

import pandas as pd
import pytest
from support.commands import Call

from optsuite.registry import load_suite


def test_written_suite_runs(folder: Path, call: Call) -> None:
    code, out, err = call("init")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if "evaluate" in line]
    command = line.partition(" #")[0].split()
    assert command == ["optsuite", "run", "--suite", "mysuite.py"]
    code, out, err = call(*command[1:], "--trials", "2", "--seeds", "2", "--workers", "1")
    assert (code, err) == (0, "")
    assert "cast" not in out
    table = pd.read_csv("mlruns/report/leaderboard.csv")
    assert set(table["optimizer"]) == {"sgd", "adam", "my_adam"}
    assert set(table["benchmark"]) == {"wine_mlp"}


def test_name_is_taken_and_quoted(folder: Path, call: Call) -> None:
    code, out, _ = call("init", "my suite.py")
    assert code == 0
    assert "optsuite run --suite 'my suite.py'" in out
    assert load_suite("my suite.py").name == "mysuite"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py", "file: mine.py exists and is left as it is; choose another name"),
        ("link.py", "file: link.py exists and is left as it is; choose another name"),
        ("absent/mine.py", "file: absent/mine.py cannot be written (No such file or directory)"),
        ("mine.txt", "file: got 'mine.txt', allowed: a Python file, named *.py"),
    ],
)
def test_nothing_is_overwritten(empty: Path, call: Call, name: str, message: str) -> None:
    (empty / "mine.py").write_text("mine")
    (empty / "link.py").symlink_to("elsewhere.py")
    code, out, err = call("init", name)
    assert (code, out, err) == (2, "", f"optsuite: {message}\n")
    assert (empty / "mine.py").read_text() == "mine"
    assert not (empty / "elsewhere.py").exists()
