"""Settings that make training in this process repeatable bit for bit.

The driver uses them too, so that its trials give the same bits as the workers.
"""

import os
import sys

import torch

# Without it, CUDA's matrix products are not repeatable.
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# The same for compiled models. `torch.use_deterministic_algorithms` would set it by importing
# inductor, which takes a second in every process.
INDUCTOR = ("TORCHINDUCTOR_DETERMINISTIC", "1")


def make_repeatable() -> None:
    """Use one thread and deterministic algorithms. Call it before the first use of a GPU."""
    os.environ.setdefault(*WORKSPACE)
    os.environ.setdefault(*INDUCTOR)
    if inductor := sys.modules.get("torch._inductor.config"):
        inductor.deterministic = True  # type: ignore[attr-defined]
    torch.set_num_threads(1)  # results differ in their last bits between thread counts
    torch.set_deterministic_debug_mode("warn")
