"""Pages of Ogg streams (RFC 3533): whole, undamaged, and where one chained stream follows another.

libsndfile reads a damaged stream as a shorter one, and of chained streams the first only.
"""

import struct
import zlib
from dataclasses import dataclass

from .media import MediaError
from .voice_limits import check_parts

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FIRST, _LAST = 2, 4
_NO_TAG = 128


@dataclass(frozen=True)
class OggLink:
    """One of the streams that are chained one after the other in a file.

    Attributes:
        start: byte at which it starts.
        end: byte after its last.
        streams: number of streams that it interleaves, such as sound and pictures.
    """

    start: int
    end: int
    streams: int


def ogg_links(data: bytes) -> list[OggLink]:
    """Return the chained streams of an Ogg file in their order.

    Raises:
        MediaError: a page is damaged or missing.
    """
    links: list[OggLink] = []
    link, end = 0, 0
    numbers: dict[int, int] = {}  # of the next page of each stream of this link that goes on
    streams = 0
    length = len(data) - _NO_TAG if data[-_NO_TAG:-125] == b"TAG" else len(data)
    count = 0
    while end < length:
        if not numbers and end and not data[end:length].strip(b"\0"):
            break  # zeros that fill up the file
        count += 1
        check_parts(count, "Ogg pages")
        start = end
        serial, number, flags, end = _page(data, start)
        if flags & _FIRST:
            if streams and not numbers:
                links.append(OggLink(link, start, streams))
                link, streams = start, 0
            streams += 1
            numbers[serial] = number
        if numbers.get(serial) != number:
            raise MediaError(f"damaged: a page of the Ogg stream is missing before byte {start}")
        numbers[serial] = (number + 1) % (1 << 32)
        if flags & _LAST:
            del numbers[serial]
    if numbers:
        raise MediaError("cut short: the last page of the Ogg stream is missing")
    return [*links, OggLink(link, end, streams)]


def _page(data: bytes, start: int) -> tuple[int, int, int, int]:
    """Return serial number, page number and flags of the page at ``start``, and its end."""
    header = data[start : start + 27]
    if len(header) < 27 or not header.startswith(b"OggS"):
        raise MediaError(f"damaged or cut short: no Ogg page at byte {start}")
    body = start + 27 + header[26]
    end = body + sum(data[start + 27 : body])
    page = data[start : start + 22] + bytes(4) + data[start + 26 : end]
    serial, number, checksum = struct.unpack_from("<III", header, 14)
    if ogg_checksum(page) != checksum:
        raise MediaError(f"damaged or cut short: wrong checksum of the Ogg page at byte {start}")
    return serial, number, header[5], end


def ogg_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page (RFC 3533) whose own checksum is set to 0.

    It is zlib's CRC with the bits of all bytes and of the result in reverse order, starting at 0.
    """
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)
