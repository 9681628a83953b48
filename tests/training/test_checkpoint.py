"""A run that resumes from a checkpoint gives exactly the numbers of an uninterrupted run."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from suites import tiny
from torch import nn

from optsuite import OPTIMIZERS, OptimizerSpec
from optsuite.errors import InputError
from optsuite.execution.pool import Task
from optsuite.execution.worker import trainer
from optsuite.optimizers.packaged import is_available
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
LAST_CHECKPOINT = MIDDLE // EVERY * EVERY  # before the middle
LEFT = BENCHMARK.max_steps - LAST_CHECKPOINT
SPLITS = tiny.line()
ADAM = OPTIMIZERS["adam"]
DECLINED = {"shampoo"}  # keeps objects in its state, which torch.load(weights_only=True) refuses
Updates = list[tuple[int, dict[str, float]] | RunResult]


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one item per step taken."""
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
) -> Updates:
    """The measurements and the result of a run, stopped after the measurement at step `until`."""
    run = Run(
        benchmark=benchmark.name,
        optimizer=spec.name,
        lr=spec.default_lr or 0.01,
        seed=0,
        kind="trial",
    )
    checkpoint_of = partial(in_folder, folder) if folder else None
    updates: Updates = []
    for _, update in plain.train(benchmark, spec, [run], SPLITS, checkpoint_of=checkpoint_of):
        if isinstance(update, RunResult):
            updates.append(update)
            continue
        updates.append((update.step, dict(update.values)))
        if update.step == until:
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
def test_interrupted_run_of_each_optimizer_gives_the_same_numbers(
    spec: OptimizerSpec, tmp_path: Path, steps: list[int]
) -> None:
    undisturbed = trained(spec, None)
    interrupted = trained(spec, tmp_path, until=MIDDLE)
    steps.clear()
    assert trained(spec, tmp_path) == undisturbed
    assert interrupted == undisturbed[: len(interrupted)]
    assert undisturbed[-1] == RunResult(outcome="finished")
    kept = [path.name for path in tmp_path.iterdir()]
    if spec.name in DECLINED:
        assert (len(steps), kept) == (BENCHMARK.max_steps, [])
    else:
        assert (len(steps), kept) == (LEFT, [f"{OWN}.pt"])


def test_resumed_run_keeps_the_times_of_measurements(tmp_path: Path) -> None:
    run = Run(benchmark="tiny_line", optimizer="adam", lr=0.01, seed=0, kind="trial")

    def times() -> list[float]:
        checkpoint_of = partial(in_folder, tmp_path)
        updates = plain.train(BENCHMARK, ADAM, [run], SPLITS, checkpoint_of=checkpoint_of)
        return [update.time for _, update in updates if isinstance(update, Measurement)]

    first = times()
    second = times()
    assert first[:5] == second[:5]
    assert first[5] < second[5]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Change one bit of a weight, which torch does not detect."""
    content = path.read_bytes()
    weight = torch.load(path, weights_only=True)["model"]["0.weight"].numpy().tobytes()
    place = content.index(weight)
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def reshape(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"model": nn.Linear(2, 2).state_dict()}, path)


def refuse(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"total": Path()}, path)


@pytest.mark.parametrize("damage", [cut, flip, reshape, refuse, lambda path: path.write_bytes(b"")])
def test_damaged_checkpoint_is_ignored_with_a_warning(
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
    assert len(steps) == BENCHMARK.max_steps + 1  # one of the twin
    assert "a checkpoint cannot be used and its run starts over" in caplog.text


def test_full_disk_does_not_end_the_run(
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
    """Keeps state that its step depends on outside its state_dict."""

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
def test_state_outside_the_state_dict_disables_checkpoints(
    tmp_path: Path, steps: list[int], make: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    def build(model: nn.Module, lr: float) -> Forgetful:
        return Forgetful(model.parameters(), lr, make())

    spec = replace(OPTIMIZERS["sgd"], build=build, fixed={}, lr_linear=False)
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
def test_model_with_state_in_python_gives_the_same_numbers(
    tmp_path: Path, steps: list[int], counts: bool
) -> None:
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
def test_state_outside_attributes_disables_checkpoints(tmp_path: Path, kind: Any) -> None:
    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return kind(model.parameters(), lr=0.01)  # type: ignore[no-any-return]

    spec = replace(OPTIMIZERS["sgd"], build=build, lr_linear=False)
    undisturbed = trained(spec, None)
    interrupted = trained(spec, tmp_path, until=MIDDLE)
    assert interrupted == undisturbed[: len(interrupted)]
    assert list(tmp_path.iterdir()) == []
    assert trained(spec, tmp_path) == undisturbed


def test_changed_definition_gets_its_own_checkpoint(tmp_path: Path, steps: list[int]) -> None:
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
def test_invalid_number_of_steps_is_refused(tmp_path: Path, every: Any) -> None:
    message = r"steps from checkpoint to checkpoint: got .*, allowed: a whole number from 1"
    with pytest.raises(InputError, match=message):
        Checkpoints(folder=tmp_path, every=every)
