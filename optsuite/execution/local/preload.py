"""What worker processes have in common, imported once by the server that they are forked from.

Whatever fails here is left to the worker that needs it.
"""

from contextlib import suppress

with suppress(Exception):
    import torch._dynamo

    import optsuite.execution.worker

    __all__ = ["optsuite", "torch"]
