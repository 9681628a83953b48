"""The engines that train runs, as values."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from optsuite.training import plain, stacked
from optsuite.training.results import Measurement, RunResult
from optsuite.training.stack import PAD_TO

Train = Callable[..., Iterator[tuple[int, Measurement | RunResult]]]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A way to train runs of one benchmark and one optimizer.

    `train` takes (benchmark, optimizer, runs, splits, device=...). An engine that `stacks` trains
    several runs as one model; its stacks are filled up to a multiple of `pad_to` runs. An engine
    with `checkpoints` can resume a run in the middle.
    """

    name: str
    train: Train
    stacks: bool = False
    pad_to: int = 1
    checkpoints: bool = False


PLAIN = Engine(name="plain", train=plain.train, checkpoints=True)
STACKED = Engine(name="stacked", train=stacked.train, stacks=True, pad_to=PAD_TO)
# An optimizer for each run, even if its step is declared linear in lr.
STACKED_VIEWS = Engine(name="stacked_views", train=stacked.train_views, stacks=True, pad_to=PAD_TO)
ENGINES: Mapping[str, Engine] = MappingProxyType(
    {engine.name: engine for engine in (PLAIN, STACKED, STACKED_VIEWS)}
)
