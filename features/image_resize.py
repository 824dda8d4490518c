"""Resizing pictures: bilinear, antialiased, rounded to whole grey levels, with or without torch.

A pixel is the mean of the pixels below a triangle that is as wide as the picture is reduced, along
rows first and then along columns, as in Pillow. The weights are whole numbers of 15 bits, so that
every sum is exact and the result is the same on every processor. It is the result that
``torchvision`` has on processors with AVX2 (Vryniotis and others, PyTorch's uint8 kernels, 2023);
its kernels for other processors, and Pillow, differ by one grey level in some pixels.

So torch does it where it is loaded already and has these kernels, which take a quarter of the time,
and NumPy everywhere else: the pixels are the same.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

_BLOCK = 16
"""Pixels of the result computed by one product; more would multiply mostly zeros."""
_ROWS = 1024
"""Rows of the picture that become real numbers at a time."""
_WEIGHT_BITS = 15
_MOST_SHIFT = 22
_EXACT_SHIFT = 16
"""Largest shift at which float32 holds every sum of 8-bit values exactly."""

_EXACT = ("AVX2", "AVX512")
"""Instructions with which torch computes these very pixels."""

_Block = tuple[slice, slice, np.ndarray]


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return ``picture`` squashed or stretched to another size.

    Args:
        picture: uint8 [channels, rows, columns].
        height: rows of the result.
        width: columns of the result.

    Returns:
        uint8 [channels, height, width].

    Raises:
        ValueError: another type or shape, or a side of 0 pixels.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or not all(picture.shape):
        raise ValueError(
            f"a picture must be uint8 [channels, rows, columns], got {picture.dtype} "
            f"{list(picture.shape)}"
        )
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1 pixel, got {height} and {width}")
    # A single pixel ends in an internal error of torch 2.14.
    if height * width > 1 and _torch_is_exact():
        return _by_torch(picture, height, width)
    return _by_numpy(picture, height, width)


def _torch_is_exact() -> bool:
    """Return whether torch is loaded and has the kernels of processors with AVX2."""
    torch: Any = sys.modules.get("torch")
    return hasattr(torch, "backends") and torch.backends.cpu.get_cpu_capability() in _EXACT


def _by_torch(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    from torch import from_numpy
    from torch.nn.functional import interpolate

    # torch knows pixels side by side, which it resizes in half of the time, by these strides.
    plain = picture if min(picture.strides) > 0 else picture.copy()
    batch = from_numpy(plain.transpose(1, 2, 0))[None].permute(0, 3, 1, 2)
    found: np.ndarray = interpolate(batch, (height, width), mode="bilinear", antialias=True)[
        0
    ].numpy()
    return found


def _by_numpy(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    return _along_columns(_along_rows(picture, width), height)


def _along_rows(picture: np.ndarray, width: int) -> np.ndarray:
    """Return ``picture`` with rows of ``width`` pixels."""
    channels, height, before = picture.shape
    if width == before:
        return picture
    rows = picture.reshape(channels * height, before)
    found = np.empty((len(rows), width), np.uint8)
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        for seen, made, weights in _weights(before, width):
            sums = some[:, seen].astype(weights.dtype) @ weights
            found[start : start + _ROWS, made] = _rounded(sums)
    return found.reshape(channels, height, width)


def _along_columns(picture: np.ndarray, height: int) -> np.ndarray:
    """Return ``picture`` with columns of ``height`` pixels."""
    channels, before, width = picture.shape
    if height == before:
        return picture
    found = np.empty((channels, height, width), np.uint8)
    for seen, made, weights in _weights(before, height):
        sums = weights.T @ picture[:, seen].astype(weights.dtype)
        found[:, made] = _rounded(sums)
    return found


def _rounded(sums: np.ndarray) -> np.ndarray:
    """Return ``sums`` so that cutting their fractions rounds them; halves are rounded up.

    None reaches 256: the weights of a pixel are rounded, but sum up to less than 1.001.
    """
    sums += sums.dtype.type(0.5)
    return sums


@lru_cache(maxsize=64)
def _weights(before: int, after: int) -> Sequence[_Block]:
    """Return which pixels of a line of ``before`` pixels are seen by which ones of ``after``.

    Each block has the pixels that are seen, the pixels that are made, and the weights
    [seen, made]: whole numbers divided by a power of two.
    """
    scale = before / after
    reach = max(scale, 1.0)
    centres = scale * (np.arange(after) + 0.5)
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    count = np.minimum((centres + reach + 0.5).astype(np.int64), before) - first
    steps = np.arange(int(count.max()))
    heights = 1 - np.abs((steps + first[:, None] - centres[:, None] + 0.5) / reach)
    heights = np.where(steps < count[:, None], np.maximum(heights, 0), 0)
    shares = heights / heights.sum(1, keepdims=True)
    shift = _shift(float(shares.max()))
    whole = np.floor(shares * 2**shift + 0.5)
    kind = np.float32 if shift <= _EXACT_SHIFT else np.float64
    blocks = []
    for start in range(0, after, _BLOCK):
        made = slice(start, min(start + _BLOCK, after))
        seen = slice(int(first[made].min()), int((first + count)[made].max()))
        weights = np.zeros((seen.stop - seen.start, made.stop - made.start), kind)
        for column, row in enumerate(range(made.start, made.stop)):
            place = first[row] - seen.start
            weights[place : place + count[row], column] = whole[row, : count[row]] / 2**shift
        blocks.append((seen, made, weights))
    return tuple(blocks)


def _shift(largest: float) -> int:
    """Return the power of two that makes a whole number of 15 bits of the ``largest`` weight."""
    shift = 0
    while shift < _MOST_SHIFT and int(0.5 + largest * 2 ** (shift + 1)) < 1 << _WEIGHT_BITS:
        shift += 1
    return shift
