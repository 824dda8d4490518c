"""PNG: checksums and header of every one, and the pixels of those of up to 8 bits, by PIL.

PIL looks neither at the checksums of compressed pixels nor at their number: bytes lost in the
middle give other pixels, and data that end early a black rest. Both are checked here.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from .image_bands import chosen_bands
from .media import MediaError, check_pixels

MAX_CHUNKS = 1_000_000
"""Most chunks that a file may have."""

_HEADER = struct.Struct(">8sI4sIIBBBBB")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip
"""First column and row, and steps, of the passes of an interlaced image."""


def checked_png_depth(data: bytes) -> int:
    """Return the bits per value of the PNG ``data`` whose checksums are right.

    Raises:
        MediaError: it has no header, too many pixels, or pixels whose checksum is wrong.
    """
    depth = _header(data)[2]
    for chunk, stated in _compressed(data):
        if zlib.crc32(chunk, zlib.crc32(b"IDAT")) != stated:
            raise damaged_png("the checksum of its pixels is wrong")
    return depth


def _header(data: bytes) -> tuple[int, int, int, int, int]:
    """Return width, height, bits, kind of colour and interlacing."""
    if len(data) < _HEADER.size or data[12:16] != b"IHDR":
        raise damaged_png("it has no header")
    _, _, _, width, height, depth, colour, _, _, interlaced = _HEADER.unpack_from(data)
    check_pixels(width, height)
    return width, height, depth, colour, interlaced


def damaged_png(text: str) -> MediaError:
    """Return the error of a PNG that cannot be decoded for the reason ``text``."""
    return MediaError(f"damaged, cut short, or a kind of PNG that is not supported ({text})")


def read_png(data: bytes, bands: Sequence[str]) -> np.ndarray:
    """Return the picture in the PNG ``data``, of up to 8 bits, as uint8 [3, height, width].

    Pixels whose alpha is 0 become 0.

    Args:
        data: content of the file.
        bands: bands to take, see :class:`ivr.features.image_bands.PixelConfig`.

    Raises:
        MediaError: the file is damaged or has no pixel with alpha above 0.
        Exception: what PIL raises for damaged files.
    """
    image = Image.open(BytesIO(data), formats=("PNG",))
    image.load()
    # PIL takes data that end too early for a black rest. Only a black last row can be one.
    if _header(data)[4] or not np.asarray(image)[-1].any():
        _check_length(data)
    grey = image.mode in ("1", "L", "LA", "I")
    if image.has_transparency_data:
        values = np.asarray(image.convert("RGBA"))
        seen = values[..., 3:] > 0
        if not seen.any():
            raise MediaError("holds no valid pixel")
        values = np.where(seen, values[..., :3], np.uint8(0))
    else:
        values = np.asarray(image.convert("RGB"))
    picture = np.ascontiguousarray(values.transpose(2, 0, 1))
    return picture[chosen_bands(bands, [""] * (1 if grey else 3))] if bands else picture


def _check_length(data: bytes) -> None:
    """Refuse a PNG whose compressed data are fewer than its pixels need."""
    width, height, depth, colour, interlaced = _header(data)
    bits = depth * _CHANNELS.get(colour, 1)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    needed = 0
    for left, top, step, line in passes:
        columns, rows = -(-(width - left) // step), -(-(height - top) // line)
        if columns > 0 and rows > 0:
            needed += rows * (1 + -(-columns * bits // 8))
    inflate, length = zlib.decompressobj(), 0
    try:
        for chunk, _ in _compressed(data):
            part: bytes | memoryview = chunk
            while part and length < needed:
                length += len(inflate.decompress(part, 1 << 20))
                part = inflate.unconsumed_tail
    except zlib.error as error:
        raise damaged_png(str(error)) from error
    if length < needed:
        raise damaged_png("its data end early")


def _compressed(data: bytes) -> Iterator[tuple[memoryview, int]]:
    """Yield content and stated checksum of the IDAT chunks.

    Raises:
        MediaError: the file ends within one.
    """
    place, view, count = 8, memoryview(data), 0
    while place + 8 <= len(data):
        count += 1
        if count > MAX_CHUNKS:
            raise damaged_png(f"more than {MAX_CHUNKS} chunks")
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if name == b"IEND":
            return
        if name == b"IDAT":
            if end + 4 > len(data):
                raise damaged_png("it ends within its pixels")
            yield view[place + 8 : end], struct.unpack_from(">I", data, end)[0]
        place = end + 4
