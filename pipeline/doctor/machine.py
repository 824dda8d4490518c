"""Properties of the machine that decide whether and how fast ``ivr`` works."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from ivr.pipeline.extraction.target import LIBRARIES
from ivr.pipeline.runtime.memory import SHARE, room

from .doctor_result import MachineCheck, MachineFact

GIB = 1 << 30
SHARED_MEMORY = Path("/dev/shm")
ENOUGH_SHARED = GIB // 4
"""Bytes of shared memory that the readers of voices need in ordinary use."""


def machine_facts(device: torch.device) -> Iterator[MachineFact]:
    """Yield versions, processors, memory and ``device``."""
    yield MachineFact("ivr", version("image-voice-hashing"))
    yield MachineFact("Python", f"{platform.python_version()} on {platform.system()}")
    yield MachineFact("libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    yield MachineFact(
        "CPU", f"{cores} cores, {torch.get_num_threads()} threads of torch, {capability}"
    )
    total = psutil.virtual_memory().total
    yield MachineFact(
        "memory", f"{total / GIB:.0f} GiB, {room() / SHARE / GIB:.1f} GiB free for this process"
    )
    yield MachineFact("device", device_text(device))
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        yield MachineFact("CUDA", f"{torch.version.cuda}, cuDNN {cudnn}")


def device_text(device: torch.device) -> str:
    """Return ``device`` in words."""
    if device.type != "cuda":
        return "CPU, no GPU used"
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.total_memory / GIB:.0f} GiB, compute {found.major}.{found.minor}"


def machine_checks() -> Iterator[MachineCheck]:
    """Yield whether a present GPU can be used, and whether there is room to work."""
    yield _gpu()
    yield _shared_memory()
    yield _temporary_folder()


def _gpu() -> MachineCheck:
    name = "GPU"
    driver = any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return MachineCheck(name, "ok", f"torch sees {count} CUDA device{'s' * (count > 1)}")
    if driver and torch.version.cuda is None:
        text = "there is a GPU, but this torch is built for the CPU; install a CUDA build of torch"
        return MachineCheck(name, "failed", text)
    if driver:
        text = (
            f"there is an NVIDIA driver, but torch {torch.__version__} cannot use it: the driver "
            f"must support CUDA {torch.version.cuda}, and CUDA_VISIBLE_DEVICES must name a device"
        )
        return MachineCheck(name, "failed", text)
    return MachineCheck(name, "not checked", "no CUDA device here: everything runs on the CPU")


def _shared_memory() -> MachineCheck:
    name = "shared memory"
    if not SHARED_MEMORY.is_dir():
        return MachineCheck(name, "not checked", f"no {SHARED_MEMORY} on this system")
    free = shutil.disk_usage(SHARED_MEMORY).free
    text = f"{free / GIB:.1f} GiB free in {SHARED_MEMORY}"
    if not os.access(SHARED_MEMORY, os.W_OK):
        return MachineCheck(name, "failed", f"{SHARED_MEMORY} is not writable: use --jobs 1")
    if free < ENOUGH_SHARED:
        more = "give the container more (--shm-size 1g) or use --jobs 1"
        return MachineCheck(name, "failed", f"{text}: {more}")
    return MachineCheck(name, "ok", text)


def _temporary_folder() -> MachineCheck:
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB free in {folder}"
    if free < GIB:
        return MachineCheck("temporary files", "failed", f"{text}: set TMPDIR to another folder")
    return MachineCheck("temporary files", "ok", text)
