"""Settings that make training in this process repeatable bit for bit.

The driver uses them too, so that its trials give the same bits as the workers.
"""

import os

import torch

# Without it, CUDA's matrix products are not repeatable.
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def make_repeatable() -> None:
    """Use one thread and deterministic algorithms. Call it before the first use of a GPU."""
    os.environ.setdefault(*WORKSPACE)
    torch.set_num_threads(1)  # results differ in their last bits between thread counts
    torch.use_deterministic_algorithms(True, warn_only=True)
