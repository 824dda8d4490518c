"""What libhdf5 writes around the columns of a table, kept from the disk until it is whole."""

import os
from io import RawIOBase
from typing import Any, BinaryIO


class Hdf5Buffer(RawIOBase):
    """A file in memory for what libhdf5 writes around the columns; holes take no memory.

    libhdf5 (2.0) must not meet a full disk: it swallows the error of what was left in its buffers,
    so that a spoilt file passes for a whole one, or ends the process later. What it writes stays
    here, the columns go to the disk past it, and so does the frame when it is complete.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._written: list[tuple[int, bytes]] = []
        self._place, self._end = 0, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``offset`` and return the place."""
        self._place = (
            offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        )
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """End the file at ``size`` bytes."""
        self._end = self._place if size is None else size
        return self._end

    def write(self, data: Any) -> int:
        """Take ``data`` and return its length."""
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
        """Write all of it to its place in ``target``, and end that where this ends."""
        for place, content in self._written:
            target.seek(place)
            target.write(content)
        target.truncate(self._end)
