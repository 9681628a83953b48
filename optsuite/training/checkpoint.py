"""Checkpoints, from which a run that trains alone resumes bit for bit after its process was killed.

A checkpoint is used only if a hash of the restored state equals that of the saved one. None is kept
before a restored twin has taken a step that gave the weights of the original. If a file is damaged
or incomplete, or an optimizer or a model keeps state outside its attributes, the run starts over.
State that affects only later steps, such as a module-level counter, is not detected. Knows no
engine, no worker and no store.
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

# Attributes that torch's optimizers compute again at their next step.
CACHED = {"_need_device_dtype_check_for_fused", "_numel_cache"}
# Loading a state adds this to the defaults of an optimizer.
LOADED = {"differentiable": False}


@dataclass(kw_only=True)
class State:
    """All that the next steps of a run depend on, except its definition."""

    model: nn.Module
    optimizer: Optimizer
    total: Tensor  # the sum of the training losses since the last measurement
    since: int = 0  # the number of steps since the last measurement
    step: int = 0
    measurements: list[Measurement] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The folder of the checkpoints, and the number of steps from one to the next."""

    folder: Path
    every: int

    def __post_init__(self) -> None:
        require_count("steps from checkpoint to checkpoint", self.every)

    def of(self, fingerprint: Fingerprint) -> "Checkpoint":
        """The checkpoint of the run with this fingerprint."""
        return Checkpoint(self.folder / f"{fingerprint}.pt", self.every)


class Checkpoint:
    """The checkpoint of one run. If it fails, training continues without it, with a warning."""

    def __init__(self, path: Path, every: int) -> None:
        self._path = path
        self._every = every
        self._restorable: bool | None = None  # unknown until the twin has taken a step
        self._twin: State | None = None

    def begin(self, fresh: Callable[[], State]) -> State:
        """The saved state if there is one that can be used, else a fresh one."""
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
        """Save the state if a checkpoint is due. `advance` repeats the latest step on any state.

        The first time, a twin of the run is restored, which takes the next step too. If the
        weights differ then, the run has state that no checkpoint holds, and none is saved.
        """
        if self._twin is not None:
            self._restorable = self._agrees(state, self._twin, advance)
            self._twin = None
        elif self._restorable is False or state.step % self._every:
            return
        try:
            if self._restorable is None:
                self._twin = self._trial(state)
            elif self._restorable:
                save(self._path, state)
        except OSError as error:
            _warn_once(
                f"checkpoints cannot be saved in {self._path.parent}; "
                f"training continues without them: {_cause(error)}"
            )

    def _trial(self, state: State) -> State | None:
        """A twin restored from the state; None if that is not possible. Raises OSError."""
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
            self._decline(state, "its next step differed")
        return agrees

    def _decline(self, state: State, cause: str) -> None:
        self._restorable = False
        what = f"{type(state.optimizer).__name__} of {type(state.model).__name__}"
        _warn_once(f"{what} cannot be restored; training continues without checkpoints: {cause}")


def save(path: Path, state: State) -> None:
    """Write the state atomically and durably, so that a checkpoint survives a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(_contents(state), buffer)
    write_atomically(path, buffer.getbuffer(), durable=True)


def load(path: Path, fresh: Callable[[], State]) -> State:
    """The saved state, restored into a fresh one. Raises an exception of any type on failure."""
    saved = torch.load(path, weights_only=True)
    state = fresh()
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.total = saved["total"].to(state.total.device)
    state.since, state.step = saved["since"], saved["step"]
    state.measurements = []
    for step, values, time in saved["measurements"]:
        state.measurements.append(Measurement(step=step, values=values, time=time))
    if _seal(state) != saved["seal"]:
        raise ValueError("the restored state differs from the saved one")
    return state


def remove(folder: Path, fingerprint: Fingerprint) -> None:
    """Remove the checkpoint of a run, and incomplete files of processes killed while writing."""
    with suppress(OSError):  # a file that cannot be removed does no harm
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
    """Measurements as (step, values, time)."""
    rows: list[tuple[int, dict[str, float], float]] = []
    for measurement in measurements:
        values = {name: float(value) for name, value in measurement.values.items()}
        rows.append((measurement.step, values, measurement.time))
    return rows


def _seal(state: State) -> str:
    """A hash of all attributes in a state. Raises InputError if one cannot be hashed."""
    modules = [_attributes(module, without={"_modules"}) for module in state.model.modules()]
    optimizer = _attributes(state.optimizer, without=CACHED)
    optimizer["defaults"] = LOADED | optimizer.get("defaults", {})
    parts = [modules, optimizer, state.total, state.since, state.step, _numbers(state.measurements)]
    return digest(canonicalize(_sorted(parts)).text)


def _sorted(value: Any) -> Any:
    """The value with sorted mappings, because loading a state changes their order."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value, key=repr)}
    if isinstance(value, Optimizer):  # an optimizer inside the optimizer
        return [type(value), _sorted(_attributes(value, without=CACHED))]
    if isinstance(value, list | tuple):
        return [_sorted(part) for part in value]
    return value


def _attributes(value: object, *, without: Set[str]) -> dict[str, Any]:
    """The attributes by name; hooks without their keys, which number all hooks of a process."""
    attributes: dict[str, Any] = {}
    for name, part in vars(value).items():
        if name in without:
            continue
        has_hooks = "_hooks" in name and isinstance(part, Mapping)
        attributes[name] = list(part.values()) if has_hooks else part
    return attributes


def _cause(error: BaseException) -> str:
    """The original error in one line: torch raises its own while handling a full disk."""
    return one_line(error.__context__ or error).partition(". ")[0][:200]


@cache
def _warn_once(message: str) -> None:
    logging.getLogger("optsuite").warning(message)
