"""Headers of WAV files and their kin (RIFF, RIFX, RF64, BW64, W64): where the samples lie.

Recorders that crash, that write into a pipe or that count the header as samples leave sizes that
are wrong. What the header says is therefore compared with what the file holds, and the decoder gets
a new header with the right sizes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .media import MediaError
from .voice_limits import check_parts

Note = Literal["no length", "wrong sizes", "bytes after the samples"]
"""What a reader had to decide about a file whose header is incomplete or wrong."""

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_WAVE = bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
# The names of the chunks of W64 that matter; the rest of the GUID is that of ``wave``.
_W64_CHUNKS = {b"fmt ", b"data", b"fact"}
# Ends of the GUID of an extensible format whose first two bytes are the tag: plain, ambisonic.
_SUBFORMATS = tuple(
    bytes.fromhex(text) for text in ("000000001000800000aa00389b71", "00002107d3118644c8c1ca000000")
)
_HEADER = 44
# When they write into a pipe, ffmpeg gives 0xFFFFFFFF as the size of the samples, sox and espeak-ng
# 0x7FFFF000 less a part of a block. These numbers are no sizes.
_STREAMED = (range(0x7FFF_0000, 0x8000_0000), range(0xFFFF_0000, 1 << 64))


@dataclass(frozen=True)
class WaveFile:
    """Format and place of the samples of a WAV file.

    Attributes:
        order: byte order of the header and of the samples, ``"<"`` or ``">"``.
        format: content of the ``fmt`` chunk.
        fact: content of the ``fact`` chunk, empty if there is none.
        tag: number of the codec; that of the subformat if the format is extensible.
        channels: number of channels.
        sample_rate: Hz.
        align: bytes of one sample of all channels, or of one block of a codec.
        bits: bits per sample of one channel.
        samples: the bytes of the samples.
        notes: what is wrong with the sizes.
    """

    order: str
    format: bytes
    fact: bytes
    tag: int
    channels: int
    sample_rate: int
    align: int
    bits: int
    samples: memoryview
    notes: tuple[Note, ...]

    @property
    def width(self) -> int:
        """Bytes of one sample of one channel."""
        return (self.bits + 7) // 8

    @property
    def is_plain(self) -> bool:
        """Whether the samples are PCM of 8 to 32 bits or float of 32 or 64 bits."""
        known = self.width in {PCM: (1, 2, 3, 4), FLOAT: (4, 8)}.get(self.tag, ())
        # Writers get this number wrong; larger ones mean samples that do not fill their bytes.
        return known and self.align <= self.channels * self.width

    def plain(self) -> bytes:
        """Return a WAV file of the same samples, with the right sizes and a header of 44 bytes."""
        align = self.channels * self.width
        described = struct.pack(
            self.order + "HHIIHH",
            self.tag,
            self.channels,
            self.sample_rate,
            self.sample_rate * align,
            align,
            8 * self.width,
        )
        return self._rebuilt([(b"fmt ", described)])

    def repaired(self) -> bytes:
        """Return the file with the right sizes, and without what is not needed to decode it."""
        chunks = [(b"fmt ", self.format)]
        return self._rebuilt(chunks + [(b"fact", self.fact)] * bool(self.fact))

    def _rebuilt(self, chunks: list[tuple[bytes, bytes]]) -> bytes:
        head = b"WAVE"
        for name, content in chunks:
            head += name + struct.pack(self.order + "I", len(content)) + content
            head += bytes(len(content) % 2)
        head += b"data" + struct.pack(self.order + "I", len(self.samples))
        form = b"RIFF" if self.order == "<" else b"RIFX"
        size = struct.pack(self.order + "I", len(head) + len(self.samples))
        return b"".join([form, size, head, self.samples])


def is_wave(data: bytes) -> bool:
    """Return whether ``data`` starts as a WAV file or its kin."""
    if data[:4] in _FORMS:
        return data[8:12] == b"WAVE"
    return data[:16] == _W64 and data[24:40] == _W64_WAVE


def read_wave(data: bytes) -> WaveFile:
    """Return format and samples of a WAV file.

    Raises:
        MediaError: it is cut short, or lacks its format or samples.
    """
    chunks, start, size, whole = _chunks(data)
    order = ">" if data[:4] == b"RIFX" else "<"
    described = chunks.get(b"fmt ", b"")
    if len(described) < 14:
        raise MediaError("damaged: the format of its samples is missing")
    tag, channels, rate, _, align = struct.unpack_from(order + "HHIIH", described)
    (bits,) = struct.unpack_from(order + "H", described, 14) if len(described) > 15 else (0,)
    if tag == EXTENSIBLE and len(described) >= 40:
        if described[26:40] not in _SUBFORMATS:
            raise MediaError(f"WAV of the unknown subformat {described[24:40].hex()}")
        (tag,) = struct.unpack_from("<H", described, 24)
    end, notes = _end_of_samples(data, start, size, whole)
    samples = memoryview(data)[start:end]
    fact = chunks.get(b"fact", b"")
    return WaveFile(order, described, fact, tag, channels, rate, align, bits, samples, notes)


def _chunks(data: bytes) -> tuple[dict[bytes, bytes], int, int, int]:
    """Return the chunks before the samples, start and size of the samples, and the file's end.

    Size and end are those that the header gives.
    """
    walk = _w64_chunks(data) if data[:4] == b"riff" else _riff_chunks(data)
    found: dict[bytes, bytes] = {}
    whole = len(data)
    for count, (name, start, size) in enumerate(walk):
        check_parts(count, "chunks")
        if name == b"whole":
            whole = size
        elif name == b"data":
            if data[:4] in (b"RF64", b"BW64") and size == 0xFFFF_FFFF:
                sizes = found.get(b"ds64", b"").ljust(16, b"\0")
                size = struct.unpack_from("<Q", sizes, 8)[0]
                whole = struct.unpack_from("<Q", sizes)[0] + 8
            return found, start, size, whole
        else:
            found.setdefault(name, data[start : start + size])
    raise MediaError("cut short before its samples")


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the end of the file as ``whole``, then name, start and size of each chunk."""
    order = ">" if data[:4] == b"RIFX" else "<"
    yield b"whole", 0, struct.unpack_from(order + "I", data, 4)[0] + 8
    start = 12
    while start + 8 <= len(data):
        name, size = struct.unpack_from(order + "4sI", data, start)
        yield name, start + 8, size
        start += 8 + size + size % 2


