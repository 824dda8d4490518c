"""Which device the tensors live on; torch is imported when a device is chosen."""

from typing import TYPE_CHECKING

from ivr.errors import IvrError

if TYPE_CHECKING:
    import torch


class DeviceError(IvrError):
    """A device that is not there, in one line."""


def choose_device(name: str, memory_fraction: float = 1.0) -> "torch.device":
    """Return the device ``name``: auto (cuda when there is one), cpu, cuda or cuda:N.

    Args:
        name: name of the device.
        memory_fraction: share of a GPU's memory that this process may take.

    Raises:
        DeviceError: no such device.
    """
    import torch

    device = _named(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and pinned memory are those of the current device
        if memory_fraction < 1:
            torch.cuda.set_per_process_memory_fraction(memory_fraction, device)
    return device


def _named(name: str) -> "torch.device":
    import torch

    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"{name}: torch sees {torch.cuda.device_count()} CUDA devices here")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
