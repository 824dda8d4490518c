"""Worker processes that end with the process that wants their work, and what a dead one left."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 1.0
SHARED_MEMORY = Path("/dev/shm")
PARENT = "IVR_PARENT"
"""Environment variable that tells worker processes the number of the process that started them."""

_watching = threading.Event()


def end_with(parent: int) -> None:
    """End this process soon after ``parent`` ended, however that happened.

    Nothing is done in ``parent`` itself, in a process that something else started, and at a second
    call. A worker of joblib otherwise waits for minutes for a process that was killed.
    """
    if os.getppid() != parent or _watching.is_set():
        return
    _watching.set()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os._exit(1)


def sweep_shared_memory(process: int) -> None:
    """Remove the semaphores and folders that joblib made for a process that is dead.

    Args:
        process: number of a process of this user that was killed; nothing is done if a process of
            this number is alive.
    """
    if process <= 0 or _is_alive(process):
        return
    for pattern in (f"sem.loky-{process}-*", f"joblib_memmapping_folder_{process}_*"):
        for path in SHARED_MEMORY.glob(pattern):
            with suppress(OSError):  # of another user, or removed meanwhile
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            _remove(inner)
        path.rmdir()
    else:
        path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
