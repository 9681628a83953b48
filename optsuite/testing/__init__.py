"""Contract tests for an optimizer or a benchmark, to inherit from in its own tests.

    from optsuite.testing import OptimizerContract

    class TestLion(OptimizerContract):
        spec = LION

Any runner that collects classes of test methods, such as pytest, finds them; none is imported here.
A broken contract raises AssertionError, or InputError if the definition itself is invalid.
"""

from optsuite.testing.benchmarks import BenchmarkContract
from optsuite.testing.optimizers import OptimizerContract

__all__ = ["BenchmarkContract", "OptimizerContract"]
