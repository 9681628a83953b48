"""The curves of runs, and their medians, which a study logs as its own."""

import time
from collections.abc import Iterable, Mapping

import numpy as np

from optsuite.training.results import Measurement, Run

Curves = Mapping[str, Mapping[int, float]]  # by name and step


def median_curves(curves: Mapping[Run, Curves]) -> list[Measurement]:
    """The median over runs at each step, if finite. A diverged run counts as infinitely bad."""
    now = time.time()
    names: set[str] = set()
    steps: set[int] = set()
    for own in curves.values():
        names.update(own)
        for curve in own.values():
            steps.update(curve)
    measurements = []
    for step in sorted(steps):
        finite = {}
        for name in sorted(names):
            worst = _worst(name)
            values = [own.get(name, {}).get(step, worst) for own in curves.values()]
            median = float(np.median(values))
            if np.isfinite(median):
                finite[name] = median
        measurements.append(Measurement(step=step, values=finite, time=now))
    return measurements


def _worst(curve: str) -> float:
    """The worst value of a curve: losses are minimized, metrics maximized."""
    return np.inf if curve.endswith("/loss") else -np.inf


def curves_of(measurements: Iterable[Measurement]) -> Curves:
    """The measurements of a run by curve name and step."""
    curves: dict[str, dict[int, float]] = {}
    for m in measurements:
        for name, value in m.values.items():
            curves.setdefault(name, {})[m.step] = value
    return curves
