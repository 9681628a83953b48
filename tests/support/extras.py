"""Optimizers of packages that may not be installed."""

import pytest

from optsuite import OptimizerSpec
from optsuite.optimizers.packaged import is_available


def needs_package(spec: OptimizerSpec) -> pytest.MarkDecorator:
    """Skips a test of an optimizer if its package is not installed."""
    reason = "needs the extra optsuite[optimizers]"
    return pytest.mark.skipif(not is_available(spec), reason=reason)
