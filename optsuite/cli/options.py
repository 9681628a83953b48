"""The options that several commands share, and what their values mean."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from optsuite.execution.pool import Pool

SUITE = click.option(
    "--suite", default="benchmarks", show_default=True, help="File or module that defines SUITE, or a name that `list` shows."
)
CAMPAIGN = click.option("--campaign", default="default", show_default=True, help="Name of the set of results.")
WORKERS = click.option("--workers", type=click.IntRange(1, 4096), help="Worker processes.  [default: one a core]")
RAY = click.option(
    "--ray", metavar="ADDRESS", help="Train on the Ray cluster at HOST:PORT, or auto: a running one, else a local one."
)
DEVICE = click.option("--device", default="cpu", show_default=True, help="Where to train: cpu, cuda, cuda:1, mps.")
ENGINE = click.option("--engine", type=click.Choice(["auto", "plain", "stacked"]), default="auto", help="How runs are trained.")
CHECKPOINT = click.option(
    "--checkpoint-every",
    type=click.IntRange(min=1),
    help="Save runs trained one by one after every so many steps, to resume them.",
)
TRUST = click.option(
    "--trust-store", is_flag=True, help="Reuse results without training one of each study again to see that they repeat."
)
OUT = click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("mlruns/report"), show_default=True)
TRAINING = (WORKERS, RAY, DEVICE, ENGINE, CHECKPOINT, TRUST)


@dataclass(frozen=True, kw_only=True)
class Training:
    """Where and how a command trains."""

    workers: int | None
    ray: str | None
    device: str
    engine: str
    checkpoint_every: int | None
    trust_store: bool

    def start(self) -> None:
        """Begin with what takes long and can go on meanwhile."""
        if not self.ray:
            from optsuite.execution.processes import start_server

            start_server()

    def open_pool(self, suite: str) -> "AbstractContextManager[Pool]":
        """The pool that trains the suite of this name. Raises BadInput."""
        from optsuite.execution.opening import open_pool
        from optsuite.tracking.location import checkpoint_folder, tracking_uri
        from optsuite.training.checkpoint import Checkpoints

        every = self.checkpoint_every
        checkpoints = None if every is None else Checkpoints(folder=checkpoint_folder(tracking_uri()), every=every)
        return open_pool(self.ray, self.workers, suite=suite, device=self.device, checkpoints=checkpoints)


def training(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options TRAINING, which it receives as `how`."""

    @functools.wraps(command)
    def bundled(**options: Any) -> int:
        how = Training(**{field.name: options.pop(field.name) for field in fields(Training)})
        return command(how=how, **options)

    return functools.reduce(lambda decorated, option: option(decorated), reversed(TRAINING), bundled)


def parse_seeds(text: str) -> list[int]:
    """Seeds separated by commas, each a whole number from 0, each once. Raises BadParameter."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or max(seeds) >= 2**31 or len(set(seeds)) < len(seeds):
        allowed = "different whole numbers from 0, separated by commas"
        raise click.BadParameter(f"got {text!r}, allowed: {allowed}", param_hint="--seeds")
    return seeds
