"""The datasets of the embedded benchmarks."""

from functools import cache

from suites import tiny

from benchmarks import EMBEDDED
from optsuite import Splits


@cache
def dataset(name: str) -> Splits:
    return next(b for b in (*EMBEDDED, tiny.BENCHMARK) if b.name == name).dataset()
