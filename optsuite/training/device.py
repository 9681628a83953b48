"""All that differs between the devices to train on: cpu, cuda and mps. No other module compares their names."""

import torch

from optsuite.errors import InputError

KINDS = ("cpu", "cuda", "mps")
CPU_STACK_BYTES = 2**30  # what a stack may take there; on a GPU it is half of what is free
CPU_STACK_RUNS = 32  # more are no faster there, and slower where they overflow its caches


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
    """Whether the device is the processor, whose memory and threads other work shares."""
    return kind_of(device) == "cpu"


def trial_device(device: str) -> str:
    """Where stacks are tried for a device: on it where it is a GPU of CUDA, else on the processor."""
    return device if kind_of(device) == "cuda" else "cpu"


def trains(device: str, dtype: torch.dtype) -> bool:
    """Whether the device can train numbers of a dtype: Apple's has neither float64 nor complex ones."""
    return kind_of(device) != "mps" or (dtype != torch.float64 and not dtype.is_complex)


def seed_device(device: str, seed: int) -> None:
    """Seed the generator of the device itself, where it has one beside torch's of the processor."""
    match kind_of(device):
        case "cuda":
            index = torch.device(device).index
            place = torch.cuda.current_device() if index is None else index
            torch.cuda.default_generators[place].manual_seed(seed)
        case "mps":
            torch.mps.manual_seed(seed)


def synchronize(device: str) -> None:
    """Wait until the device has done what it was asked to."""
    match kind_of(device):
        case "cuda":
            torch.cuda.synchronize(device)
        case "mps":
            torch.mps.synchronize()


def device_name(device: str) -> str:
    """The model of a GPU; empty where torch does not tell, or for the processor."""
    return torch.cuda.get_device_name(device) if kind_of(device) == "cuda" else ""


def device_bytes(device: str) -> int:
    """The whole memory of a GPU that tasks take shares of; 0 for other devices."""
    if kind_of(device) != "cuda":
        return 0
    return torch.cuda.get_device_properties(device).total_memory


def stack_limits(device: str) -> tuple[int, int | None]:
    """The bytes that a stack may take, and the most runs that pay; None where there is no such number."""
    if kind_of(device) == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2, None
    return CPU_STACK_BYTES, CPU_STACK_RUNS
