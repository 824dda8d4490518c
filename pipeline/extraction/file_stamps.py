"""Stamps of files: which content a row was made from, and whether the file still has it.

The stamp of a file is a digest of its whole content, computed from the bytes that are decoded. A
row whose file has another stamp now is made anew. Every call of ``ivr extract`` reads the files of
finished rows to compare their stamps, unless ``--trust-mtime`` is given: then a file whose size,
time of change and inode are those that an earlier call with this option remembered is not read.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import xxhash

from ivr.features.regular_files import ChangedFileError, UnreadableFileError, opened_regular
from ivr.features.store import StoreError, has_columns, open_table, text_column, write_table
from ivr.pipeline.datasets.manifest import ManifestError, resolve
from ivr.pipeline.runtime.progress import progress

STAMPS = "xxh3_64 of the file"
"""What ``made_with`` of a feature file says of its stamps; earlier versions say nothing."""

FileState = tuple[int, int, int]
"""Size in bytes, time of change in nanoseconds since 1970, and inode of a file."""

_CHANGED = -1  # no stamp: the file is being written to
_BLOCK = 1 << 20
_MANY = 1000  # files whose comparison is worth lines of progress
_SETTLED = 2_000_000_000  # nanoseconds: file systems keep times to two seconds at worst
_KIND = "file states"
_COLUMNS = {
    "names": ("S", 1),
    "sizes": ("i", 1),
    "times": ("i", 1),
    "inodes": ("u", 1),
    "stamps": ("u", 1),
}


def stamp_of(data: bytes) -> int:
    """Return the stamp of a file whose content is ``data``, from 0 to 2^64 - 1.

    XXH3 takes a twentieth of the time of sha256, so that it costs nothing beside decoding. It tells
    contents apart that differ by accident; it is no proof against a forger.
    """
    return xxhash.xxh3_64_intdigest(data)


def stamp_of_blocks(blocks: Iterable[bytes]) -> int:
    """Return the stamp of a file whose content comes block by block, see :func:`stamp_of`."""
    digest = xxhash.xxh3_64()
    for block in blocks:
        digest.update(block)
    return digest.intdigest()


def joint_stamp(own: int, others: Iterable[tuple[str, int]]) -> int:
    """Return the stamp of a row that several files were made into, from 0 to 2^64 - 1.

    Args:
        own: stamp of the file of the row; returned as it is if there are no ``others``.
        others: names and stamps of the other files.
    """
    words = [f"{stamp:x} {name}" for name, stamp in others]
    return stamp_of("\n".join([f"{own:x}", *words]).encode()) if words else own


def file_state(path: Path) -> FileState | None:
    """Return the state of ``path`` before it is read, None if it says nothing of what is read.

    That is so where there is no such file, and where it changed a moment ago: it could change again
    within the same time.
    """
    latest = time.time_ns() - _SETTLED
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    if status.st_mtime_ns >= latest:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


class FileStamps:
    """The stamps that the files below one folder have now; each file is read once."""

    def __init__(self, root: Path, remembered: Path | None = None) -> None:
        """Know no stamp yet.

        Args:
            root: folder that names of files are relative to.
            remembered: file of the states and stamps that an earlier call remembered; files of
                these states are not read. None reads every file.
        """
        self.root = root
        self._remembered = remembered
        self._trusted = _states(remembered, root) if remembered else {}
        self._now: dict[str, int | None] = {}
        self._seen: dict[str, tuple[FileState, int]] = {}

    def now(
        self, files: Iterable[str], stopped: Callable[[], bool] = lambda: False
    ) -> Mapping[str, int | None]:
        """Return the stamps of ``files``, and of any others that are known.

        Args:
            files: names of files.
            stopped: whether to give up.

        Returns:
            For each file its stamp; one that no row has if it is being written to; None if it
            cannot be read.

        Raises:
            KeyboardInterrupt: ``stopped`` returned True.
        """
        unknown = [file for file in dict.fromkeys(files) if file not in self._now]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read: Iterator[int | None] = pool.map(self._stamp, unknown)
            if len(unknown) >= _MANY:
                read = progress(read, len(unknown), "files compared")
            for file, stamp in zip(unknown, read, strict=True):
                self._now[file] = stamp
                if stopped():
                    pool.shutdown(cancel_futures=True)
                    raise KeyboardInterrupt
        return self._now

    def note(self, file: str, stamp: int, state: FileState | None) -> None:
        """Note the stamp of a file that was just read, and its state before that."""
        self._now[file] = stamp
        self._see(file, stamp, state)

    def remember(self) -> None:
        """Write the states and stamps that this call saw, for a later call with ``--trust-mtime``.

        A file without a state (:func:`file_state`) is left out. Nothing is written if that is what
        the file says already.
        """
        if self._remembered is None:
            return
        known = {**self._trusted, **self._seen}
        if known == self._trusted:  # nothing to add, perhaps to a folder that cannot be written to
            return
        kept = {file: known[file] for file in sorted(known)}
        values = np.array([state for state, _ in kept.values()], object).reshape(-1, 3)
        columns = {
            "names": text_column(kept),
            "sizes": values[:, 0].astype(np.int64),
            "times": values[:, 1].astype(np.int64),
            "inodes": values[:, 2].astype(np.uint64),
            "stamps": np.array([stamp for _, stamp in kept.values()], np.uint64),
        }
        write_table(self._remembered, _KIND, {"root": str(self.root)}, columns)

    def _stamp(self, file: str) -> int | None:
        try:
            path = resolve(self.root, file)
            state = file_state(path)
            known = self._trusted.get(file)
            if known and known[0] == state:
                return known[1]
            with opened_regular(path) as opened:
                stamp = stamp_of_blocks(iter(lambda: opened.read(_BLOCK), b""))
        except ChangedFileError:
            return _CHANGED
        except (UnreadableFileError, ManifestError):
            return None
        self._see(file, stamp, state)
        return stamp

    def _see(self, file: str, stamp: int, state: FileState | None) -> None:
        self._trusted.pop(file, None)
        if state:
            self._seen[file] = state, stamp
        else:
            self._seen.pop(file, None)


def _states(path: Path, root: Path) -> dict[str, tuple[FileState, int]]:
    """Return the states and stamps of files below ``root`` in ``path``, none if it has none."""
    with suppress(StoreError):
        table = open_table(path, _KIND)
        table.verify()
        if has_columns(table, _COLUMNS) and table.config.get("root") == str(root):
            sizes, times, inodes, stamps = (
                table.read(name).tolist() for name in ("sizes", "times", "inodes", "stamps")
            )
            states = zip(zip(sizes, times, inodes, strict=True), stamps, strict=True)
            return dict(zip(table.text("names"), states, strict=True))
    return {}
