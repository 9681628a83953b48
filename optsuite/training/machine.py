"""The class of this machine. Machines of one class give the same bits for the same training."""

import platform
import re
from functools import cache
from pathlib import Path

import torch

from optsuite.training.device import device_name

CPUINFO = Path("/proc/cpuinfo")


@cache
def machine_class(device: str) -> str:
    """The processor, the instruction set that torch uses and, for a GPU, its name.

    The host's name and its number of cores are left out, because each run trains on one thread.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    parts = [platform.machine(), _processor(), capability, device_name(device)]
    return ", ".join(filter(None, parts))


def _processor() -> str:
    """The name of the processor's model; on systems other than Linux, the one that Python finds."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()
