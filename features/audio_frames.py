"""Streams of frames without a header of the whole: MP3, ADTS AAC and AMR.

FFmpeg drops a frame that is cut and looks for the next one after damage. Here every frame is
followed to the next, so that what is missing is noticed.
"""

import struct

from .media import MediaError
from .voice_limits import check_length, check_parts

_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
"""First bytes of what may follow the last frame."""

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)

# Rates in Hz of MPEG 1, halved for MPEG 2 and again for 2.5.
_MPEG_RATES = (44100, 48000, 32000)
# Thousands of bits per second by layer, of MPEG 1 and of the others.
_MPEG1_BITS = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2_BITS = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}

AMR_NARROW, AMR_WIDE = b"#!AMR\n", b"#!AMR-WB\n"
# Bytes of a frame after its first, by type (3GPP TS 26.101 and 26.201); -1 for types not used.
_AMR_SIZES = {
    AMR_NARROW: (12, 13, 15, 17, 19, 20, 26, 31, 5, -1, -1, -1, -1, -1, -1, 0),
    AMR_WIDE: (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, -1, -1, -1, -1, 0, 0),
}


def id3_length(data: bytes, start: int = 0) -> int:
    """Return the bytes of the ID3v2 tag at ``start`` of ``data``, 0 if there is none."""
    head = data[start : start + 10]
    if len(head) < 10 or not head.startswith(b"ID3") or max(head[6:10]) > 127:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def is_mpeg_audio(data: bytes) -> bool:
    """Return whether ``data`` starts with a frame of MP3 (MPEG layer 1, 2 or 3)."""
    return _mpeg_frame(data, 0) is not None


def is_adts(data: bytes) -> bool:
    """Return whether ``data`` starts with a frame of AAC."""
    return _adts_frame(data, 0) is not None


def mpeg_audio_seconds(data: bytes) -> float:
    """Return how long an MP3 file lasts, from all its frames.

    What its first frame (Xing, Info; LAME) says of added samples at its ends is taken off.

    Raises:
        MediaError: it is cut short or damaged, or has fewer frames than its first one says.
    """
    first = _mpeg_frame(data, 0)
    claimed_frames, claimed_bytes, added = _claims(data)
    place, frames, seconds = 0, 0, 0.0
    while place < len(data):
        frame = _mpeg_frame(data, place)
        if frame is None:
            inner = id3_length(data, place)
            if inner:  # of the next of several files that were joined
                place, frames = place + inner, frames + 1
                check_parts(frames, "tags")
                continue
            _require_tags(data, place, "MP3")
            break
        size, samples, rate = frame
        if place + size > len(data):
            raise MediaError(f"cut short in its last frame, after {seconds:.2f} s")
        place, frames, seconds = place + size, frames + 1, seconds + samples / rate
        check_length(seconds)
    if frames < claimed_frames or place < claimed_bytes:
        share = min(frames / max(1, claimed_frames), place / max(1, claimed_bytes))
        raise MediaError(f"cut short: {seconds:.2f} of {seconds / max(share, 1e-6):.2f} s")
    if not first or not claimed_frames + claimed_bytes:
        return seconds
    return seconds - (first[1] + added) / first[2]


def adts_seconds(data: bytes) -> float:
    """Return how long a stream of AAC frames lasts.

    Raises:
        MediaError: it is cut short or damaged.
    """
    place, seconds = 0, 0.0
    while place < len(data):
        frame = _adts_frame(data, place)
        if frame is None:
            _require_tags(data, place, "AAC")
            return seconds
        place, seconds = place + frame[0], seconds + frame[1]
        check_length(seconds)
    if place > len(data):
        raise MediaError(f"cut short in its last frame, after {seconds:.2f} s")
    return seconds


def amr_seconds(data: bytes) -> float:
    """Return how long an AMR file lasts.

    Raises:
        MediaError: its last frame is cut, or a frame is of no known type.
    """
    magic = AMR_WIDE if data.startswith(AMR_WIDE) else AMR_NARROW
    place, frames = len(magic), 0
    while place < len(data):
        size = _AMR_SIZES[magic][data[place] >> 3 & 15]
        if size < 0 or data[place] & 0x83:
            raise MediaError(f"damaged: no AMR frame at byte {place}")
        place, frames = place + 1 + size, frames + 1
        check_length(frames / 50)
    if place > len(data):
        raise MediaError(f"cut short in its last frame, after {frames / 50:.2f} s")
    return frames / 50


def _mpeg_frame(data: bytes, place: int) -> tuple[int, int, int] | None:
    """Return bytes, samples and rate (Hz) of the frame at ``place``, None if there is none."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    hertz = _MPEG_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    table = _MPEG1_BITS if version == 3 else _MPEG2_BITS
    speed = 1000 * table[layer][bits - 1]
    if layer == 1:
        return (12 * speed // hertz + padding) * 4, 384, hertz
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * speed // hertz + padding, samples, hertz


def _claims(data: bytes) -> tuple[int, int, int]:
    """Return frames, bytes and added samples that the first frame claims, each 0 without it.

    The frames do not count the first one, which holds no sound. The samples that an encoder added
    follow its name.
    """
    side = (32, 17) if data[1] >> 3 & 3 == 3 else (17, 9)
    at = 4 + side[data[3] >> 6 == 3]
    head = data[at : at + 156].ljust(156, b"\0")
    if not head.startswith((b"Xing", b"Info")):
        return 0, 0, 0
    flags = head[7]
    frames = struct.unpack_from(">I", head, 8)[0] if flags & 1 else 0
    after = 8 + 4 * (flags & 1)
    size = struct.unpack_from(">I", head, after)[0] if flags & 2 else 0
    after += 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    encoder, packed = head[after : after + 4], int.from_bytes(head[after + 21 : after + 24], "big")
    added = (packed >> 12) + (packed & 0xFFF) if encoder in (b"LAME", b"Lavf", b"Lavc") else 0
    return frames, size, added


def _adts_frame(data: bytes, place: int) -> tuple[int, float] | None:
    """Return bytes and seconds of the frame at ``place``, None if there is none."""
    head = data[place : place + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate = head[2] >> 2 & 15
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate >= len(_AAC_RATES) or size < 7:
        return None
    return size, 1024 * (1 + (head[6] & 3)) / _AAC_RATES[rate]


def _require_tags(data: bytes, place: int, what: str) -> None:
    """Refuse other bytes than tags and zeros after the last frame, which ended at ``place``."""
    rest = data[place:].lstrip(b"\0")
    if rest and not rest.startswith(_TAGS):
        raise MediaError(f"damaged or cut short: no {what} frame at byte {place}")
