"""Bad input gets one line that names it, and leaves no file."""

import re
import sqlite3
from pathlib import Path

import pytest
from conftest import TINY
from support.commands import RUN, Call


def suite(folder: Path, text: str) -> str:
    path = folder.parent / f"{folder.name}_suite.py"
    path.write_text(text)
    return str(path)


TRAIN = ("train", "digits_mlp", "adam", "--lr")
BAD_INTERVAL = "from optsuite import *\nLogUniform(low=1.0, high=0.1)\n"
EMPTY_SUITE = "from optsuite import *\nSUITE = Suite(name='s', benchmarks=(), optimizers=())\n"
BAD_INPUT = [
    (
        ("run", "-b", "digits_mpl"),
        "benchmark: got 'digits_mpl', one of: cifar10_3c3d, cifar10_resnet, diabetes_mlp",
    ),
    (("run", "-o", "adm"), "optimizer: got 'adm', one of: adadelta, adafactor, adagrad, adam"),
    (("run", "-o", ""), "optimizer: got '', one of"),
    (
        ("run", "-o", "adam+cosin"),
        "schedule: got 'cosin', one of: constant, cosine, step, warmup_cosine, wsd",
    ),
    (("run", "-o", "lbfgs+x"), "schedule: got 'x', one of"),
    (("run", "-o", "all+cosin"), "schedule: got 'cosin', one of: constant"),
    (
        ("run", "-b", "digits_mlp@0"),
        "benchmark digits_mlp: steps: got '0', allowed: a whole number from 1",
    ),
    (
        ("run", "--suite", "smok"),
        "or one of: smoke, default, digits, vision, language, full, deepobs",
    ),
    (
        ("run", "--suite", "nowhere"),
        "suite: got 'nowhere', allowed: a Python file, a module importable from",
    ),
    (("run", "--suite", "nowhere.py"), "nowhere.py', which is not a file"),
    ((*RUN, "--device", "gpu"), "device: got 'gpu', allowed on this machine: cpu"),
    ((*RUN, "--device", "cuda:7"), "device: got 'cuda:7', allowed on this machine: cpu"),
    ((*RUN, "--trials", "0"), "Invalid value for '--trials': 0 is not in the range 1<=x<=1000."),
    ((*RUN, "--seeds", "-1"), "Invalid value for '--seeds': got '-1', allowed: a number from 1"),
    (
        (*RUN, "--seeds", "1001"),
        "Invalid value for '--seeds': got '1001', allowed: at most 1000",
    ),
    ((*RUN, "--workers", "-2"), "Invalid value for '--workers'"),
    (
        (*RUN, "--checkpoint-every", "0"),
        "Invalid value for '--checkpoint-every': 0 is not in the range x>=1.",
    ),
    (("nightly", "--checkpoint-every", "1.5"), "'1.5' is not a valid integer range"),
    ((*RUN, "--trials", "many"), "'many' is not a valid integer"),
    ((*RUN, "--engine", "warp"), "'warp' is not one of"),
    ((*RUN, "--campaign", "a/b"), "campaign: got 'a/b', allowed: 1 to 100 letters"),
    ((*RUN, "--nonsense"), "No such option '--nonsense'"),
    (("nonsense",), "No such command 'nonsense'"),
    ((*TRAIN, "-0.1"), "Invalid value for --lr: got -0.1, allowed: a finite number above 0"),
    ((*TRAIN, "nan"), "got nan"),
    ((*TRAIN, "0.1", "--seeds", ""), "--seeds: got ''"),
    ((*TRAIN, "0.1", "--seeds", "1,-2"), "--seeds: got '1,-2', allowed: different whole"),
    ((*TRAIN, "0.1", "--seeds", "1,1"), "--seeds: got '1,1'"),
    (("train", "digits_mlp", "adam"), "Missing option '--lr'"),
    (("train", "digits_mlp", "adm", "--lr", "0.1"), "optimizer: got 'adm'"),
    (("report",), "campaign 'default' does not exist: there is no campaign yet"),
    (("report", "--campaign", "nope"), "campaign 'nope' does not exist: there is no campaign yet"),
    (("ui",), "campaign 'default' does not exist: there is no campaign yet"),
    (("ui", "--port", "0"), "Invalid value for '--port'"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    BAD_INPUT,
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_bad_input_gets_one_line_and_leaves_no_file(
    empty: Path, call: Call, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("optsuite: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise KeyError('x')\n", r"_suite.py \(\S+_suite.py, line 1\) raised KeyError: 'x'"),
        (
            "import nowhere_to_be_found\n",
            "raised ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("def f(:\n", "raised SyntaxError"),
        ("import sys\nsys.exit(3)\n", r"line 2\) raised SystemExit: 3"),
        ("x = 1\n", "got no SUITE, allowed: SUITE = Suite"),
        ("SUITE = 3\n", "got SUITE of type int"),
        (BAD_INTERVAL, r"line 2\): interval: got 'low=1, high=0.1', allowed: low below"),
        (EMPTY_SUITE, "benchmarks: got (), allowed: at least one"),
    ],
)
def test_broken_suite_file_gets_one_line(empty: Path, call: Call, text: str, message: str) -> None:
    for command in (("run",), ("list",), ("train", "a", "b", "--lr", "0.1")):
        code, out, err = call(*command, "--suite", suite(empty, text))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert re.search(message.replace("()", r"\(\)"), err)
    assert list(empty.iterdir()) == []


def test_model_that_does_not_fit_its_loss_is_named_with_its_shapes(empty: Path, call: Call) -> None:
    text = TINY.read_text().replace("partial(nn.Linear, 3, 1)", "partial(nn.Linear, 3, 2)")
    code, _, err = call("run", "--suite", suite(empty, text))
    assert code == 2
    assert "benchmark tiny_line: its loss, given outputs (16, 2) and targets (16, 1)," in err
    assert err.count("\n") == 1
    assert list(empty.iterdir()) == []


MISSING = """
from optsuite.errors import DatasetUnavailableError
def absent():
    raise DatasetUnavailableError("Absent", "/data", "no network")
SUITE = replace(SUITE, benchmarks=(BENCHMARK, replace(BENCHMARK, name="absent", dataset=absent)))
"""


def test_missing_dataset_of_a_named_benchmark_is_bad_input(empty: Path, call: Call) -> None:
    where = suite(empty, "from dataclasses import replace\n" + TINY.read_text() + MISSING)
    code, _, err = call("run", "--suite", where, "-b", "absent")
    assert code == 2
    reason = "dataset: Absent is not in /data and could not be downloaded (no network)"
    assert f"{reason}; set OPTSUITE_DATA" in err
    code, out, _ = call("run", "--suite", where, "--dry-run")
    assert code == 0
    assert "Skipped absent: dataset: Absent" in out
    assert list(empty.iterdir()) == []


def test_missing_mnist_is_named(empty: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    code, out, err = call("run", "-b", "mnist_mlp")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "dataset: MNIST is not in" in err
    assert not (empty.parent / "no-data").exists()


def test_broken_store_gets_one_line(folder: Path, call: Call) -> None:
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    connection.commit()
    connection.close()
    code, _, err = call(*RUN)
    assert (code, err.count("\n")) == (2, 1)
    assert "install the MLflow that wrote it, or a newer one" in err
