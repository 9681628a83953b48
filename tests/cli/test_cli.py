"""The command line, called in this process and started like a user would."""

import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY
from support.commands import RUN, Call, alive, count, descendants, start, wait_until


def test_dry_run_lists_what_would_be_trained_and_leaves_no_file(empty: Path, call: Call) -> None:
    code, out, _ = call(*RUN, "--dry-run", "--workers", "2")
    assert code == 0
    assert re.search(r"tiny_line +│ 29 +│ 0 +│ 29 +│ 0\.0", out)
    assert "29 runs to train, about 0.0 minutes on 2 workers." in out
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


def test_former_names_in_a_suite_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "suite.py"
    file.write_text("from optsuite.errors import BadInput\nfrom optsuite.benchmarks import SUITE\n")
    listed = start("list", "--suite", "suite.py", folder=tmp_path)
    _, err = listed.communicate(timeout=100)
    told = "suite.py:1: DeprecationWarning: BadInput is now InputError"
    assert (listed.returncode, told in err) == (0, True), err


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
    out, err = process.communicate(timeout=300)
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
    process = start(*RUN, folder=broken)  # and while it trains; another test kills at every write
    wait_until(lambda: count(broken) >= 16, process)
    process.kill()
    process.communicate()
    assert count(broken) < 31

    process = start(*RUN, folder=broken)
    out, err = process.communicate(timeout=300)
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
