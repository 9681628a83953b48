"""The imports that worker processes share, done once by the server they are forked from.

Errors are ignored here; the worker that needs the import raises them.
"""

from contextlib import suppress

with suppress(Exception):
    import torch._dynamo

    import optsuite.execution.worker

    __all__ = ["optsuite", "torch"]
