"""How much memory this process may still take, and how it gives freed memory back."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import psutil

SHARE = 0.5  # of what is free; models, batches and other processes need some too
GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
# Names of limit, use and droppable pages of files, in both versions of control groups.
FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}

ARENAS, MAPPED_FROM = 2, 128 << 10
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # options of mallopt(3)


def hold_little_memory() -> None:
    """Let the C library keep little of the memory that this process frees.

    By default glibc has up to eight arenas per core, each of which keeps what was freed in it, and
    takes ever larger pieces from them. Now there are few, and a large piece is mapped for itself
    and unmapped when it is freed. Other C libraries are left as they are.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_ARENA_MAX, ARENAS)
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library is glibc."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def room() -> float:
    """Return the bytes that a cache in memory may take: a share of what is free.

    That of the machine, or of the control groups that a batch system gave the job, where that is
    less.
    """
    free = [float(psutil.virtual_memory().available), *_free_in_groups()]
    return SHARE * max(0.0, min(free))


def _free_in_groups() -> Iterator[float]:
    """Yield the bytes left in each control group of this process that has a limit."""
    for group, version in _groups():
        limit, used, droppable = FILES[version]
        if (group / limit).is_file() and (text := (group / limit).read_text().strip()) != "max":
            pages = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            held = int((group / used).read_text()) - int(pages.get(droppable, 0))
            yield int(text) - held


def _groups() -> Iterator[tuple[Path, int]]:
    """Yield the memory control groups of this process from its own upwards, and their version."""
    lines = OWN.read_text().splitlines() if OWN.is_file() else []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" or "memory" in controllers.split(","):
            root = GROUPS if number == "0" else GROUPS / "memory"
            own = root / path.lstrip("/")
            for group in (own, *own.parents):
                if group.is_relative_to(root):
                    yield group, 2 if number == "0" else 1
