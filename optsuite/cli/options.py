"""The options that several commands share, and the parsing of their values."""

import functools
import re
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
MOST_SEEDS = 1_000  # of Suite, whose module is not loaded for --help
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


class SeedRange(click.ParamType[tuple[int, int]]):
    """A number of seeds, or the first and the most of them, as in 12..36; (12, 0) for 12."""

    name = "N or N..M"

    def convert(
        self, value: object, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int]:
        """Read the text. Raises BadParameter."""
        found = re.fullmatch(r"([1-9][0-9]{0,3})(?:\.\.([1-9][0-9]{0,3}))?", str(value))
        if found is None:
            self.fail(f"got {value!r}, allowed: a number from 1, or a range such as 12..36", param)
        first, most = int(found[1]), int(found[2] or 0)
        if max(first, most) > MOST_SEEDS:
            self.fail(f"got {value!r}, allowed: at most {MOST_SEEDS}", param)
        if found[2] and most < first:
            self.fail(f"got {value!r}, allowed: a range that ends after its start", param)
        return first, most if most > first else 0


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
