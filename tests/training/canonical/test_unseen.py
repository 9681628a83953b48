"""Changes that no description sees are found by training one stored run again."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import InlinePool

from optsuite.campaign.events import ReuseChecked
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import run_campaign, studies_of
from optsuite.registry import load_suite
from optsuite.tracking.location import tracking_uri

SUITE = """
import configparser, json, os, pickle
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from optsuite import OPTIMIZERS, Benchmark, Splits, Suite


def line():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(64, 3, generator=g)
    y = x.sum(1, keepdim=True)
    return Splits(train=(x[:32], y[:32]), validation=(x[32:48], y[32:48]), test=(x[48:], y[48:]))


def scale():
    return {expression}


def loss(outputs, targets):
    return F.mse_loss(outputs, targets) * {in_loss}


def model():
    linear = nn.Linear(3, 1)
    with torch.no_grad():
        linear.weight.mul_({in_model})
    return linear


BENCHMARK = Benchmark(
    name="b", dataset=line, model=model, loss=loss, batch_size=8, max_steps=10, eval_every=5
)
SUITE = Suite(
    name="unseen",
    benchmarks=(BENCHMARK,),
    optimizers=(OPTIMIZERS["momentum"],),
    n_trials=2,
    n_confirmation_seeds=0,
    n_seeds=2,
)
"""
N_RUNS = 2 + 2 + 2


def write(name: str, *texts: str) -> Callable[[int, pytest.MonkeyPatch], None]:
    def change(i: int, patch: pytest.MonkeyPatch) -> None:
        Path(name).write_text(texts[i])

    return change


def environment(i: int, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(os.environ, "FACTOR", ("1.0", "2.0")[i])


def parts(i: int, patch: pytest.MonkeyPatch) -> None:
    if i:
        Path("one.part").touch()


def saved(i: int, patch: pytest.MonkeyPatch) -> None:
    torch.save({"factor": torch.tensor(float(1 + i))}, "weights.pt")


def archived(i: int, patch: pytest.MonkeyPatch) -> None:
    np.save("weights.npy", np.array([1.0 + i]))


def library(i: int, patch: pytest.MonkeyPatch) -> None:
    if i:
        patch.setattr(np, "hypot", lambda a, b: 2.0)


def operator(i: int, patch: pytest.MonkeyPatch) -> None:
    if i:
        real = torch.sigmoid
        patch.setattr(torch, "sigmoid", lambda x: 2 * real(x))


def state_of_torch(i: int, patch: pytest.MonkeyPatch) -> None:
    if i:
        patch.setattr(torch.backends.mkldnn, "factor", 2.0, raising=False)


CHANGES = {
    "os.environ": ('float(os.environ["FACTOR"])', environment),
    "os.getenv": ('float(os.getenv("FACTOR", "1"))', environment),
    "a text file": ('float(Path("factor.txt").read_text())', write("factor.txt", "1.0", "2.0")),
    "a file of json": (
        'json.loads(Path("c.json").read_text())["f"]',
        write("c.json", '{"f": 1.0}', '{"f": 2.0}'),
    ),
    "the size of a file": ('float(os.stat("size.txt").st_size)', write("size.txt", "1", "22")),
    "a folder's contents": ('float(len(list(Path(".").glob("*.part"))) + 1)', parts),
    "weights of torch": ('torch.load("weights.pt")["factor"].item()', saved),
    "weights of numpy": ('float(np.load("weights.npy")[0])', archived),
    "a patched library": ("float(np.hypot(0.6, 0.8))", library),
    "a patched operator": ("2 * torch.sigmoid(torch.tensor(0.0)).item()", operator),
    "a setting of a library": ('getattr(torch.backends.mkldnn, "factor", 1.0)', state_of_torch),
}


IN_MODELS = ("os.environ", "a text file", "weights of torch", "a patched operator")


@pytest.mark.parametrize(
    ("change", "where"),
    [*((name, "in_loss") for name in CHANGES), *((name, "in_model") for name in IN_MODELS)],
)
def test_change_that_no_identity_sees_is_trained_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: str, where: str
) -> None:
    expression, make = CHANGES[change]
    places = {"in_loss": "1.0", "in_model": "1.0"} | {where: "scale()"}
    Path("suite.py").write_text(SUITE.format(expression=expression, **places))
    make(0, monkeypatch)
    assert trained() == (N_RUNS, [])
    assert trained() == (0, [])  # because nothing has changed
    make(1, monkeypatch)
    n_trained, findings = trained()
    assert n_trained == N_RUNS
    assert "do not repeat" in findings[0]


def trained() -> tuple[int, list[str]]:
    """Run the suite: how many runs it trained, and what the check of reused ones found."""
    suite = load_suite("suite.py")
    pool = InlinePool()
    pool.load(suite)
    studies = studies_of(suite, prepare(suite, device="cpu")[0], device="cpu")
    findings: list[str] = []
    for event in run_campaign(
        studies, uri=tracking_uri(), campaign="c", suite="unseen", pool=pool, stop=lambda: False
    ):
        if isinstance(event, ReuseChecked):
            findings += event.findings
    return pool.n_trained, findings
