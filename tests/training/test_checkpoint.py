"""A run that is interrupted and goes on from a checkpoint gives the very numbers of one that was left alone."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import InlinePool
from suites import tiny
from torch import nn

from optsuite import OPTIMIZERS, OptimizerSpec
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import manual_study, run_campaign
from optsuite.errors import InputError
from optsuite.execution.pool import Task
from optsuite.execution.worker import trainer
from optsuite.optimizers.packaged import is_available
from optsuite.registry import load_suite
from optsuite.tracking.location import checkpoint_folder, tracking_uri
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store
from optsuite.training import checkpoint, plain
from optsuite.training.checkpoint import Checkpoint, Checkpoints
from optsuite.training.fingerprint import Environment, Fingerprint
from optsuite.training.identity import define
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.train_step import take_step


def layers() -> nn.Module:
    """Matrices, vectors, buffers and random numbers."""
    return nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1)
    )


BENCHMARK = replace(tiny.BENCHMARK, model=layers, max_steps=50, eval_every=10)
EVERY, MIDDLE = 7, 30
LEFT = (
    BENCHMARK.max_steps - MIDDLE // EVERY * EVERY
)  # steps from the last checkpoint before the middle
SPLITS = tiny.line()
ADAM = OPTIMIZERS["adam"]
DECLINED = {"shampoo"}  # keeps objects in its state, which loading weights only refuses
Facts = list[tuple[int, dict[str, float]] | RunResult]


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by every step that is taken."""
    taken: list[int] = []

    def count(*arguments: Any) -> torch.Tensor:
        taken.append(1)
        return take_step(*arguments)

    monkeypatch.setattr(plain, "take_step", count)
    checkpoint._warn_once.cache_clear()
    return taken


def trained(
    spec: OptimizerSpec,
    folder: Path | None,
    *,
    benchmark: Any = BENCHMARK,
    until: int | None = None,
) -> Facts:
    """What a run measures and how it ends; it is stopped at the measurement of the step `until`."""
    run = Run(
        benchmark=benchmark.name,
        optimizer=spec.name,
        lr=spec.default_lr or 0.01,
        seed=0,
        kind="trial",
    )
    checkpoint_of = partial(in_folder, folder) if folder else None
    updates: Facts = []
    for _, update in plain.train(benchmark, spec, [run], SPLITS, checkpoint_of=checkpoint_of):
        updates.append(
            (update.step, dict(update.values)) if isinstance(update, Measurement) else update
        )
        if isinstance(update, Measurement) and update.step == until:
            break
    return updates


OWN = Fingerprint(
    benchmark="1",
    optimizer="2",
    run="3",
    environment=Environment(benchmark="4", optimizer="5", engine="plain"),
)


def in_folder(folder: Path, run: Run) -> Checkpoint:
    return Checkpoints(folder=folder, every=EVERY).of(OWN)


def needs_package(spec: OptimizerSpec) -> list[pytest.MarkDecorator]:
    return [
        pytest.mark.skipif(not is_available(spec), reason="needs the extra optsuite[optimizers]")
    ]


@pytest.mark.parametrize(
    "spec", [pytest.param(s, id=s.name, marks=needs_package(s)) for s in OPTIMIZERS.values()]
)
def test_contract_an_interruption_changes_nothing(
    spec: OptimizerSpec, tmp_path: Path, steps: list[int]
) -> None:
    undisturbed = trained(spec, None)
    interrupted = trained(spec, tmp_path, until=MIDDLE)
    steps.clear()
    assert trained(spec, tmp_path) == undisturbed
    assert interrupted == undisturbed[: len(interrupted)]
    assert undisturbed[-1] == RunResult(outcome="finished")
    assert len(steps) == (BENCHMARK.max_steps if spec.name in DECLINED else LEFT)
    assert [path.name for path in tmp_path.iterdir()] == (
        [] if spec.name in DECLINED else [f"{OWN}.pt"]
    )


