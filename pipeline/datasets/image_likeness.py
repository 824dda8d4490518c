"""Images that look nearly the same: a perceptual hash, and pairs across the split.

The hash (a difference hash) has one bit for each pair of neighbouring cells of a coarse grey
picture: which of the two is brighter, 64 bits along the rows and 64 along the columns. A picture
that was saved again, resized or made brighter keeps nearly all of them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 72
"""Side of the picture that is hashed, pixels: cells of 8 by 9."""

NEAR = 10
"""Most bits, out of 128, in which the hashes of nearly equal images differ.

Of 700 images of UC Merced no two differ in fewer than 20; after saving at JPEG quality 50, half the
size, a fifth brighter, blurred or with noise of 10 levels, 95 % differ in 6 at most.
"""

BLANK = 2
"""Levels, out of 255, that the pixels of a blank image differ at most."""

_ROWS_OF_9: NDArray[np.float32] = np.repeat(np.eye(8, dtype=np.float32), 9, axis=1)
_ROWS_OF_8: NDArray[np.float32] = np.repeat(np.eye(9, dtype=np.float32), 8, axis=0)
_BLOCK = 256


def is_blank(picture: NDArray[np.uint8]) -> bool:
    """Return whether ``picture`` [3, height, width] has one colour."""
    values = np.ascontiguousarray(picture).reshape(len(picture), -1)
    return bool((values.max(1) - values.min(1)).max() <= BLANK)


def image_hash(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the hash of ``picture`` [3, 72, 72], two numbers of 64 bits."""
    red, green, blue = picture.astype(np.float32)
    grey = red + green + blue
    # Sums of whole numbers below 2^24: exact in float32.
    wide, high = _ROWS_OF_9 @ grey @ _ROWS_OF_8, _ROWS_OF_8.T @ grey @ _ROWS_OF_9.T
    bits = (wide[:, 1:] > wide[:, :-1], high[1:] > high[:-1])
    first, second = (int(np.packbits(some).view(">u8")[0]) for some in bits)
    return first, second


def near_pairs(
    hashes: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield the places of hashes and others that differ in at most :data:`NEAR` bits."""
    mine = np.array(hashes, np.uint64).reshape(-1, 2)
    theirs = np.array(others, np.uint64).reshape(-1, 2)
    for start in range(0, len(mine), _BLOCK):
        block = mine[start : start + _BLOCK]
        first = np.bitwise_count(block[:, None, 0] ^ theirs[:, 0])
        # Few pairs pass the first half of the bits; only these are counted further.
        rows, columns = np.nonzero(first <= NEAR)
        second = np.bitwise_count(block[rows, 1] ^ theirs[columns, 1])
        near = first[rows, columns].astype(int) + second <= NEAR
        for row, column in zip(rows[near].tolist(), columns[near].tolist(), strict=True):
            yield start + row, column
