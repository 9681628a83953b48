"""The options that several commands share, and the parsing of their values."""

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from optsuite.execution.options import ENGINE_CHOICES, ExecutionOptions

SUITE = click.option(
    "--suite",
    default="default",
    show_default=True,
    help="Name that `list` shows, or a file or module that defines SUITE.",
)
CAMPAIGN = click.option(
    "--campaign", default="default", show_default=True, help="Name of the set of results."
)
WORKERS = click.option(
    "--workers", type=click.IntRange(1, 4096), help="Worker processes.  [default: one per core]"
)
RAY = click.option(
    "--ray",
    metavar="ADDRESS",
    help="Train on the Ray cluster at HOST:PORT, or auto: a running one, else a local one.",
)
DEVICE = click.option(
    "--device", default="cpu", show_default=True, help="Where to train: cpu, cuda, cuda:1, mps."
)
ENGINE = click.option(
    "--engine", type=click.Choice(ENGINE_CHOICES), default="auto", help="How runs are trained."
)
CHECKPOINT = click.option(
    "--checkpoint-every",
    type=click.IntRange(min=1),
    help="Save runs trained one by one every this many steps, to resume them.",
)
TRUST = click.option(
    "--trust-store",
    is_flag=True,
    help="Reuse results without training one run of each study again as a check.",
)
EXECUTION = (WORKERS, RAY, DEVICE, ENGINE, CHECKPOINT, TRUST)


def execution_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options EXECUTION, which it receives as `options`."""

    @functools.wraps(command)
    def bundled(**values: Any) -> int:
        names = [field.name for field in fields(ExecutionOptions)]
        options = ExecutionOptions(**{name: values.pop(name) for name in names})
        return command(options=options, **values)

    decorated: Callable[..., int] = bundled
    for option in reversed(EXECUTION):
        decorated = option(decorated)
    return decorated


def start_workers(options: ExecutionOptions) -> None:
    """Start the server of the workers, whose slow imports then run beside ours."""
    if not options.ray:
        from optsuite.execution.local.processes import start_server

        start_server()


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
