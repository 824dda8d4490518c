"""Files that are whole or absent: the one place that creates files, and file digests.

Every file of the project is written inside :func:`replaced`, or appended to with :func:`appended`.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO

from ivr.errors import IvrError

HEAD = 4096
"""Bytes at the start of a file that tell its kind."""
HEAT_MAP_SOFTWARE = "ivr locate"
"""What a heat map says of its origin, so that no other TIFF is replaced."""
PARTIAL = re.compile(r"\.(.+\.)?([0-9]+|[0-9a-f]{16}|[0-9a-f]{32})\.partial")
"""Names of files that are being written, by this version and by earlier ones."""
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class InTheWayError(IvrError):
    """Something that is not replaced lies where a file is to be written."""


class UnwritableError(IvrError):
    """A place where nothing can be written, in one line."""


@dataclass(frozen=True)
class FileKind:
    """What a file of the project is, as its first bytes tell.

    Attributes:
        name: name in messages, e.g. ``a PNG picture``.
        matches: returns whether a file that begins with these bytes, at most :data:`HEAD`, is one.
    """

    name: str
    matches: Callable[[bytes], bool]


def is_text(head: bytes) -> bool:
    """Return whether ``head``, the first bytes of a file, is UTF-8 without a zero byte."""
    try:
        head[:-4].decode() if len(head) == HEAD else head.decode()
    except UnicodeDecodeError as error:
        return len(head) == HEAD and error.start >= HEAD - 8  # a character that was cut
    return b"\0" not in head


HEAT_MAP = FileKind(
    "a heat map of ivr", lambda head: head[:2] == b"II" and HEAT_MAP_SOFTWARE.encode() in head
)
HDF5 = FileKind("an HDF5 file of ivr", lambda head: head[512:520] == b"\x89HDF\r\n\x1a\n")
JPEG = FileKind("a JPEG picture", lambda head: head.startswith(b"\xff\xd8\xff"))
PNG = FileKind("a PNG picture", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"))
PDF = FileKind("a PDF file", lambda head: head.startswith(b"%PDF"))
SAFETENSORS = FileKind("a safetensors file", lambda head: head[8:9] == b"{" and b"\0" in head[:8])
SVG = FileKind("an SVG picture", lambda head: is_text(head) and b"<svg" in head)
TEXT = FileKind("a text file", is_text)
WAV = FileKind("a WAV recording", lambda head: head.startswith(b"RIFF"))
WEBM = FileKind("a WebM recording", lambda head: head.startswith(b"\x1aE\xdf\xa3"))


@contextmanager
def replaced(path: Path, kind: FileKind) -> Iterator[BinaryIO]:
    """Yield a new file to write to, then rename it to ``path``.

    What was written is on the disk before it is renamed: whatever ends the writing early, ``path``
    stays as it was. Processes and threads that write to the same ``path`` do not disturb each
    other; the last one to finish wins. The new file has a random name, is never one that exists,
    and no link is followed.

    Args:
        path: the file.
        kind: what is written; a file of another kind is not replaced.

    Raises:
        InTheWayError: ``path`` is something else than a regular file of that kind.
    """
    require_replaceable(path, kind)
    with naming(path):
        partial, handle = _new_partial(path.parent)
    try:
        with naming(path), os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(partial, path)  # while it is locked
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replaced_text(path: Path, kind: FileKind = TEXT) -> Iterator[TextIO]:
    """Yield a new file of UTF-8 text, whose lines end as they are written; see :func:`replaced`.

    Raises:
        InTheWayError: ``path`` is something else than a regular file of that kind.
    """
    with replaced(path, kind) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # flushes; the file is closed by replaced()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name ``path`` in errors of the system that name no file, or the one that is written aside."""
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None or is_partial(Path(os.fsdecode(error.filename)).name)
        if error.errno is None or not unnamed:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def require_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be made, before the work whose results go there.

    A file is made in it, or in the nearest folder above it that exists, and removed.

    Raises:
        UnwritableError: none can be made.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    try:
        partial, handle = _new_partial(there)
    except NotADirectoryError as error:
        raise UnwritableError(
            f"{folder}: nothing can be written there, {there} is a file; name another place"
        ) from error
    except OSError as error:
        raise UnwritableError(
            f"{folder}: nothing can be written there ({error.strerror}); name another place, or "
            "change this one"
        ) from error
    os.close(handle)
    partial.unlink(missing_ok=True)


def require_replaceable(path: Path, kind: FileKind) -> None:
    """Refuse to replace what is not a regular file of ``kind``; an empty file is of any kind.

    Raises:
        InTheWayError: ``path`` is a link, a folder, a device or a file of another kind.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise InTheWayError(
            f"{path}: {_what(mode)} lies where {kind.name} is to be written; "
            "remove it, or write elsewhere"
        )
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        head = file.read(HEAD)
    if head and not kind.matches(head):
        raise InTheWayError(
            f"{path}: holds something else than {kind.name}, which is to be written there; "
            "remove it, or write elsewhere"
        )


def appended(path: Path) -> BinaryIO:
    """Return ``path`` opened to append to, made where it is missing; no link is followed.

    Raises:
        InTheWayError: something else than a regular file lies there.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if path.is_symlink() or (path.exists() and not path.is_file()):
        mode = path.lstat().st_mode
        raise InTheWayError(f"{path}: {_what(mode)} lies where a file is to be written; remove it")
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def _new_partial(folder: Path) -> tuple[Path, int]:
    """Return a new file in ``folder`` that :func:`sweep_partials` leaves alone, and its handle."""
    while True:
        partial = folder / f".{secrets.token_hex(16)}.partial"
        handle = os.open(partial, _NEW, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:
            return partial, handle
        os.close(handle)  # swept before it was locked


def sweep_partials(folder: Path) -> None:
    """Remove the half-written files in ``folder`` of writers that were killed.

    A file whose writer is at work is locked, and stays. On a file system without locks the file of
    a writer at work is removed too: the caller holds the folder.
    """
    for left in folder.iterdir():
        if not is_partial(left.name) or left.is_dir():
            continue
        with suppress(FileNotFoundError):
            if left.is_symlink() or not _is_locked(left):
                left.unlink()


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # of another user; removing it may be allowed
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    finally:
        os.close(handle)
    return False


def is_partial(name: str) -> bool:
    """Return whether a file of this name is being written, or was when its writer was killed."""
    return PARTIAL.fullmatch(name) is not None


def flush(path: Path) -> None:
    """Make the disk hold what was written to the file or folder ``path``."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """Return the sha256 of the bytes of ``path``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _what(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(mode), "something else than a file")
