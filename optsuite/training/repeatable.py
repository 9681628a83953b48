"""What makes training repeat bit for bit in this process: the driver trains as the workers do, so that both see the same."""

import os

import torch

WORKSPACE = (
    "CUBLAS_WORKSPACE_CONFIG",
    ":4096:8",
)  # without it CUDA's matrix products are not repeatable


def make_repeatable() -> None:
    """Use one thread and deterministic algorithms. To be called before anything is computed on a GPU."""
    os.environ.setdefault(*WORKSPACE)
    torch.set_num_threads(1)  # results differ in their last bits between thread counts
    torch.use_deterministic_algorithms(True, warn_only=True)
