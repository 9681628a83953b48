"""Trains every named optimizer on a tiny benchmark, or prints the error that explains why not.

    python scripts/every_optimizer.py [NAME ...]

Exits with 1 if one raises anything else. Takes about a minute for all.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Benchmark, Splits, Suite
from optsuite.errors import InputError
from optsuite.optimizers.packaged import PYTORCH_OPTIMIZER, imported
from optsuite.registry import find_optimizer
from optsuite.training.plain import train
from optsuite.training.results import Run, RunResult
from optsuite.training.validation.definitions import check_benchmark, check_pair

TRAINED = "trained"


def images() -> Splits:
    """Noise with a pattern in it or not: x (n, 1, 8, 8), y (n,) in 0..1; 64 / 32 / 32 examples."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(128) % 2
    x = torch.randn(128, 1, 8, 8, generator=generator) + y[:, None, None, None] * torch.linspace(
        -1, 1, 8
    )

    def part(low: int, high: int) -> tuple[Tensor, Tensor]:
        return x[low:high], y[low:high]

    return Splits(train=part(0, 64), validation=part(64, 96), test=part(96, 128))


def model() -> nn.Module:
    """Parameters of one to four dimensions, as optimizers tell these apart."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 8),
        nn.Linear(8, 2),
    )


BENCHMARK = Benchmark(
    name="patterns",
    dataset=images,
    model=model,
    loss=F.cross_entropy,
    batch_size=16,
    max_steps=12,
    eval_every=4,
)
SUITE = Suite(
    name="every_optimizer", benchmarks=(BENCHMARK,), optimizers=tuple(OPTIMIZERS.values())
)


def names() -> list[str]:
    """All of the registry, then all of pytorch-optimizer."""
    return [
        *OPTIMIZERS,
        *(
            f"{PYTORCH_OPTIMIZER}:{name}"
            for name in imported(PYTORCH_OPTIMIZER).get_supported_optimizers()
        ),
    ]


def outcomes(chosen: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each name, and `TRAINED` or the line that a person is shown. Raises what training raises."""
    splits = images()
    check_benchmark(BENCHMARK, splits)
    for name in chosen:
        try:
            spec = find_optimizer(SUITE, name)
            check_pair(BENCHMARK, spec, splits)
        except InputError as error:
            yield name, str(error)
            continue
        run = Run(
            benchmark=BENCHMARK.name,
            optimizer=name,
            lr=spec.default_lr or spec.lr.low,
            seed=0,
            kind="trial",
        )
        *_, (_, ended) = train(BENCHMARK, spec, [run], splits)
        finished = isinstance(ended, RunResult) and ended.outcome == "finished"
        yield name, TRAINED if finished else f"not trained: {ended}"


def is_clear(outcome: str) -> bool:
    """Whether a person knows what to do: it is trained, or one line says what it needs."""
    return outcome == TRAINED or (
        "\n" not in outcome and " needs " in outcome and " raised " not in outcome
    )


def main() -> int:
    """Print the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    unclear = 0
    counts = {True: 0, False: 0}
    for name, outcome in outcomes(sys.argv[1:] or names()):
        print(f"{name:40} {outcome}", flush=True)
        counts[outcome == TRAINED] += 1
        unclear += not is_clear(outcome)
    refused = f"{counts[False]} refused, {unclear} of them without a clear reason"
    print(f"{counts[True]} trained, {refused}")
    return min(unclear, 1)


if __name__ == "__main__":
    sys.exit(main())