def _w64_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the same as :func:`_riff_chunks` of a W64 file."""
    yield b"whole", 0, struct.unpack_from("<Q", data, 16)[0]
    start = 40
    while start + 24 <= len(data):
        (size,) = struct.unpack_from("<Q", data, start + 16)
        name = data[start : start + 4]
        known = name in _W64_CHUNKS and data[start + 4 : start + 16] == _W64_WAVE[4:]
        yield name if known else b"", start + 24, max(0, size - 24)
        start += max(24, size + -size % 8)


def _end_of_samples(data: bytes, start: int, size: int, whole: int) -> tuple[int, tuple[Note, ...]]:
    """Return where the samples end, and what is wrong with the sizes.

    Args:
        data: the file.
        start: start of the samples.
        size: their size as the header gives it.
        whole: end of the file as the header gives it.
    """
    held = len(data) - start
    if any(size in sizes for sizes in _STREAMED):
        return len(data), ("no length",)
    if not size:
        if not held or _are_chunks(data, start):
            return start, ()
        return len(data), ("no length",)
    if size <= held:
        rest = data[start + size :]
        name = rest[size % 2 : size % 2 + 4]
        explained = not rest.strip(b"\0") or name[:3] == b"ID3" or _is_name(name)
        return start + size, () if explained else ("bytes after the samples",)
    # The size of the samples is wrong, not the file cut, if the size of the whole file is right or
    # if a recorder counted its header of 44 bytes as samples.
    if len(data) == whole or (start == _HEADER and size == len(data)):
        return len(data), ("wrong sizes",)
    raise MediaError(f"cut short: {held} of {size} bytes of samples")


def _are_chunks(data: bytes, start: int) -> bool:
    """Return whether ``data`` consists of whole chunks from ``start`` to its end."""
    order = ">" if data[:4] == b"RIFX" else "<"
    while start + 8 <= len(data):
        name, size = struct.unpack_from(order + "4sI", data, start)
        if not _is_name(name):
            return False
        start += 8 + size + size % 2
    return start - len(data) in (0, 1)


def _is_name(name: bytes) -> bool:
    """Return whether ``name`` can be the name of a chunk or the start of a tag (TAG, APETAGEX)."""
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)
