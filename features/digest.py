"""The sha256 of a column, chunk by chunk, in threads: one stream would be as slow as the disk."""

import hashlib
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

CHUNK_BYTES = 1 << 22  # rows are hashed, and copied, in chunks of this size
THREADS = 4  # that compute digests


class ColumnDigest:
    """The sha256 of the chunks of a column, one after the other, computed in threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        """Use the threads of ``pool``."""
        self._pool = pool
        self._pending = deque[Future[bytes]]()
        self._digest = hashlib.sha256()

    def add(self, chunk: np.ndarray) -> None:
        """Add the next chunk, which must not change afterwards; wait if many are pending."""
        if len(self._pending) >= 2 * THREADS:
            self._digest.update(self._pending.popleft().result())
        self._pending.append(self._pool.submit(_chunk_sha256, chunk))

    def hexdigest(self) -> str:
        """Return the sha256 of the sha256 of all chunks."""
        while self._pending:
            self._digest.update(self._pending.popleft().result())
        return self._digest.hexdigest()


def _chunk_sha256(chunk: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(chunk).view(np.uint8).data).digest()


def chunk_rows(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Return the number of rows per chunk of a column of ``dtype`` and ``shape``."""
    return max(1, CHUNK_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize))


def chunks(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the rows of ``blocks`` in chunks of one size, whatever the sizes of the blocks."""
    held: list[np.ndarray] = []
    for block in blocks:
        step = chunk_rows(block.dtype, block.shape)
        start = 0
        if held:
            start = step - sum(map(len, held))
            held.append(block[:start])
            if sum(map(len, held)) < step:
                continue
            yield np.concatenate(held)
            held = []
        for first in range(start, len(block) - step + 1, step):
            yield block[first : first + step]
            start = first + step
        if start < len(block):
            held = [block[start:]]
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held)
