"""One writer an output folder, told apart without the file system's own locks."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ivr.errors import IvrError

BEAT_SECONDS = 20.0
STALE_SECONDS = 300.0


class BusyError(IvrError):
    """Another process is writing to the folder."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; a second writer is told and stops.

    The lock is a file that is linked to its place (which network file systems do right) and touched
    every :data:`BEAT_SECONDS`. The lock of a process that is gone is taken over: at once where it
    ran on this machine, after :data:`STALE_SECONDS` without a touch where it ran on another.

    What a killed writer left half written is removed.

    Raises:
        BusyError: another process holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    owner = json.dumps({"host": socket.gethostname(), "process": os.getpid()})
    _acquire(path, owner)
    for partial in folder.glob(".*.partial"):  # what a killed writer left of files.replaced
        partial.unlink(missing_ok=True)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _text(path) == owner:  # not so when it was taken for abandoned in the meantime
            path.unlink(missing_ok=True)


def _acquire(path: Path, owner: str) -> None:
    # Linked when it is whole: a process killed in between leaves no lock that says nothing.
    ready = path.with_name(f".lock.new.{os.getpid()}")
    for _ in range(3):
        ready.write_text(owner)
        try:
            os.link(ready, path)
        except FileExistsError:
            _remove_if_abandoned(path)
        except FileNotFoundError:  # swept up by a process that got the lock at this moment
            continue
        else:
            for leftover in path.parent.glob(".lock.*"):
                leftover.unlink(missing_ok=True)
            return
        finally:
            ready.unlink(missing_ok=True)
    raise BusyError(f"{path.parent}: another process took it at this moment; call again")


def _remove_if_abandoned(path: Path) -> None:
    text = _text(path)
    if text is None:
        return
    try:
        age = time.time() - path.stat().st_mtime
        owner = json.loads(text)
        host, process = str(owner["host"]), int(owner["process"])
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, OverflowError):
        host, process = "", 0
    here = host == socket.gethostname()
    if (here and not _runs(process)) or (not here and age > STALE_SECONDS):
        _bury(path, text)
        return
    where = "on this machine" if here else f"on {host or 'an unknown machine'}"
    raise BusyError(
        f"{path.parent}: process {process} {where} is writing here; wait for it, "
        f"or remove {path} if it is gone"
    )


def _bury(path: Path, text: str) -> None:
    """Remove the lock that says ``text``; another process may have put its own there by now."""
    grave = path.with_name(f".lock.{os.getpid()}")
    try:
        path.rename(grave)
        if _text(grave) != text:
            os.link(grave, path)
    except (FileNotFoundError, FileExistsError):
        pass
    grave.unlink(missing_ok=True)


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with suppress(OSError):  # a file system that hangs for a moment must not end the beat
            os.utime(path)
