"""One writer per output folder: the kernel's lock on this machine, a heartbeat between machines."""

import errno
import fcntl
import json
import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ivr.errors import IvrError
from ivr.features.atomic_files import naming, sweep_partials

from .orphans import sweep_shared_memory

LOCK = ".lock"
BEAT_SECONDS = 20.0
STALE_SECONDS = 300.0
SETTLE_SECONDS = 1.0
LONGEST = 4096  # bytes of a lock file that are read
BOOT = Path("/proc/sys/kernel/random/boot_id")
# What a file system without locks of its own answers.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class BusyError(IvrError):
    """Another process is writing to the folder."""


@dataclass(frozen=True)
class Owner:
    """Who holds a folder, or held it last.

    Attributes:
        host: name of the machine.
        process: number of the process, as that process sees it.
        boot: identity of the running kernel; processes of one kernel share its locks, whatever
            container they run in.
        token: random, another one each time that a folder is taken.
        held: the folder is held; false once it was released in good order.
    """

    host: str
    process: int
    boot: str
    token: str
    held: bool = True


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; a second writer is refused.

    The lock is ``flock`` on the file ``.lock``, which stays there. The kernel releases it when the
    process ends, however it ends, so nothing depends on process numbers. Where the last owner ran
    on another machine, whose locks this kernel may not see, the folder is taken only if the owner
    released it or has not touched the file for :data:`STALE_SECONDS`; an owner touches it every
    :data:`BEAT_SECONDS`.

    Half-written files of a killed writer are removed, and what it left in shared memory. A folder
    that was made for a block that fails before it writes anything is removed again.

    Raises:
        BusyError: another process holds the folder.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    handle, by_kernel = _locked(path)
    stop = threading.Event()
    try:
        last = _read(handle)
        owner = _taken(path, handle, by_kernel=by_kernel)
        if last is not None and last.held and last.boot == owner.boot:
            sweep_shared_memory(last.process)
        sweep_partials(folder)
        beat = threading.Thread(target=_beat, args=(handle, stop), daemon=True)
        beat.start()
        try:
            yield
        except BaseException:
            if made:
                _remove_empty(made)
            raise
        finally:
            stop.set()
            beat.join()
            if _read(handle) == owner:
                _write(handle, Owner(owner.host, owner.process, owner.boot, owner.token, False))
    finally:
        os.close(handle)  # the kernel releases the lock with it


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove ``folders``, the innermost first, as far as they hold nothing but the lock."""
    with suppress(OSError):  # something else lies in one of them
        if os.listdir(folders[0]) == [LOCK]:
            (folders[0] / LOCK).unlink()
            for folder in folders:
                folder.rmdir()


def _locked(path: Path) -> tuple[int, bool]:
    """Return a handle of the file ``path``, and whether it holds the kernel's lock on it.

    It does not where the file system has no locks; then the heartbeat alone decides.

    Raises:
        BusyError: another process of this kernel holds it.
    """
    while True:
        handle = _opened(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _read(handle)
            os.close(handle)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise _busy(path, owner) from error
            if error.errno in NO_LOCKS:
                return _opened(path), False
            raise
        if _is_the_file(path, handle):
            return handle, True
        os.close(handle)  # the file was removed in between: lock the one that is there now


def _opened(path: Path) -> int:
    """Return a handle of ``path``, which is made where it is missing; no link is followed.

    Raises:
        BusyError: something else than a regular file lies there.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise BusyError(f"{path}: not a lock file of ivr; remove it") from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BusyError(f"{path}: not a lock file of ivr; remove it")
    return handle


def _is_the_file(path: Path, handle: int) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(handle))


def _taken(path: Path, handle: int, *, by_kernel: bool) -> Owner:
    """Write this process into the lock file and return it.

    Raises:
        BusyError: a process that the kernel's lock does not exclude holds the folder, or took it
            at the same moment.
    """
    before = _read(handle)
    mine = Owner(socket.gethostname(), os.getpid(), _boot(), secrets.token_hex(16))
    unseen = not by_kernel or (before is not None and before.boot != mine.boot)
    empty = os.fstat(handle).st_size == 0
    if not empty and (before is None or (unseen and before.held)) and not _stale(path, handle):
        raise _busy(path, before)
    with naming(path):
        _write(handle, mine)
    if unseen:
        # Another process may have read the same: the last to write holds the folder.
        time.sleep(SETTLE_SECONDS)
        now = _read(handle)
        if now != mine:
            raise _busy(path, now)
    return mine


def _stale(path: Path, handle: int) -> bool:
    """Return whether the file was not touched lately, by the clock of its file system.

    A time in the future by more than that is no heartbeat either.
    """
    probe = path.with_name(f"{LOCK}.{secrets.token_hex(8)}.partial")
    clock = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        now = os.fstat(clock).st_mtime
    finally:
        os.close(clock)
        probe.unlink(missing_ok=True)
    return abs(now - os.fstat(handle).st_mtime) > STALE_SECONDS


def _busy(path: Path, owner: Owner | None) -> BusyError:
    who = "another process" if owner is None else f"process {owner.process}"
    if owner is not None and owner.host == socket.gethostname():
        return BusyError(f"{path.parent}: {who} on this machine is writing here; wait for it")
    host = owner.host if owner else "an unknown machine"
    return BusyError(
        f"{path.parent}: {who} on {host} is writing here; wait for it, or call again "
        f"{STALE_SECONDS / 60:.0f} minutes after that machine went down"
    )


def _read(handle: int) -> Owner | None:
    """Return the owner in the lock file, None where it names none."""
    try:
        values = json.loads(os.pread(handle, LONGEST, 0))
        owner = Owner(**values)
        known = {"host": str, "process": int, "boot": str, "token": str, "held": bool}
        if all(type(getattr(owner, name)) is kind for name, kind in known.items()):
            return owner
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _write(handle: int, owner: Owner) -> None:
    content = json.dumps(asdict(owner)).encode()
    os.pwrite(handle, content, 0)
    os.ftruncate(handle, len(content))  # after it: never empty while it is held
    os.fsync(handle)  # on a network file system other machines read it from there


def _boot() -> str:
    """Return what tells this running kernel from every other one."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return socket.gethostname()


def _beat(handle: int, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with suppress(OSError):  # a file system that hangs for a moment must not end the beat
            os.utime(handle)
