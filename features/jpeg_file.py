"""JPEG, decoded strictly: an image of which part was not decoded is refused.

A decoder of JPEG goes on after an error and only counts a warning: half a picture is grey below,
512 lost bytes shift colours and places. libjpeg-turbo is told to stop at the first warning. Before
it starts, the markers say how large the image is, how many scans it has, and whether the scans of a
progressive image carry all bits: a file that was cut between two scans gives no warning. A missing
end marker alone is no damage.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image

from .image_bands import chosen_bands
from .media import MAX_PIXELS, MediaError, check_pixels

MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
"""Most pixels over all scans. A scan visits every pixel, and a byte or two can ask for one."""

MAX_SEGMENTS = 100_000
"""Most segments that a file may have."""

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # not a byte of data, not a restart
_EOI = b"\xff\xd9"
_SOI, _END, _SCAN = 0xD8, 0xD9, 0xDA
_ALONE = (0x01, _SOI)  # markers without a length
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xCA)
_UNREAD = {0xC3: "lossless", 0xCB: "lossless", **dict.fromkeys((0xC5, 0xC6, 0xC7), "hierarchical")}
_UNREAD |= dict.fromkeys((0xCD, 0xCE, 0xCF), "hierarchical")
_COEFFICIENTS = 64


@dataclass(frozen=True)
class _Frame:
    kind: int
    precision: int
    width: int
    height: int
    components: tuple[int, ...]


def read_jpeg(data: bytes, bands: Sequence[str]) -> np.ndarray:
    """Return the picture in the JPEG ``data``, uint8 [3, height, width].

    CMYK is taken as Adobe writes it, inverted.

    Args:
        data: content of the file.
        bands: bands to take, see :class:`ivr.features.image_bands.PixelConfig`.

    Raises:
        MediaError: the file is damaged, too large, or of a kind that is not read.
    """
    frame, scans = _frame_and_scans(data)
    check_pixels(frame.width, frame.height)
    _refuse_by_name(frame)
    pixels = frame.width * frame.height
    if len(scans) * pixels > MAX_SCANNED_PIXELS:
        raise MediaError(
            f"{len(scans)} scans of {pixels} pixels take too long to decode; "
            "save it as a baseline JPEG"
        )
    if frame.kind in _PROGRESSIVE and not _is_complete(frame, scans):
        raise _damaged("the last scans are missing")
    if not data.endswith(_EOI):
        data += _EOI
    try:
        if len(frame.components) == 4:
            image = _rgb_of_cmyk(simplejpeg.decode_jpeg(data, "CMYK", strict=True))
        else:
            image = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError as error:
        raise _damaged(str(error)) from error
    picture: np.ndarray = image.transpose(2, 0, 1)
    if not bands:
        return picture
    return picture[chosen_bands(bands, [""] * (1 if len(frame.components) == 1 else 3))]


def _damaged(text: str) -> MediaError:
    return MediaError(f"damaged, cut short, or a kind of JPEG that is not supported ({text})")


def _refuse_by_name(frame: _Frame) -> None:
    if frame.kind in _UNREAD:
        raise MediaError(f"{_UNREAD[frame.kind]} JPEG; save it as a baseline JPEG")
    if frame.precision != 8:
        raise MediaError(f"JPEG of {frame.precision} bits; save it with 8 bits or as TIFF")
    if len(frame.components) not in (1, 3, 4):
        raise MediaError(f"JPEG of {len(frame.components)} components; save it as RGB")


def _rgb_of_cmyk(inverted: np.ndarray) -> np.ndarray:
    height, width, _ = inverted.shape
    image = Image.frombytes("CMYK", (width, height), (255 - inverted).tobytes())
    return np.asarray(image.convert("RGB"))


def _frame_and_scans(data: bytes) -> tuple[_Frame, list[bytes]]:
    """Return the frame header and the header of each scan, up to the end of the first image."""
    frame, scans = None, []
    try:
        for marker, content in _segments(data):
            if marker in _FRAMES:
                if frame is not None:
                    raise MediaError("JPEG of several frames; save it as a baseline JPEG")
                precision, height, width, count = struct.unpack_from(">BHHB", content)
                parts = tuple(content[6 + 3 * part] for part in range(count))
                frame = _Frame(marker, precision, width, height, parts)
            elif marker == _SCAN:
                scans.append(content)
    except (struct.error, IndexError) as error:
        raise _damaged("a header ends early") from error
    if frame is None:
        raise _damaged("no picture in it")
    return frame, scans


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each segment, without the data of the scans."""
    place, count = 0, 0
    while found := _MARKER.search(data, place):
        count += 1
        if count > MAX_SEGMENTS:
            raise _damaged(f"more than {MAX_SEGMENTS} segments")
        marker = found[1][0]
        place = found.end()
        if marker == _END:
            return
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", data, place)
        yield marker, data[place + 2 : place + length]
        place += length


def _is_complete(frame: _Frame, scans: Sequence[bytes]) -> bool:
    """Return whether the scans carry every bit of every coefficient of every component."""
    missing = {component: [True] * _COEFFICIENTS for component in frame.components}
    for scan in scans:
        if not scan or len(scan) < 4 + 2 * scan[0]:
            raise _damaged("a header ends early")
        count = scan[0]
        first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
        if bits & 15 == 0:  # down to the last bit
            for component in scan[1 : 1 + 2 * count : 2]:
                if component in missing:
                    span = range(first, min(last, _COEFFICIENTS - 1) + 1)
                    for coefficient in span:
                        missing[component][coefficient] = False
    return not any(map(any, missing.values()))
