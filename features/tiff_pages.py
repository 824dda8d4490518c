"""Pages of a TIFF file from its tags: which one is the scene, and what GDAL cannot read of it."""

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .media import MediaError

MAX_PAGES = 1000
"""Most pages that a file may have."""
MAX_TAGS = 4096
"""Most tags that a page may have."""
_SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_VALUES = 65_536  # of one tag: BitsPerSample of the most samples there can be
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS = 254, 255, 256, 257, 258
_PHOTOMETRIC, _ORIENTATION, _SAMPLES, _SAMPLE_FORMAT = 262, 274, 277, 339
_READ = (
    _SUBFILE,
    _OLD_SUBFILE,
    _WIDTH,
    _HEIGHT,
    _BITS,
    _PHOTOMETRIC,
    _ORIENTATION,
    _SAMPLES,
    _SAMPLE_FORMAT,
)

_REFUSED_PHOTOMETRICS = {
    4: "a transparency mask",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "a colour filter array (raw data of a sensor)",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw data of a sensor",
}


ReadAt = Callable[[int, int], bytes]
"""Returns at most so many bytes (second argument) from a place (first) on; less at the end."""


def bytes_at(data: bytes) -> ReadAt:
    """Return a function that reads ``data``, the content of a file."""
    return lambda place, count: data[place : place + count]


def file_at(handle: int) -> ReadAt:
    """Return a function that reads the open file ``handle``."""
    return lambda place, count: os.pread(handle, count, place)


@dataclass(frozen=True)
class Page:
    """Tags of one page.

    Attributes:
        number: place in the file, from 1.
        reduced: whether it is a smaller picture of another page.
        mask: whether it is a mask of another page.
        width: pixels.
        height: pixels.
        samples: number of bands.
        bits: bits of each band.
        photometric: what the values mean, the number in the tag.
        sample_formats: number type of each band, the numbers in the tag.
        orientation: which corner the first pixel belongs to, the number in the tag.
        orientation_at: where this number stands in the file, None if it has none.
    """

    number: int
    reduced: bool
    mask: bool
    width: int
    height: int
    samples: int
    bits: tuple[int, ...]
    photometric: int
    sample_formats: tuple[int, ...]
    orientation: int
    orientation_at: int | None


def scene_pages(read_at: ReadAt, *, join: bool) -> list[Page]:
    """Return the page of a TIFF that holds the scene; all its pages with ``join``.

    Previews and masks are no scenes.

    Args:
        read_at: reads the file.
        join: take all pages, which have one band each.

    Raises:
        MediaError: the file is damaged, has several scenes, or pixels of a kind that is not read.
    """
    try:
        pages = list(_pages(read_at))
    except (struct.error, OverflowError, OSError) as error:
        raise MediaError("damaged, cut short, or a kind of TIFF that is not supported") from error
    whole = [page for page in pages if not (page.reduced or page.mask)]
    scenes = pages if len(pages) == 1 else whole
    if not scenes:
        raise MediaError(f"{len(pages)} pages, all of them previews or masks")
    for page in scenes:
        _refuse_by_name(page)
    if len(scenes) > 1:
        _check_several(scenes, join)
    if scenes[0].number > 1 and any(page.mask for page in pages):
        raise MediaError("a preview before the scene, and a mask; save the scene alone")
    return scenes


def without_orientation(data: bytes, pages: Sequence[Page]) -> bytes:
    """Return the TIFF ``data`` with the rows of ``pages`` from top to bottom, as they are stored.

    GDAL ignores the tag, but libtiff obeys it where it converts colours (CMYK, YCbCr).
    """
    places = [page.orientation_at for page in pages if page.orientation_at is not None]
    if not places:
        return data
    upright = bytearray(data)
    for place in places:
        struct.pack_into(f"{_order(data)}H", upright, place, 1)
    return bytes(upright)


