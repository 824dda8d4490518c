"""Reading files: regular ones only, up to a size, and unchanged while they are read."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ivr.errors import IvrError


class UnreadableFileError(IvrError):
    """A file that is not read, in one line without the name of the file."""


class ChangedFileError(UnreadableFileError):
    """A file that was written to while it was read."""


def open_regular(path: Path) -> BinaryIO:
    """Return the regular file ``path`` opened for reading; a pipe is not waited for.

    Raises:
        UnreadableFileError: no such file, a folder, pipe or device, or it may not be read.
    """
    with _in_one_line():
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(handle, "rb")
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return file
        file.close()
        raise UnreadableFileError("not a file")


@contextmanager
def opened_regular(path: Path) -> Iterator[BinaryIO]:
    """Yield the regular file ``path`` opened for reading, see :func:`open_regular`.

    Raises:
        UnreadableFileError: as there, or an error of the system inside the block.
        ChangedFileError: at the end of the block, if the file was written to inside it.
    """
    with open_regular(path) as file, _in_one_line():
        before = content_state(file.fileno())
        yield file
        after = content_state(file.fileno())
    if before != after:
        raise ChangedFileError("changed while it was read; call again")


def content_state(handle: int) -> tuple[int, int]:
    """Return size (bytes) and time of change (ns) of an open file: others if it was written to."""
    status = os.fstat(handle)
    return status.st_size, status.st_mtime_ns


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Turn errors of the system into :class:`UnreadableFileError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise UnreadableFileError("no such file") from error
    except IsADirectoryError as error:
        raise UnreadableFileError("not a file") from error
    except PermissionError as error:
        raise UnreadableFileError("may not be read by this user (Permission denied)") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        if isinstance(error, IvrError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFileError(f"cannot be read ({reason})") from error


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of the regular file ``path`` of at most ``most`` bytes.

    Raises:
        UnreadableFileError: the file is not regular, too large, or cannot be read.
        ChangedFileError: it was written to while it was read.
    """
    with opened_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise UnreadableFileError(f"{size} bytes, more than the {most} that are read")
        data = file.read(size)
        if len(data) != size:
            raise ChangedFileError("changed while it was read; call again")
    return data
