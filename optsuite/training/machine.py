"""What class of machine this is: on machines of one class the same training gives the same bits."""

import platform
import re
from functools import cache
from pathlib import Path

import torch

from optsuite.training.device import device_name

CPUINFO = Path("/proc/cpuinfo")


@cache
def machine_class(device: str) -> str:
    """The processor, the instructions that torch uses of it and, of a GPU, its name.

    Not the host's name, nor its number of cores: each run trains on one thread.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    parts = [platform.machine(), _processor(), capability, device_name(device)]
    return ", ".join(filter(None, parts))


def _processor() -> str:
    """Its model's name, where the system tells."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()
