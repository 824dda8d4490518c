"""How much memory this process may still take."""

from pathlib import Path

import psutil

SHARE = 0.5  # of what is free; models, batches and other processes need some too
GROUPS = Path("/sys/fs/cgroup")


def room() -> float:
    """Return the bytes that a cache in memory may take: a share of what is free.

    That of the machine, or of the control group that a batch system gave the job, where that is
    less.
    """
    free = float(psutil.virtual_memory().available)
    for folder in _groups():
        limit = folder / "memory.max"
        if limit.is_file() and (text := limit.read_text().strip()) != "max":
            free = min(free, int(text) - _used(folder))
    return SHARE * max(0.0, free)


def _used(group: Path) -> int:
    """Return the bytes that ``group`` holds, without pages of files that may be dropped."""
    statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    held = int((group / "memory.current").read_text())
    return held - int(statistics.get("inactive_file", 0))


def _groups() -> list[Path]:
    """Return the control groups (version 2) of this process, from its own upwards."""
    own = Path("/proc/self/cgroup")
    lines = own.read_text().splitlines() if own.is_file() else []
    paths = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    folders = [GROUPS / path.lstrip("/") for path in paths]
    return [place for folder in folders for place in (folder, *folder.parents)]
