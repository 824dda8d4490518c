"""What a FLAC stream says of itself: its bits, its length, and the digest of its samples."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .media import MediaError

_EXACT_BITS = 24
"""Most bits of a sample that float32 holds exactly."""


@dataclass(frozen=True)
class FlacHeader:
    """The block STREAMINFO of a FLAC stream (RFC 9639, section 8.2).

    Attributes:
        bits: bits per sample.
        samples: number of samples per channel, 0 if it is unknown.
        md5: digest of all samples, empty if it is unknown.
    """

    bits: int
    samples: int
    md5: bytes


def flac_header(data: bytes) -> FlacHeader:
    """Return what the FLAC stream ``data`` says of itself.

    Raises:
        MediaError: it is cut short.
    """
    if len(data) < 42:
        raise MediaError("cut short before its samples")
    packed = int.from_bytes(data[18:26], "big")  # rate 20, channels 3, bits 5, samples 36
    return FlacHeader((packed >> 36 & 31) + 1, packed & (1 << 36) - 1, data[26:42].strip(b"\0"))


def verified(blocks: Iterator[np.ndarray], header: FlacHeader) -> Iterator[np.ndarray]:
    """Yield ``blocks``, float32 [n, channels], and compare their digest with that of ``header``.

    Raises:
        MediaError: at the end, if they are not the samples that were encoded.
    """
    if not header.md5 or header.bits > _EXACT_BITS:
        yield from blocks
        return
    digest, scale = hashlib.md5(usedforsecurity=False), np.float32(2.0 ** (header.bits - 1))
    for block in blocks:
        digest.update(_bytes_of(block * scale, (header.bits + 7) // 8))
        yield block
    if digest.digest().strip(b"\0") != header.md5:
        raise MediaError("damaged: its samples do not match their checksum")


def _bytes_of(values: np.ndarray, width: int) -> bytes:
    """Return ``values`` [n, channels] as little-endian integers of ``width`` bytes."""
    if width != 3:
        return values.astype(f"<i{width}").tobytes()
    return values.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
