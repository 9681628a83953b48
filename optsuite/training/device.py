"""All that differs between cpu, cuda and mps.

Only `optimizers.fused` compares the names of devices beside it.
"""

import torch

from optsuite.errors import InputError

KINDS = ("cpu", "cuda", "mps")
# The memory that a stack may take on a CPU; on a GPU it is half of what is free.
CPU_STACK_BYTES = 2**30
# More runs in a stack are no faster on a CPU, and slower if they overflow its caches.
CPU_STACK_RUNS = 32


def kind_of(device: str) -> str:
    """The kind of a device, without its number."""
    return torch.device(device).type


def check_device(device: str) -> None:
    """Raise InputError unless tensors can be made on the device."""
    try:
        found = torch.device(device)
        if found.type not in KINDS or (found.type == "cpu" and found.index):
            raise RuntimeError("not a device to train on")
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        allowed = ", ".join(_available())
        raise InputError(f"device: got {device!r}, allowed on this machine: {allowed}") from error


def _available() -> list[str]:
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *cuda, *mps]


def is_host(device: str) -> bool:
    """Whether the device is the CPU, which shares memory and threads with other work."""
    return kind_of(device) == "cpu"


def device_of_checks(device: str) -> str:
    """Where stacks for a device are tried: on the device itself if it is CUDA, else on the CPU."""
    return device if kind_of(device) == "cuda" else "cpu"


def trains(device: str, dtype: torch.dtype) -> bool:
    """Whether the device can train in a dtype: mps has neither float64 nor complex numbers."""
    return kind_of(device) != "mps" or (dtype != torch.float64 and not dtype.is_complex)


def seed_device(device: str, seed: int) -> None:
    """Seed the device's own generator; does nothing for the CPU, whose generator is torch's."""
    match kind_of(device):
        case "cuda":
            index = torch.device(device).index
            place = torch.cuda.current_device() if index is None else index
            torch.cuda.default_generators[place].manual_seed(seed)
        case "mps":
            torch.mps.manual_seed(seed)


def synchronize(device: str) -> None:
    """Wait until the device has finished all its work."""
    match kind_of(device):
        case "cuda":
            torch.cuda.synchronize(device)
        case "mps":
            torch.mps.synchronize()


def device_name(device: str) -> str:
    """The model of a CUDA device; empty for all other devices."""
    return torch.cuda.get_device_name(device) if kind_of(device) == "cuda" else ""


def device_bytes(device: str) -> int:
    """The total memory of a CUDA device, which tasks share; 0 for all other devices."""
    if kind_of(device) != "cuda":
        return 0
    return torch.cuda.get_device_properties(device).total_memory


def stack_limits(device: str) -> tuple[int, int | None]:
    """The bytes that a stack may take, and the most runs worth stacking; None for no limit."""
    if kind_of(device) == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2, None
    return CPU_STACK_BYTES, CPU_STACK_RUNS
