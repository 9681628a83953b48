"""The registry of optimizers: how each is built, which rates are searched, what it holds fixed, and where that is from.

Every interval spans four decades and holds the default rate, so that no optimizer has more room than another. Weight decay
is 0 for all but AdamW.
"""

from collections.abc import Mapping
from types import MappingProxyType

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.optimizers import native, packaged

OPTIMIZERS: Mapping[str, OptimizerSpec] = MappingProxyType({spec.name: spec for spec in (*native.SPECS, *packaged.SPECS)})

__all__ = ["OPTIMIZERS"]
