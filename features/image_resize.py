"""Resizing pictures: antialiased, rounded to whole grey levels, with or without torch.

A pixel is the weighted mean of the pixels below a kernel that is as wide as the picture is reduced,
along rows first and then along columns, as in Pillow. The kernel is a triangle (bilinear) or Keys'
cubic with a = -1/2 (bicubic; "Cubic convolution interpolation", IEEE TASSP 1981). The weights are
whole numbers of 15 bits, so that every sum is exact and the result is the same on every processor.
It is the result that
``torchvision`` has on processors with AVX2 (Vryniotis and others, PyTorch's uint8 kernels, 2023);
its kernels for other processors, and Pillow, differ by one grey level in some pixels.

So torch does it where it is loaded already and has these kernels, which take a quarter of the time,
and NumPy everywhere else: the pixels are the same.
"""

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

Interpolation = Literal["bilinear", "bicubic"]

_BLOCK = 16
"""Pixels of the result computed by one product; more would multiply mostly zeros."""
_ROWS = 1024
"""Rows of the picture that become real numbers at a time."""
_WEIGHT_BITS = 15
_MOST_SHIFT = 22
_EXACT_SUM = 1 << 24
"""Whole numbers below this are exact in float32."""

_EXACT = ("AVX2", "AVX512")
"""Instructions with which torch computes these very pixels."""

_Block = tuple[slice, slice, np.ndarray]


def resized(
    picture: np.ndarray, height: int, width: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Return ``picture`` squashed or stretched to another size.

    Args:
        picture: uint8 [channels, rows, columns].
        height: rows of the result.
        width: columns of the result.
        interpolation: the kernel.

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
        return _by_torch(picture, height, width, interpolation)
    return _by_numpy(picture, height, width, interpolation)


def _torch_is_exact() -> bool:
    """Return whether torch is loaded and has the kernels of processors with AVX2."""
    torch: Any = sys.modules.get("torch")
    return hasattr(torch, "backends") and torch.backends.cpu.get_cpu_capability() in _EXACT


def _by_torch(
    picture: np.ndarray, height: int, width: int, interpolation: Interpolation
) -> np.ndarray:
    from torch import from_numpy
    from torch.nn.functional import interpolate

    # torch knows pixels side by side, which it resizes in half of the time, by these strides.
    plain = picture if min(picture.strides) > 0 else picture.copy()
    batch = from_numpy(plain.transpose(1, 2, 0))[None].permute(0, 3, 1, 2)
    made = interpolate(batch, (height, width), mode=interpolation, antialias=True)
    found: np.ndarray = made[0].numpy()
    return found


def _by_numpy(
    picture: np.ndarray, height: int, width: int, interpolation: Interpolation
) -> np.ndarray:
    rows = _along_rows(picture, width, interpolation)
    return _along_columns(rows, height, interpolation)


def _along_rows(picture: np.ndarray, width: int, interpolation: Interpolation) -> np.ndarray:
    """Return ``picture`` with rows of ``width`` pixels."""
    channels, height, before = picture.shape
    if width == before:
        return picture
    rows = picture.reshape(channels * height, before)
    found = np.empty((len(rows), width), np.uint8)
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        for seen, made, weights in _weights(before, width, interpolation):
            sums = some[:, seen].astype(weights.dtype) @ weights
            found[start : start + _ROWS, made] = _rounded(sums)
    return found.reshape(channels, height, width)


def _along_columns(picture: np.ndarray, height: int, interpolation: Interpolation) -> np.ndarray:
    """Return ``picture`` with columns of ``height`` pixels."""
    channels, before, width = picture.shape
    if height == before:
        return picture
    found = np.empty((channels, height, width), np.uint8)
    for seen, made, weights in _weights(before, height, interpolation):
        sums = weights.T @ picture[:, seen].astype(weights.dtype)
        found[:, made] = _rounded(sums)
    return found


def _rounded(sums: np.ndarray) -> np.ndarray:
    """Return ``sums`` so that cutting their fractions rounds them; halves are rounded up.

    Beyond black and white is black and white: a cubic kernel has negative weights.
    """
    sums += sums.dtype.type(0.5)
    rounded: np.ndarray = np.clip(sums, 0, 255, out=sums)
    return rounded


@lru_cache(maxsize=64)
def _weights(before: int, after: int, interpolation: Interpolation) -> Sequence[_Block]:
    """Return which pixels of a line of ``before`` pixels are seen by which ones of ``after``.

    Each block has the pixels that are seen, the pixels that are made, and the weights
    [seen, made]: whole numbers divided by a power of two.
    """
    kernel, half_width = _KERNELS[interpolation]
    scale = before / after
    width = max(scale, 1.0)
    reach = half_width * width
    centres = scale * (np.arange(after) + 0.5)
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    count = np.minimum((centres + reach + 0.5).astype(np.int64), before) - first
    steps = np.arange(int(count.max()))
    heights = kernel(np.abs((steps + first[:, None] - centres[:, None] + 0.5) / width))
    heights = np.where(steps < count[:, None], heights, 0)
    shares = heights / heights.sum(1, keepdims=True)
    shift = _shift(float(shares.max()))
    whole = np.trunc(shares * 2**shift + np.copysign(0.5, shares))
    largest = (255 * np.abs(whole).sum(1).max()) + 2 ** (shift - 1)
    kind = np.float32 if largest < _EXACT_SUM else np.float64
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


def _triangle(distance: np.ndarray) -> np.ndarray:
    heights: np.ndarray = np.maximum(1 - distance, 0)
    return heights


def _cubic(distance: np.ndarray) -> np.ndarray:
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    heights: np.ndarray = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return heights


_KERNELS: dict[Interpolation, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}
"""Height of each kernel at a distance of 0 or more, and the distance at which it ends."""
