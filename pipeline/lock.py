"""One writer an output folder, told apart without the file system's own locks."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT_SECONDS = 20.0
STALE_SECONDS = 300.0


class BusyError(ValueError):
    """Another process is writing to the folder."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; a second writer is told and stops.

    The lock is a file that is created exclusively (which network file systems do right) and touched
    every :data:`BEAT_SECONDS`. The lock of a process that is gone is taken over: at once where it
    ran on this machine, after :data:`STALE_SECONDS` without a touch where it ran on another.

    Raises:
        BusyError: another process holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    _acquire(path)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        path.unlink(missing_ok=True)


def _acquire(path: Path) -> None:
    owner = json.dumps({"host": socket.gethostname(), "process": os.getpid()})
    for _ in range(2):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            _remove_if_abandoned(path)
            continue
        with os.fdopen(handle, "w") as file:
            file.write(owner)
        return
    raise BusyError(f"{path.parent}: another process took it at this moment; call again")


def _remove_if_abandoned(path: Path) -> None:
    try:
        age = time.time() - path.stat().st_mtime
        text = path.read_text()
    except FileNotFoundError:
        return
    try:
        owner = json.loads(text)
        host, process = str(owner["host"]), int(owner["process"])
    except (ValueError, KeyError, TypeError):
        host, process = "", 0
    here = host == socket.gethostname()
    if (here and not _runs(process)) or (not here and age > STALE_SECONDS):
        # Renamed first: of two processes that find the same lock abandoned, one gets it.
        grave = path.with_name(f".lock.{os.getpid()}")
        try:
            path.rename(grave)
        except FileNotFoundError:
            return
        grave.unlink()
        return
    where = "on this machine" if here else f"on {host or 'an unknown machine'}"
    raise BusyError(
        f"{path.parent}: process {process} {where} is writing here; wait for it, "
        f"or remove {path} if it is gone"
    )


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            return