def test_the_times_of_measurements_are_kept(tmp_path: Path) -> None:
    run = Run(benchmark="tiny_line", optimizer="adam", lr=0.01, seed=0, kind="trial")
    first, second = (
        [
            f.time
            for _, f in plain.train(
                BENCHMARK, ADAM, [run], SPLITS, checkpoint_of=partial(in_folder, tmp_path)
            )
            if isinstance(f, Measurement)
        ]
        for _ in range(2)
    )
    assert first[:5] == second[:5]
    assert first[5] < second[5]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Change one bit of a weight, which torch does not notice."""
    content = path.read_bytes()
    weight = torch.load(path, weights_only=True)["model"]["0.weight"].numpy().tobytes()
    place = content.index(weight)
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def reshape(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"model": nn.Linear(2, 2).state_dict()}, path)


def refuse(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"total": Path()}, path)


@pytest.mark.parametrize("damage", [cut, flip, reshape, refuse, lambda path: path.write_bytes(b"")])
def test_what_cannot_be_used_is_ignored(
    tmp_path: Path,
    steps: list[int],
    damage: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    undisturbed = trained(ADAM, None)
    trained(ADAM, tmp_path, until=MIDDLE)
    damage(tmp_path / f"{OWN}.pt")
    steps.clear()
    assert trained(ADAM, tmp_path) == undisturbed
    assert len(steps) == BENCHMARK.max_steps + 1  # the twin's
    assert "a checkpoint cannot be used and its run starts over" in caplog.text


def test_a_full_disk_ends_no_run(
    tmp_path: Path,
    steps: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(descriptor: int) -> None:
        if len(steps) > 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    undisturbed = trained(ADAM, None)
    steps.clear()
    monkeypatch.setattr(os, "fsync", full)
    assert trained(ADAM, tmp_path) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == [f"{OWN}.pt"]
    assert torch.load(tmp_path / f"{OWN}.pt", weights_only=True)["step"] == EVERY + 1
    assert caplog.text.count("No space left on device") == 1


class Forgetful(torch.optim.SGD):
    """Keeps what its step depends on where its state_dict does not see it."""

    def __init__(self, params: Any, lr: float, memory: Any) -> None:
        super().__init__(params, lr=lr)
        self.memory = memory

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if isinstance(self.memory, torch.Generator):
            scale = torch.rand((), generator=self.memory).item()
        else:
            self.memory.append(1)
            scale = 1 / len(self.memory)
        for parameter in self.param_groups[0]["params"]:
            parameter.grad.mul_(scale)
        super().step()


@pytest.mark.parametrize("make", [list, torch.Generator])
def test_what_is_not_in_a_state_dict_is_noticed(
    tmp_path: Path, steps: list[int], make: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    spec = replace(
        OPTIMIZERS["sgd"],
        build=lambda m, lr: Forgetful(m.parameters(), lr, make()),
        fixed={},
        lr_linear=False,
    )
    undisturbed = trained(spec, None)
    trained(spec, tmp_path, until=MIDDLE)
    steps.clear()
    assert trained(spec, tmp_path) == undisturbed
    assert len(steps) == BENCHMARK.max_steps
    assert "training continues without" in caplog.text


class Peculiar(nn.Module):
    """Registers a hook, and may count its steps in Python, or set a part of itself to eval mode."""

    def __init__(self, counts: bool) -> None:
        super().__init__()
        self.layers = layers().eval()
        self.layers.register_forward_hook(lambda module, inputs, outputs: outputs * 2)
        self.counts, self.state = counts, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state += self.counts and self.training
        return self.layers(x) / (1 + self.state)  # type: ignore[no-any-return]


@pytest.mark.parametrize("counts", [True, False])
def test_models_that_keep_more_than_tensors(tmp_path: Path, steps: list[int], counts: bool) -> None:
    benchmark = replace(BENCHMARK, model=lambda: Peculiar(counts))
    undisturbed = trained(ADAM, None, benchmark=benchmark)
    trained(ADAM, tmp_path, benchmark=benchmark, until=MIDDLE)
    steps.clear()
    assert trained(ADAM, tmp_path, benchmark=benchmark) == undisturbed
    assert len(steps) == (BENCHMARK.max_steps if counts else LEFT)


class OnParameters(torch.optim.SGD):
    """Momentum that no attribute of the optimizer holds."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            parameter.before = 0.9 * getattr(parameter, "before", 0.0) + parameter.grad
            parameter -= 0.01 * parameter.before


