"""Contract tests that the tests of an optimizer or a benchmark inherit.

    from optsuite.testing import OptimizerContract

    class TestLion(OptimizerContract):
        spec = LION

Any runner that collects classes of test methods finds them, such as pytest; none is imported here.
A broken contract raises AssertionError, or InputError where the definition itself is refused.
"""

from optsuite.testing.benchmarks import BenchmarkContract
from optsuite.testing.optimizers import OptimizerContract

__all__ = ["BenchmarkContract", "OptimizerContract"]
