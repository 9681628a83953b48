"""The command line, called in this process and started like a user would."""

import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pandas as pd
import pytest
from commands import Call, alive, count, descendants, start, wait_until
from conftest import TINY


def suite(folder: Path, text: str) -> str:
    path = folder.parent / f"{folder.name}_suite.py"
    path.write_text(text)
    return str(path)


RUN = ("run", "--suite", str(TINY))
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
    (("run", "--suite", "smok"), "or one of: smoke, default, vision, language, full, deepobs"),
    (
        ("run", "--suite", "nowhere"),
        "suite: got 'nowhere', allowed: a Python file, a module importable from",
    ),
    (("run", "--suite", "nowhere.py"), "nowhere.py', which is not a file"),
    ((*RUN, "--device", "gpu"), "device: got 'gpu', allowed on this machine: cpu"),
    ((*RUN, "--device", "cuda:7"), "device: got 'cuda:7', allowed on this machine: cpu"),
    ((*RUN, "--trials", "0"), "Invalid value for '--trials': 0 is not in the range 1<=x<=1000."),
    ((*RUN, "--seeds", "-1"), "Invalid value for '--seeds': -1 is not in the range 1<=x<=1000."),
    (
        (*RUN, "--seeds", "1001"),
        "Invalid value for '--seeds': 1001 is not in the range 1<=x<=1000.",
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
    (("report",), "campaign: got 'default', there is no campaign yet"),
    (("report", "--campaign", "nope"), "campaign: got 'nope', there is no campaign yet"),
    (("ui",), "campaign: got 'default', there is no campaign yet"),
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


def test_dry_run_lists_what_would_be_trained_and_leaves_no_file(empty: Path, call: Call) -> None:
    code, out, _ = call(*RUN, "--dry-run", "--workers", "2")
    assert code == 0
    assert re.search(r"tiny_line +│ 29 +│ 0 +│ 29 +│ 0\.0", out)
    assert "29 runs, about 0.0 minutes on 2 workers." in out
    assert list(empty.iterdir()) == []


def test_list_shows_suite_and_campaigns(empty: Path, call: Call) -> None:
    code, out, _ = call("list")
    assert code == 0
    for text in (
        "Suite default",
        "mnist_mlp",
        "when named (-b)",
        "validation/accuracy >= 0.97",
        "Kingma and Ba",
        "none yet",
    ):
        assert text in out
    assert list(empty.iterdir()) == []


def store_is_whole(folder: Path) -> None:
    """Assert that the store has the runs of the protocol, each once, and none still running."""
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    total, different = connection.execute(
        "SELECT count(*), count(DISTINCT value) FROM runs JOIN tags USING (run_uuid) "
        "WHERE lifecycle_stage = 'active' AND key = 'optsuite.fingerprint'"
    ).fetchone()
    statuses = connection.execute(
        "SELECT DISTINCT status FROM runs WHERE lifecycle_stage = 'active'"
    ).fetchall()
    connection.close()
    assert total == different == 29 + 2
    assert statuses == [("FINISHED",)]


def test_killed_campaign_is_resumed_to_the_same_table(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long test, because every start of the program takes seconds."""
    whole = tmp_path / "whole"
    broken = tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    process = start(*RUN, folder=whole)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "29 runs, 0 of them in the store already" in out
    for text in ("29/29 runs", "worse", "index.html", "optsuite ui"):
        assert text in out
    expected = (whole / "mlruns/report/leaderboard.csv").read_bytes()
    store_is_whole(whole)

    process = start(*RUN, folder=broken)  # killed while MLflow creates its database
    wait_until(lambda: any(broken.glob("mlruns/.creating-*.db")), process)
    process.kill()
    process.communicate()
    for n in (1, 16):  # and twice while it trains; another test kills before every write
        process = start(*RUN, folder=broken)
        wait_until(lambda n=n: count(broken) >= n, process)  # type: ignore[misc]
        process.kill()
        process.communicate()
        assert count(broken) < 31

    process = start(*RUN, folder=broken)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert (broken / "mlruns/report/leaderboard.csv").read_bytes() == expected
    store_is_whole(broken)

    monkeypatch.chdir(broken)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.rmtree("mlruns/report")
    code, out, _ = call("report")
    assert code == 0
    assert Path("mlruns/report/leaderboard.csv").read_bytes() == expected
    code, _, err = call("report", "--campaign", "nope")
    assert (code, err) == (2, "optsuite: campaign: got 'nope', one of: default\n")
    train = ("train", "tiny_line", "sgd", "--suite", str(TINY))
    code, out, _ = call(*train, "--lr", "0.05", "--seeds", "0,7", "--checkpoint-every", "10")
    assert code == 0
    assert "not ranked" in out
    note = "tiny_line: trained in stacks, which save no checkpoints"
    assert f"{note}; --engine plain trains one by one" in out
    code, out, _ = call("list", "--suite", str(TINY))
    assert "Campaigns: default" in out
    table = pd.read_csv("mlruns/report/leaderboard.csv")
    assert table["verdict"].tolist()[0] == "leads"


def test_second_run_is_refused_and_interrupted_one_exits_with_130_and_a_report(
    tmp_path: Path,
) -> None:
    slow = TINY.read_text().replace("max_steps=40", "max_steps=200_000")
    slow = slow.replace("eval_every=10", "eval_every=50_000")
    (tmp_path / "slow.py").write_text(slow)
    process = start("run", "--suite", "slow.py", "--workers", "1", folder=tmp_path)
    wait_until(lambda: (tmp_path / "mlruns" / "locks" / "default.json").exists(), process)
    second = start("run", "--suite", "slow.py", folder=tmp_path)
    _, err = second.communicate(timeout=90)
    assert second.returncode == 2
    assert re.search(
        rf"campaign 'default' is being run by process {process.pid} since 20\d\d-", err
    )
    assert err.count("\n") == 1
    wait_until(lambda: len(descendants(process.pid)) >= 1, process)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "Stopping. Completed runs are kept." in out
    assert "Nothing has been evaluated yet" in out
    assert "Nothing is lost" in out
    table = (tmp_path / "mlruns/report/leaderboard.csv").read_text()
    assert table.startswith("benchmark,rank,optimizer,arm,verdict,gap")
    connection = sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")
    statuses = connection.execute("SELECT status FROM runs WHERE lifecycle_stage = 'active'")
    assert ("RUNNING",) not in statuses.fetchall()
    connection.close()
    assert not descendants(process.pid)


def test_workers_of_a_killed_driver_end(tmp_path: Path) -> None:
    process = start(*RUN, "--workers", "2", folder=tmp_path)
    wait_until(lambda: count(tmp_path) >= 1, process)
    workers = descendants(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
