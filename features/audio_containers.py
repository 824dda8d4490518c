"""Containers of sound and video: their kind by their content, and whether they are whole.

FFmpeg reads what is there of a file that was cut. Here the sizes that a container gives for its
parts are compared with the file, and counts from which FFmpeg would fill the memory are refused.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .audio_frames import (
    AMR_NARROW,
    AMR_WIDE,
    adts_seconds,
    amr_seconds,
    is_adts,
    is_mpeg_audio,
    mpeg_audio_seconds,
)
from .media import MediaError
from .voice_limits import check_parts


@dataclass(frozen=True)
class AudioContainer:
    """A kind of file that FFmpeg decodes.

    Attributes:
        name: FFmpeg's name of the container.
        recognised: whether a file is of this kind.
        whole: refuses a file that is not whole. Returns the seconds that it lasts, None where
            FFmpeg finds them in the header.
        end: returns where the sound ends, for kinds that FFmpeg reads to the end of the file.
    """

    name: str
    recognised: Callable[[bytes], bool]
    whole: Callable[[bytes], float | None]
    end: Callable[[bytes], int] = len


def container_of(data: bytes) -> AudioContainer | None:
    """Return the kind of ``data``, None if it is not one of :data:`CONTAINERS`."""
    return next((kind for kind in CONTAINERS if kind.recognised(data)), None)


# --- MP4, M4A, MOV, 3GP ------------------------------------------------------------------------

_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")


def _check_mov(data: bytes) -> None:
    kinds: set[bytes] = set()
    for kind, start, end in _boxes(data, 0, len(data), top=True):
        kinds.add(kind)
        _check_samples(data, kind, start, end)
    if b"moov" not in kinds:
        raise MediaError("cut short: its list of contents (moov) is missing")


def _boxes(
    data: bytes, start: int, stop: int, *, top: bool = False, depth: int = 0
) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the content of each box, also of those within others."""
    count = 0
    while start + 8 <= stop:
        count += 1
        check_parts(count, "boxes")
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= stop:
            head, size = 16, struct.unpack_from(">Q", data, start + 8)[0]
        end = stop if size == 0 else start + size
        if size and size < head:
            raise MediaError(f"damaged: the size of the box at byte {start}")
        if end > stop:
            held = stop - start
            raise MediaError(
                f"cut short: {held} of {size} bytes of its part {kind.decode('latin-1')!r}"
                if top
                else f"damaged: the size of the box at byte {start}"
            )
        yield kind, start + head, end
        if kind in _PARENTS and depth < len(_PARENTS):
            yield from _boxes(data, start + head, end, depth=depth + 1)
        start = end
    if top and start < stop and data[start:stop].strip(b"\0"):
        raise MediaError("cut short: its last part is not whole")


def _check_samples(data: bytes, kind: bytes, start: int, end: int) -> None:
    """Refuse a box that claims more samples than the file has bytes."""
    content = data[start : min(end, start + 20)].ljust(20, b"\0")
    if kind == b"stsz" and struct.unpack_from(">I", content, 4)[0]:
        size, count = struct.unpack_from(">II", content, 4)
        _require_possible(size * count, data)
    elif kind == b"trun":
        _require_possible(struct.unpack_from(">I", content, 4)[0], data)
    elif kind == b"stbl":
        parts = {name: (begin, stop) for name, begin, stop in _boxes(data, start, end)}
        if b"stsc" in parts:
            chunks = parts.get(b"stco", parts.get(b"co64", (0, 0)))
            _require_possible(_samples_of_chunks(data, parts[b"stsc"], chunks), data)