class Accumulating(torch.optim.SGD):
    """Its gradients outlive a step."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter.grad *= 0.5


@pytest.mark.parametrize("kind", [OnParameters, Accumulating])
def test_what_is_kept_elsewhere_shows_with_the_next_step(tmp_path: Path, kind: Any) -> None:
    spec = replace(
        OPTIMIZERS["sgd"],
        build=lambda model, lr: kind(model.parameters(), lr=0.01),
        lr_linear=False,
    )
    undisturbed = trained(spec, None)
    interrupted = trained(spec, tmp_path, until=MIDDLE)
    assert interrupted == undisturbed[: len(interrupted)]
    assert list(tmp_path.iterdir()) == []
    assert trained(spec, tmp_path) == undisturbed


def test_another_definition_has_another_checkpoint(tmp_path: Path, steps: list[int]) -> None:
    run = Run(benchmark="tiny_line", optimizer="adam", lr=0.01, seed=0, kind="trial")
    for n, fixed in enumerate(({}, {"weight_decay": 0.1}, {}), start=1):
        spec = replace(ADAM, fixed={**ADAM.fixed, **fixed})
        suite = replace(tiny.SUITE, benchmarks=(BENCHMARK,), optimizers=(spec,))
        task = Task(
            id=n,
            priority=0,
            engine="plain",
            definition=define(BENCHMARK, spec, SPLITS),
            runs=(run,),
        )
        steps.clear()
        checkpoints = Checkpoints(folder=tmp_path, every=EVERY)
        *_, last = trainer(partial(replace, suite), "cpu", checkpoints)(task)
        assert last == (0, RunResult(outcome="finished"))
        assert (tmp_path / f"{task.fingerprint(run)}.pt").exists()
        assert len(list(tmp_path.iterdir())) == min(n, 2)
        assert len(steps) == (BENCHMARK.max_steps + 1 if n < 3 else BENCHMARK.max_steps % EVERY)


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_the_number_of_steps_is_checked(tmp_path: Path, every: Any) -> None:
    with pytest.raises(
        InputError,
        match=r"steps from checkpoint to checkpoint: got .*, allowed: a whole number from 1",
    ):
        Checkpoints(folder=tmp_path, every=every)


@pytest.mark.parametrize("lr", [0.01, 1e6], ids=["finished", "diverged"])
def test_a_checkpoint_goes_when_the_store_holds_the_run(folder: Path, lr: float) -> None:
    suite = replace(tiny.SUITE, optimizers=tiny.SUITE.optimizers[:1])
    kept = checkpoint_folder(tracking_uri())
    kept.mkdir()
    pool = InlinePool()
    for loss in (
        torch.nn.functional.l1_loss,
        None,
    ):  # the first is not what the run was asked for: it fails
        (problem,), _ = prepare(suite, device="cpu", engine="plain")
        study = manual_study(suite, problem, lr=lr, seeds=[0], device="cpu")
        own = kept / f"{study.fingerprint(study.requested[0])}.pt"
        for name in (own.name, f"{own.name}.123", "other.pt"):
            (kept / name).touch()
        pool.load(
            suite
            if loss is None
            else replace(suite, benchmarks=(replace(tiny.BENCHMARK, loss=loss),))
        )
        list(
            run_campaign(
                [study],
                uri=tracking_uri(),
                campaign="c",
                suite="tiny",
                pool=pool,
                stop=lambda: False,
            )
        )
        assert own.exists() == (loss is not None)
    assert [path.name for path in kept.iterdir()] == ["other.pt"]


def test_where_checkpoints_lie() -> None:
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
    arguments = (
        "train",
        "tiny_line",
        "adam",
        "--suite",
        "long.py",
        "--lr",
        "0.01",
        "--engine",
        "plain",
        "--checkpoint-every",
        "300",
    )
    paths = os.pathsep.join(
        filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))
    )
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("optsuite")), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_command_goes_on_from_its_checkpoint(folder: Path) -> None:
    (folder / "long.py").write_text(LONG)
    kept = checkpoint_folder(tracking_uri())
    process = start(folder)
    deadline = time.monotonic() + 90
    while not any(kept.glob("*.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.communicate()  # until the worker has closed its end of the pipes, too
    before = (folder / "steps").stat().st_size
    assert before < 300 + 150  # it has not gone on to the next measurement
    process = start(folder)
    _, err = process.communicate(timeout=90)
    assert (process.returncode, err) == (0, "")
    assert (
        folder / "steps"
    ).stat().st_size - before < 600 - 300 + 100  # some are for trying the definition
    assert not list(kept.iterdir())

    undisturbed = replace(load_suite("long.py").benchmarks[0], model=lambda: nn.Linear(3, 1))
    run = Run(
        benchmark="tiny_line", optimizer="adam", lr=0.01, seed=0, kind="evaluation", arm="manual"
    )
    updates = [
        update
        for _, update in plain.train(undisturbed, ADAM, [run], SPLITS)
        if isinstance(update, Measurement)
    ]
    store = open_store(tracking_uri())
    (row,) = read_runs(store, "default").to_dict("records")
    for name, curve in store.curves(
        row["run_id"], ["train/loss", "validation/loss", "test/loss"]
    ).items():
        assert curve == {
            update.step: update.values[name] for update in updates if name in update.values
        }
