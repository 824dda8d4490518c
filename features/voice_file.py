"""Reading voices: WAV (PCM and float), FLAC and Ogg, by libsndfile only."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from .media import MediaError, read_bytes

MAX_SECONDS = 600
"""Longest voice that is decoded, seconds."""

MAX_CHANNELS = 16
"""Most channels of a voice."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 192_000
"""Sample rates of a voice, Hz."""

MAX_AMPLITUDE = 2.0**31
"""Largest sample of a voice: 32-bit integers written as float. Powers of larger ones overflow."""

WAV_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
"""Sample formats of WAV files that are read, by their libsndfile names."""

# When they write into a pipe, ffmpeg gives 0xFFFFFFFF as the size of the samples, sox and espeak-ng
# 0x7FFFF000 less a part of a block. From this size on the number is not a size: MAX_BYTES is less.
_STREAMED = 0x7FFF_0000

# Length that libsndfile reports for a FLAC stream whose header gives none.
_UNKNOWN_FRAMES = 2**63 - 1

_BLOCK = 1 << 20

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read_voice(path: Path) -> tuple[np.ndarray, int]:
    """Return the samples in ``path`` and their rate, see :func:`decode_voice`.

    Raises:
        MediaError: the file cannot be read, or as :func:`decode_voice`.
    """
    return decode_voice(read_bytes(path))


def decode_voice(data: bytes) -> tuple[np.ndarray, int]:
    """Return the samples that ``data`` holds and their rate.

    Args:
        data: content of a WAV, FLAC or Ogg file.

    Returns:
        float32 [samples], the mean of the channels, -1 to +1 unless a float file holds more; and
        the sample rate, Hz.

    Raises:
        MediaError: the content is of another kind, too long, empty, damaged, shorter than its
            header says, or holds values that are no sound.
    """
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        data = _with_sizes(data)
    elif data.startswith(b"OggS"):
        _check_pages(data)
    elif not data.startswith(b"fLaC"):
        raise MediaError("not a WAV, FLAC or Ogg file")
    try:
        with soundfile.SoundFile(BytesIO(data)) as sound:
            _check_sound(sound)
            samples = _mono(sound)
            sample_rate = int(sound.samplerate)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise MediaError(f"damaged or not supported ({reason})") from error
    return samples, sample_rate


def _with_sizes(data: bytes) -> bytes:
    """Return a WAV file with the right sizes if its writer wrote into a pipe and did not know them.

    libsndfile reads a truncated file without an error, so the size of the samples in the header is
    compared with the content. The size of the whole file is not: writers get it wrong, and tags
    after the samples may be missing.
    """
    (whole,) = struct.unpack_from("<I", data, 4)
    offset = 12
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        held = len(data) - offset - 8
        if name == b"data":
            if size >= _STREAMED or (size == 0 and whole == 0):
                sizes = struct.pack("<I", len(data) - 8), struct.pack("<I", held)
                return b"RIFF" + sizes[0] + data[8 : offset + 4] + sizes[1] + data[offset + 8 :]
            if size > held:
                raise MediaError(f"cut short: {held} of {size} bytes of samples")
            return data
        offset += 8 + size + size % 2
    raise MediaError("cut short before its samples")


def _check_pages(data: bytes) -> None:
    """Refuse an Ogg stream with damaged or missing pages; libsndfile reads it as a shorter one."""
    start, flags = 0, 0
    while start < len(data):
        header = data[start : start + 27]
        if len(header) < 27 or not header.startswith(b"OggS"):
            raise MediaError(f"damaged or cut short: no Ogg page at byte {start}")
        body = start + 27 + header[26]
        end = body + sum(data[start + 27 : body])
        page = data[start : start + 22] + bytes(4) + data[start + 26 : end]
        if _ogg_checksum(page) != struct.unpack_from("<I", header, 22)[0]:
            raise MediaError(
                f"damaged or cut short: wrong checksum of the Ogg page at byte {start}"
            )
        start, flags = end, header[5]
    if not flags & 4:
        raise MediaError("cut short: the last page of the Ogg stream is missing")


def _ogg_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page (RFC 3533) whose own checksum is set to 0.

    It is zlib's CRC with the bits of all bytes and of the result in reverse order, starting at 0.
    """
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)


def _check_sound(sound: soundfile.SoundFile) -> None:
    if sound.format in ("WAV", "WAVEX") and sound.subtype not in WAV_SUBTYPES:
        raise MediaError(f"WAV of {sound.subtype}; convert it to 16-bit PCM")
    if sound.channels > MAX_CHANNELS:
        raise MediaError(f"{sound.channels} channels, more than {MAX_CHANNELS}")
    if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
        raise MediaError(
            f"sample rate of {sound.samplerate} Hz, "
            f"not within {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        )
    if sound.frames == _UNKNOWN_FRAMES:
        raise MediaError("does not say how long it is; write it to a file, not into a pipe")
    if sound.frames > MAX_SECONDS * sound.samplerate:
        raise MediaError(f"longer than {MAX_SECONDS} s; cut it into sentences")


def _mono(sound: soundfile.SoundFile) -> np.ndarray:
    """Return float32 [samples], read in blocks: 16 channels of 600 s would fill the memory."""
    blocks: list[np.ndarray] = []
    count = 0
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        _check_values(block)
        blocks.append(block.mean(axis=1))
        count += len(block)
    if count < sound.frames:
        raise MediaError(f"cut short: {count} of {sound.frames} samples")
    if not count:
        raise MediaError("holds no samples")
    return np.concatenate(blocks)


def _check_values(block: np.ndarray) -> None:
    if not np.isfinite(block).all():
        raise MediaError("holds NaN or infinite samples")
    if np.abs(block).max() > MAX_AMPLITUDE:
        raise MediaError(f"holds samples beyond {MAX_AMPLITUDE:g}; scale it to -1 to +1")
