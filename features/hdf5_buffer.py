"""A buffer in memory for what libhdf5 writes around the columns of a table."""

import os
from io import RawIOBase
from typing import Any, BinaryIO


class Hdf5Buffer(RawIOBase):
    """A file in memory for what libhdf5 writes around the columns; holes take no memory.

    libhdf5 (2.0) must not write to a full disk: it ignores the error for data left in its buffers,
    so that a damaged file looks whole, or it ends the process later. So it writes to this buffer.
    The columns are written to the disk directly, and the complete buffer after them.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._written: list[tuple[int, bytes]] = []
        self._place, self._end = 0, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to ``offset`` and return the position."""
        self._place = (
            offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        )
        return self._place

    def tell(self) -> int:
        """Return the position."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file to ``size`` bytes."""
        self._end = self._place if size is None else size
        return self._end

    def write(self, data: Any) -> int:
        """Write ``data`` and return its length."""
        content = bytes(data)
        self._written.append((self._place, content))
        self._place += len(content)
        self._end = max(self._end, self._place)
        return len(content)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` and return its length."""
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        for place, content in self._written:
            start = max(place, self._place)
            end = min(place + len(content), self._place + len(view))
            if start < end:
                view[start - self._place : end - self._place] = content[start - place : end - place]
        self._place += len(view)
        return len(view)

    def write_to(self, target: BinaryIO) -> None:
        """Write the content to its place in ``target``, and give ``target`` the same size."""
        for place, content in self._written:
            target.seek(place)
            target.write(content)
        target.truncate(self._end)
