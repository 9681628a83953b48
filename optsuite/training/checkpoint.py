"""Checkpoints: what a run that is trained alone needs to go on, bit by bit, after its process was killed.

A checkpoint counts only where a hash says that all that it restores is what was saved, and none is kept before a restored
twin has taken a step that gave the weights of the original. A damaged file, a process that dies while it writes, what an
optimizer or a model keeps elsewhere than in its attributes: then the run starts over. What shows later than with the next
step, as a counter in a module's globals, cannot be found out. Knows no engine, no worker and no store.
"""

import io
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.errors import one_line, require_count
from optsuite.files import write_atomically
from optsuite.training.canonical.canonicalize import canonicalize
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import digest
from optsuite.training.results import Measurement

CACHED = {
    "_need_device_dtype_check_for_fused",
    "_numel_cache",
}  # what optimizers of torch find out anew with their next step
LOADED = {"differentiable": False}  # what loading a state adds to the defaults of an optimizer


@dataclass(kw_only=True)
class State:
    """A run under way: all that its next steps depend on beside its definition."""

    model: nn.Module
    optimizer: Optimizer
    total: Tensor  # the sum of the training losses since the last measurement
    since: int = 0  # and their number
    step: int = 0
    measurements: list[Measurement] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The folder of the checkpoints, and after how many steps of a run one is saved."""

    folder: Path
    every: int

    def __post_init__(self) -> None:
        require_count("steps from checkpoint to checkpoint", self.every)

    def of(self, fingerprint: Fingerprint) -> "Checkpoint":
        """The checkpoint of the run with this fingerprint."""
        return Checkpoint(self.folder / f"{fingerprint}.pt", self.every)


class Checkpoint:
    """The checkpoint of one run. Nothing that goes wrong with it ends the run: training goes on without, and says so."""

    def __init__(self, path: Path, every: int) -> None:
        self._path = path
        self._every = every
        self._restorable: bool | None = None  # not known before it was tried
        self._twin: State | None = None

    def begin(self, fresh: Callable[[], State]) -> State:
        """The state that was saved, where there is one to go on from, else a fresh one, in which the run starts."""
        self._fresh = fresh
        try:
            state = load(self._path, fresh)
        except FileNotFoundError:
            return fresh()
        except Exception as error:
            _warn_once(f"a checkpoint cannot be used and its run starts over: {_cause(error)}")
            return fresh()
        self._restorable = True
        return state

    def save(self, state: State, advance: Callable[[State], Tensor]) -> None:
        """Save the state where it is due. `advance` takes the step that has just been taken on another state.

        The first time, what was saved is restored beside the run and takes its next step: if their weights differ then, the
        run keeps something that no checkpoint holds, and none is saved.
        """
        if self._twin is not None:
            self._restorable, self._twin = self._agrees(state, self._twin, advance), None
        elif self._restorable is False or state.step % self._every:
            return
        try:
            if self._restorable is None:
                self._twin = self._trial(state)
            elif self._restorable:
                save(self._path, state)
        except OSError as error:
            _warn_once(
                f"checkpoints cannot be saved in {self._path.parent}, training goes on without: {_cause(error)}"
            )

    def _trial(self, state: State) -> State | None:
        """A second state restored from the first; None where that is not possible. Raises OSError."""
        path = self._path.with_suffix(".trial")
        try:
            save(path, state)
            return load(path, self._fresh)
        except OSError:
            raise
        except Exception as error:
            self._decline(state, _cause(error))
            return None
        finally:
            path.unlink(missing_ok=True)

    def _agrees(self, state: State, twin: State, advance: Callable[[State], Tensor]) -> bool:
        try:
            advance(twin)
            weights, others = state.model.state_dict(), twin.model.state_dict()
            agrees = all(torch.equal(weights[name], others[name]) for name in weights)
        except Exception:
            agrees = False
        if not agrees:
            self._decline(state, "its next step was another")
        return agrees

    def _decline(self, state: State, cause: str) -> None:
        self._restorable = False
        what = f"{type(state.optimizer).__name__} of {type(state.model).__name__}"
        _warn_once(f"{what} cannot be restored, training goes on without checkpoints: {cause}")


def save(path: Path, state: State) -> None:
    """Write the state whole or not at all, so that it survives a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(_contents(state), buffer)
    write_atomically(path, buffer.getbuffer(), durable=True)


def load(path: Path, fresh: Callable[[], State]) -> State:
    """A fresh state with all that was saved put in its place. Raises an exception of any type where that is not to be had."""
    saved = torch.load(path, weights_only=True)
    state = fresh()
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.total = saved["total"].to(state.total.device)
    state.since, state.step = saved["since"], saved["step"]
    state.measurements = [
        Measurement(step=step, values=values, time=time)
        for step, values, time in saved["measurements"]
    ]
    if _seal(state) != saved["seal"]:
        raise ValueError("what was restored is not what was saved")
    return state


def remove(folder: Path, fingerprint: Fingerprint) -> None:
    """Remove the checkpoint of a run, and what processes left that were killed while they wrote it."""
    with suppress(OSError):  # one that cannot be removed does no harm
        for path in folder.glob(f"*{fingerprint}.*"):
            path.unlink(missing_ok=True)


def _contents(state: State) -> dict[str, Any]:
    return {
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "total": state.total,
        "since": state.since,
        "step": state.step,
        "measurements": _numbers(state.measurements),
        "seal": _seal(state),
    }


def _numbers(measurements: Sequence[Measurement]) -> list[tuple[int, dict[str, float], float]]:
    return [
        (m.step, {name: float(value) for name, value in m.values.items()}, m.time)
        for m in measurements
    ]


def _seal(state: State) -> str:
    """A hash of all that a state holds, whether or not it is in a state_dict. Raises InputError for what has no hash."""
    modules = [_attributes(module, without={"_modules"}) for module in state.model.modules()]
    optimizer = _attributes(state.optimizer, without=CACHED)
    optimizer["defaults"] = LOADED | optimizer.get("defaults", {})
    parts = [modules, optimizer, state.total, state.since, state.step, _numbers(state.measurements)]
    return digest(canonicalize(_sorted(parts)).text)


def _sorted(value: Any) -> Any:
    """The same with all mappings in one order, which loading a state changes."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value, key=repr)}
    if isinstance(value, Optimizer):  # one that another consists of
        return [type(value), _sorted(_attributes(value, without=CACHED))]
    return [_sorted(part) for part in value] if isinstance(value, list | tuple) else value


def _attributes(value: object, *, without: Set[str]) -> dict[str, Any]:
    """The attributes by name; of hooks without their numbers, which depend on all that a process has done before."""
    return {
        name: list(part.values()) if "_hooks" in name and isinstance(part, Mapping) else part
        for name, part in vars(value).items()
        if name not in without
    }


def _cause(error: BaseException) -> str:
    """What went wrong in a line: torch raises errors of its own while it handles that of a full disk or a refused class."""
    return one_line(error.__context__ or error).partition(". ")[0][:200]


@cache
def _warn_once(message: str) -> None:
    logging.getLogger("optsuite").warning(message)