def _samples_of_chunks(data: bytes, table: tuple[int, int], chunks: tuple[int, int]) -> int:
    """Return the sum of the samples of all chunks, from the boxes ``stsc`` and ``stco``."""

    def count_of(box: tuple[int, int]) -> int:
        held = box[1] - box[0]
        return int(struct.unpack_from(">I", data, box[0] + 4)[0]) if held >= 8 else 0

    last = count_of(chunks) + 1
    entries = min(count_of(table), (table[1] - table[0] - 8) // 12)
    runs = [struct.unpack_from(">II", data, table[0] + 8 + 12 * n) for n in range(entries)]
    ends = [*(first for first, _ in runs[1:]), last]
    return sum(
        max(0, end - first) * samples for (first, samples), end in zip(runs, ends, strict=False)
    )


def _require_possible(count: int, data: bytes) -> None:
    if count > len(data):
        raise MediaError(f"damaged: it claims {count} samples in {len(data)} bytes")


# --- Matroska and WebM -------------------------------------------------------------------------

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TRACKS, _TRACK, _TRACK_NUMBER, _SIMPLE_BLOCK = 0x1654AE6B, 0xAE, 0xD7, 0xA3
# Elements within a cluster: time, blocks, groups of blocks, place, previous size, nothing.
_IN_CLUSTER = (0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0xEC, 0xBF, 0x5854, 0xAF)
# Elements within a segment: seek head, information, tracks, cues, attachments, chapters, tags.
_IN_SEGMENT = (0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367)


def _check_matroska(data: bytes) -> None:
    """Follow the elements of a file down to its blocks.

    A recorder in a browser writes a segment and clusters of unknown size.
    """
    place, count = 0, 0
    tracks: set[int] = set()
    known: tuple[int, ...] = (_EBML, _SEGMENT)
    while place < len(data):
        count += 1
        check_parts(count, "elements")
        kind, size, content = _element(data, place)
        if kind not in known:
            raise MediaError(f"damaged: an unknown element at byte {place}")
        _require_held(data, content, size)
        if kind == _TRACKS:
            tracks |= _track_numbers(data, content, content + (size or 0))
        elif kind == _SIMPLE_BLOCK and data[content] not in tracks:
            raise MediaError(f"damaged: a block of no track at byte {place}")
        if kind == _SEGMENT:
            known = (*_IN_SEGMENT, *_IN_CLUSTER, _CLUSTER)
        elif kind != _CLUSTER:
            if size is None:
                raise MediaError(f"damaged: the size of the element at byte {place} is unknown")
            content += size
        place = content
    if known[0] == _EBML:
        raise MediaError("cut short before its samples")


def _track_numbers(data: bytes, place: int, end: int) -> set[int]:
    """Return the first bytes of the blocks of the tracks that are described in ``data``."""
    found = set()
    while place < end:
        kind, size, content = _element(data, place)
        if kind == _TRACK_NUMBER:
            number = int.from_bytes(data[content : content + (size or 0)], "big")
            found.add(number | 0x80 if number < 0x7F else 0x40 | number >> 8)
        place = content if kind == _TRACK else content + (size or 0)
    return found


def _require_held(data: bytes, start: int, size: int | None) -> None:
    if size is not None and start + size > len(data):
        raise MediaError(f"cut short: {len(data) - start} of {size} bytes of an element")


def _element(data: bytes, place: int) -> tuple[int, int | None, int]:
    """Return number and size (None: unknown) of the element at ``place``, and its content's."""
    length = 9 - data[place].bit_length()
    if length > 4:
        raise MediaError(f"damaged: no element at byte {place}")
    at = place + length
    if at >= len(data):
        raise MediaError("cut short: its last element is not whole")
    width = 9 - data[at].bit_length()
    if width > 8 or at + width > len(data):
        raise MediaError("damaged or cut short: its last element is not whole")
    kind = int.from_bytes(data[place:at], "big")
    size = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
    return kind, None if size == (1 << 7 * width) - 1 else size, at + width


# --- AIFF, CAF, AU, AVI ------------------------------------------------------------------------


def _check_aiff(data: bytes) -> None:
    whole = struct.unpack_from(">I", data, 4)[0] + 8
    start, count = 12, 0
    while start + 8 <= len(data):
        count += 1
        check_parts(count, "chunks")
        name, size = struct.unpack_from(">4sI", data, start)
        held = len(data) - start - 8
        if size > held and (name != b"SSND" or whole != len(data)):
            raise MediaError(f"cut short: {held} of {size} bytes of {name.decode('latin-1')!r}")
        start += 8 + size + size % 2


def _check_caf(data: bytes) -> None:
    if data[28:32] == b"alac":
        # FFmpeg takes the unused end of the last packet off twice.
        raise MediaError("ALAC in CAF is not read; convert it to M4A or WAV")
    start, count = 8, 0
    while start + 12 <= len(data):
        count += 1
        check_parts(count, "chunks")
        name, size = struct.unpack_from(">4sq", data, start)
        held = len(data) - start - 12
        if size < 0 and name == b"data":  # recorded until the end
            return
        if not 0 <= size <= held:
            raise MediaError(f"cut short: {held} of {size} bytes of {name.decode('latin-1')!r}")
        start += 12 + size
    if data[start:].strip(b"\0"):
        raise MediaError("cut short: its last part is not whole")


def _check_au(data: bytes) -> None:
    if len(data) < 24:
        raise MediaError("cut short before its samples")
    start, size = struct.unpack_from(">II", data, 4)
    if size != 0xFFFF_FFFF and start + size > len(data):
        raise MediaError(f"cut short: {max(0, len(data) - start)} of {size} bytes of samples")


def _end_of_au(data: bytes) -> int:
    start, size = struct.unpack_from(">II", data, 4)
    return len(data) if size == 0xFFFF_FFFF else int(start + size)


def _check_avi(data: bytes) -> None:
    start, count = 0, 0
    while start + 8 <= len(data) and data[start : start + 4] == b"RIFF":
        count += 1
        check_parts(count, "chunks")
        (size,) = struct.unpack_from("<I", data, start + 4)
        held = len(data) - start - 8
        if size > held or not size:
            raise MediaError(f"cut short: {held} of {size or 'an unknown number of'} bytes")
        start += 8 + size + size % 2


CONTAINERS = (
    AudioContainer("mov", lambda data: data[4:8] in _FIRST_BOXES, _check_mov),
    AudioContainer("matroska", lambda data: data.startswith(b"\x1a\x45\xdf\xa3"), _check_matroska),
    AudioContainer(
        "aiff",
        lambda data: data.startswith(b"FORM") and data[8:12] in (b"AIFF", b"AIFC"),
        _check_aiff,
    ),
    AudioContainer("caf", lambda data: data.startswith(b"caff"), _check_caf),
    AudioContainer("au", lambda data: data.startswith(b".snd"), _check_au, _end_of_au),
    AudioContainer(
        "avi",
        lambda data: data.startswith(b"RIFF") and data[8:12] == b"AVI ",
        _check_avi,
    ),
    AudioContainer("amr", lambda data: data.startswith((AMR_NARROW, AMR_WIDE)), amr_seconds),
    AudioContainer("aac", is_adts, adts_seconds),
    AudioContainer("mp3", is_mpeg_audio, mpeg_audio_seconds),
)
"""Files that FFmpeg decodes, besides WAV, FLAC and Ogg that libsndfile does not read."""
