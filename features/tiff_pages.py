"""Pages of a TIFF file from its tags: which one is the scene, and what GDAL cannot read of it."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
_READ = (_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT)

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
        orientation_at: where the number of its orientation stands in the file, None if it has none.
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
    orientation_at: int | None


def scene_pages(data: bytes, *, join: bool) -> list[Page]:
    """Return the page of the TIFF ``data`` that holds the scene; all its pages with ``join``.

    Previews and masks are no scenes.

    Raises:
        MediaError: the file is damaged, has several scenes, or pixels of a kind that is not read.
    """
    try:
        pages = list(_pages(data))
    except (struct.error, OverflowError) as error:
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


def _pages(data: bytes) -> Iterator[Page]:
    order = _order(data)
    big = data[2 if order == "<" else 3] == 43
    (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    seen: set[int] = set()
    while place:
        if place in seen:
            raise MediaError("damaged: its list of pages has no end")
        if len(seen) >= MAX_PAGES:
            raise MediaError(f"more than {MAX_PAGES} pages; save the scene as a file of its own")
        seen.add(place)
        tags, orientation_at, place = _directory(data, place, order, big)
        yield _page(len(seen), tags, orientation_at)
    if not seen:
        raise MediaError("damaged: it has no page")


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
        orientation_at,
    )


def _directory(
    data: bytes, place: int, order: str, big: bool
) -> tuple[dict[int, tuple[int, ...]], int | None, int]:
    """Return the tags of :data:`_READ` in the directory at ``place``.

    Returns:
        Values by tag; where the orientation stands, None if it has none; where the next is, or 0.
    """
    count_format, entry, word = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    (count,) = struct.unpack_from(order + count_format, data, place)
    start = place + struct.calcsize(order + count_format)
    head = struct.calcsize(order + entry)
    inline = struct.calcsize(word)
    if count > MAX_TAGS:
        raise MediaError(f"damaged: more than {MAX_TAGS} tags")
    if start + count * (head + inline) > len(data):
        raise struct.error("directory beyond the end of the file")
    tags, orientation_at = {}, None
    for number in range(count):
        at = start + number * (head + inline)
        tag, kind, length = struct.unpack_from(order + entry, data, at)
        if (tag, kind, length) == (_ORIENTATION, 3, 1):
            orientation_at = at + head
        if tag in _READ and kind in _SIZES and 0 < length <= _MOST_VALUES:
            values_at = at + head
            if length * _SIZES[kind] > inline:
                (values_at,) = struct.unpack_from(order + word, data, values_at)
            tags[tag] = struct.unpack_from(f"{order}{length}{_FORMATS[kind]}", data, values_at)
    end = start + count * (head + inline)
    (following,) = (
        struct.unpack_from(order + word, data, end) if end + inline <= len(data) else (0,)
    )
    return tags, orientation_at, following
