"""The datasets of the embedded benchmarks."""

from functools import cache

from suites import tiny

from benchmarks import SUITE
from optsuite import Splits


@cache
def dataset(name: str) -> Splits:
    return next(b for b in (*SUITE.benchmarks, tiny.BENCHMARK) if b.name == name).dataset()
