"""Checkpoints in a campaign: where they lie, when they are removed, and how a command resumes."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import InlinePool
from suites import tiny
from torch import nn

from optsuite import OPTIMIZERS
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import manual_study, run_campaign
from optsuite.registry import load_suite
from optsuite.tracking.location import checkpoint_folder, tracking_uri
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store
from optsuite.training import plain
from optsuite.training.results import Measurement, Run


@pytest.mark.parametrize("lr", [0.01, 1e6], ids=["finished", "diverged"])
def test_checkpoint_of_a_stored_run_is_removed(folder: Path, lr: float) -> None:
    suite = replace(tiny.SUITE, optimizers=tiny.SUITE.optimizers[:1])
    kept = checkpoint_folder(tracking_uri())
    kept.mkdir()
    pool = InlinePool()
    changed = replace(tiny.BENCHMARK, loss=torch.nn.functional.l1_loss)
    # The run fails with the changed suite, because the driver has the definition of `suite`.
    for loaded, is_stored in ((replace(suite, benchmarks=(changed,)), False), (suite, True)):
        (problem,), _ = prepare(suite, device="cpu", engine="plain")
        study = manual_study(suite, problem, lr=lr, seeds=[0], device="cpu")
        own = kept / f"{study.fingerprint(study.requested[0])}.pt"
        for name in (own.name, f"{own.name}.123", "other.pt"):
            (kept / name).touch()
        pool.load(loaded)
        events = run_campaign(
            [study], uri=tracking_uri(), campaign="c", suite="tiny", pool=pool, stop=lambda: False
        )
        list(events)
        assert own.exists() != is_stored
    assert [path.name for path in kept.iterdir()] == ["other.pt"]


def test_checkpoint_folder_depends_on_the_store() -> None:
    assert checkpoint_folder("sqlite:////a/mlflow.db") == Path("/a/checkpoints")
    server = checkpoint_folder("http://host:5000/")
    assert server == checkpoint_folder("http://host:5000") != checkpoint_folder("http://other:5000")
    assert server.name == "checkpoints"


LONG = """
import os, time
from dataclasses import replace
from suites import tiny
from torch import nn
from optsuite import OPTIMIZERS, Suite

class Slow(nn.Linear):
    def forward(self, x):
        if self.training:
            time.sleep(0.002)
            with open("steps", "a") as file:
                file.write(".")
        return super().forward(x)

BENCHMARK = replace(tiny.BENCHMARK, model=lambda: Slow(3, 1), max_steps=600, eval_every=250)
SUITE = Suite(name="long", benchmarks=(BENCHMARK,), optimizers=(OPTIMIZERS["adam"],))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    options = "--suite long.py --lr 0.01 --engine plain --checkpoint-every 300"
    command = Path(sys.executable).with_name("optsuite")
    paths = [str(Path(__file__).parents[1])]
    if os.environ.get("PYTHONPATH"):
        paths.append(os.environ["PYTHONPATH"])
    return subprocess.Popen(
        [str(command), "train", "tiny_line", "adam", *options.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_command_resumes_from_its_checkpoint(folder: Path) -> None:
    (folder / "long.py").write_text(LONG)
    kept = checkpoint_folder(tracking_uri())
    process = start(folder)
    deadline = time.monotonic() + 90
    while not any(kept.glob("*.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.communicate()  # returns once the worker has closed its end of the pipes, too
    before = (folder / "steps").stat().st_size
    assert before < 300 + 150  # it has not reached the next measurement
    process = start(folder)
    _, err = process.communicate(timeout=90)
    assert (process.returncode, err) == (0, "")
    n_steps = (folder / "steps").stat().st_size - before
    assert n_steps < 600 - 300 + 100  # some steps try the definition
    assert not list(kept.iterdir())

    undisturbed = replace(load_suite("long.py").benchmarks[0], model=lambda: nn.Linear(3, 1))
    run = Run(
        benchmark="tiny_line", optimizer="adam", lr=0.01, seed=0, kind="evaluation", arm="manual"
    )
    names = ["train/loss", "validation/loss", "test/loss"]
    expected: dict[str, dict[int, float]] = {name: {} for name in names}
    for _, update in plain.train(undisturbed, OPTIMIZERS["adam"], [run], tiny.line()):
        if isinstance(update, Measurement):
            for name in expected.keys() & update.values.keys():
                expected[name][update.step] = update.values[name]
    store = open_store(tracking_uri())
    (row,) = read_runs(store, "default").to_dict("records")
    assert store.curves(row["run_id"], names) == expected