def _check_several(scenes: Sequence[Page], join: bool) -> None:
    sizes = sorted({(page.width, page.height) for page in scenes}, reverse=True)
    joinable = len(sizes) == 1 and {page.samples for page in scenes} == {1}
    if join and joinable:
        return
    named = ", ".join(f"{width} x {height}" for width, height in sizes[:3])
    advice = "save the scene as a file of its own"
    if joinable:
        advice += ", or take them as the bands of one image with --join-pages"
    raise MediaError(f"{len(scenes)} pages ({named}); {advice}")


def _refuse_by_name(page: Page) -> None:
    """Refuse what GDAL reads otherwise than it is meant, or not at all."""
    if page.photometric in _REFUSED_PHOTOMETRICS:
        meaning = _REFUSED_PHOTOMETRICS[page.photometric]
        raise MediaError(f"its values are {meaning}; convert it to RGB or grey")
    if len(set(page.bits)) > 1 or len(set(page.sample_formats)) > 1:
        raise MediaError("bands of different types; save them with one type")
    if page.sample_formats[:1] in ((5,), (6,)):
        raise MediaError("complex numbers; save their magnitudes")


def _pages(read_at: ReadAt) -> Iterator[Page]:
    head = read_at(0, 4)
    order = _order(head)
    big = head[2 if order == "<" else 3] == 43
    (place,) = _unpacked(read_at, f"{order}{'Q' if big else 'I'}", 8 if big else 4)
    seen: set[int] = set()
    while place:
        if place in seen:
            raise MediaError("damaged: its list of pages has no end")
        if len(seen) >= MAX_PAGES:
            raise MediaError(f"more than {MAX_PAGES} pages; save the scene as a file of its own")
        seen.add(place)
        tags, orientation_at, place = _directory(read_at, place, order, big)
        yield _page(len(seen), tags, orientation_at)
    if not seen:
        raise MediaError("damaged: it has no page")


def _unpacked(read_at: ReadAt, form: str, place: int) -> tuple[Any, ...]:
    return struct.unpack(form, read_at(place, struct.calcsize(form)))


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"


def _page(number: int, tags: Mapping[int, tuple[int, ...]], orientation_at: int | None) -> Page:
    def first(tag: int, otherwise: int) -> int:
        return tags.get(tag, (otherwise,))[0]

    subfile = first(_SUBFILE, 0)
    return Page(
        number,
        bool(subfile & 1) or first(_OLD_SUBFILE, 1) == 2,
        bool(subfile & 4),
        first(_WIDTH, 0),
        first(_HEIGHT, 0),
        first(_SAMPLES, 1),
        tags.get(_BITS, (1,)),
        first(_PHOTOMETRIC, 1),
        tags.get(_SAMPLE_FORMAT, (1,)),
        first(_ORIENTATION, 1),
        orientation_at,
    )


def _directory(
    read_at: ReadAt, place: int, order: str, big: bool
) -> tuple[dict[int, tuple[int, ...]], int | None, int]:
    """Return the tags of :data:`_READ` in the directory at ``place``.

    Returns:
        Values by tag; where the orientation stands, None if it has none; where the next is, or 0.
    """
    count_format, entry, word = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    (count,) = _unpacked(read_at, order + count_format, place)
    start = place + struct.calcsize(order + count_format)
    head = struct.calcsize(order + entry)
    inline = struct.calcsize(word)
    if count > MAX_TAGS:
        raise MediaError(f"damaged: more than {MAX_TAGS} tags")
    entries = read_at(start, count * (head + inline))
    tags, orientation_at = {}, None
    for number in range(count):
        at = number * (head + inline)
        tag, kind, length = struct.unpack_from(order + entry, entries, at)
        if (tag, kind, length) == (_ORIENTATION, 3, 1):
            orientation_at = start + at + head
        if tag in _READ and kind in _SIZES and 0 < length <= _MOST_VALUES:
            values_at = start + at + head
            if length * _SIZES[kind] > inline:
                (values_at,) = struct.unpack_from(order + word, entries, at + head)
            tags[tag] = _unpacked(read_at, f"{order}{length}{_FORMATS[kind]}", values_at)
    end = read_at(start + count * (head + inline), inline)
    (following,) = struct.unpack(order + word, end) if len(end) == inline else (0,)
    return tags, orientation_at, following
