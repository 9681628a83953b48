"""Measures how far the plain and the stacked engine differ. Prints Markdown.

The tolerance in training/agreement.py comes from here. Run it with
`PYTHONPATH=.:tests:scripts python -m speed.agreement`; it takes five minutes. Differences of losses
are relative to the larger value; those of metrics count examples of the smaller measured split.
"""

import argparse
import datetime
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from statistics import quantiles

import torch
from tabulate import tabulate

from benchmarks import EMBEDDED, SUITE
from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training import plain, stacked
from optsuite.training.equivalence.agreement import disagreement
from optsuite.training.results import Measurement, Run

SEEDS = 2
SCHEDULES = ((20, 2), (600, 40))  # steps, and how often they are measured
Curves = Mapping[int, list[Measurement]]  # by index of the run
Found = Mapping[tuple[str, int], list[float]]  # differences by kind and step


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--benchmarks", nargs="*", default=[benchmark.name for benchmark in EMBEDDED]
    )
    chosen = parser.parse_args().benchmarks
    torch.set_num_threads(1)
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    clauses: list[str] = []
    for benchmark in EMBEDDED:
        if benchmark.name in chosen:
            splits = benchmark.dataset().to("cpu", torch.float32)
            for spec in SUITE.optimizers:
                compare(benchmark, spec, splits, found, clauses)
    machine = f"torch {torch.__version__}, {platform.machine()}"
    print(f"{datetime.date.today()}, {machine}, {len(chosen)} benchmarks")
    n_optimizers = len(SUITE.optimizers)
    of = f"{SEEDS} seeds, {n_optimizers} optimizers and all loss curves"
    print(f"Median / 90 % / 99 % / largest of {of}\n")
    print(tabulate(table(found), headers="keys", tablefmt="github"))
    print("\n" + "\n".join(clauses or ["None of them disagrees."]))


def compare(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    found: Mapping[tuple[str, int], list[float]],
    clauses: list[str],
) -> None:
    """Train by both engines at each rate; add their differences, and any `disagreement`."""
    middle = spec.default_lr or (spec.lr.low * spec.lr.high) ** 0.5
    rates = {
        "lowest": spec.lr.low,
        "default": middle,
        "3 x default": 3 * middle,
        "highest": spec.lr.high,
    }
    examples = min(len(splits.validation[0]), len(splits.test[0]))
    runs = [
        Run(benchmark=benchmark.name, optimizer=spec.name, lr=rate, seed=seed, kind="trial")
        for rate in rates.values()
        for seed in range(SEEDS)
    ]
    for max_steps, eval_every in SCHEDULES:
        short = replace(benchmark, max_steps=max_steps, eval_every=eval_every)
        expected, received = (
            curves(engine.train(short, spec, runs, splits)) for engine in (plain, stacked)
        )
        for index, run in enumerate(runs):
            kind = list(rates)[index // SEEDS]
            for name, step, difference in differences(expected[index], received[index], examples):
                found[f"{kind}: {name}", step].append(difference)
            if clause := disagreement(expected[index], received[index], examples=examples):
                clauses.append(
                    f"{benchmark.name} {spec.name} at {run.lr:g}, seed {run.seed}: {clause}"
                )


def curves(updates: Iterable[tuple[int, object]]) -> Curves:
    """The measurements of each run."""
    own: dict[int, list[Measurement]] = defaultdict(list)
    for index, update in updates:
        if isinstance(update, Measurement):
            own[index].append(update)
    return own


def differences(
    expected: Iterable[Measurement], received: Iterable[Measurement], examples: int
) -> Iterator[tuple[str, int, float]]:
    """(what, step, difference) of all that both have measured after step 0."""
    lowest: dict[str, tuple[float, float]] = {}
    for one, other in zip(expected, received, strict=False):
        for curve in one.values.keys() & other.values.keys():
            pair = (one.values[curve], other.values[curve])
            if not curve.endswith("/loss"):
                if curve != "train/lr" and one.step:
                    yield "examples", one.step, abs(pair[0] - pair[1]) * examples
                continue
            before = lowest.get(curve, pair)
            lowest[curve] = (min(pair[0], before[0]), min(pair[1], before[1]))
            if one.step:
                yield "loss", one.step, _relative(pair)
                yield "lowest loss", one.step, _relative(lowest[curve])


def _relative(pair: tuple[float, float]) -> float:
    return abs(pair[0] - pair[1]) / max(map(abs, pair)) if any(pair) else 0.0


def table(found: Found) -> Iterator[Mapping[str, object]]:
    """A row a step, a column a kind."""
    kinds = sorted({kind for kind, _ in found})
    for step in sorted({step for _, step in found}):
        yield {"step": step} | {
            kind: _summary(found[kind, step]) for kind in kinds if (kind, step) in found
        }


def _summary(values: list[float]) -> str:
    hundredths = quantiles(values, n=100, method="inclusive")
    return " / ".join(
        f"{value:.1g}" for value in (hundredths[49], hundredths[89], hundredths[98], max(values))
    )


if __name__ == "__main__":
    main()
