"""Pictures and sounds as files for a browser, as fine as the size of the page allows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ivr.features.small_media import as_jpeg, as_wav, small_picture
from ivr.pipeline.runtime.progress import detail

from .media_files import SAMPLE_RATE, Voice

BASE64 = 4 / 3
PER_ITEM = 60
"""Bytes of the page around each picture or sound."""
SAMPLED = 16
"""Files of each kind that a level is estimated from."""


@dataclass(frozen=True)
class Level:
    """How fine pictures and sounds are.

    Attributes:
        side: longest side of a picture, pixels.
        quality: quality of JPEG.
        bit_rate: bits of Opus per second.
    """

    side: int
    quality: int
    bit_rate: int


LEVELS = (
    Level(160, 82, 24_000),
    Level(128, 78, 16_000),
    Level(112, 70, 12_000),
    Level(96, 60, 10_000),
    Level(80, 50, 8_000),
    Level(64, 40, 6_000),
)


@dataclass(frozen=True, eq=False)
class EncodedMedia:
    """Files for a browser.

    Attributes:
        pictures: JPEG by name.
        sounds: Opus in WebM, or WAV, by name.
        sound_type: media type of the sounds.
        level: how fine they are.
        left_out: number of files that were left out because they would make the page too large.
    """

    pictures: Mapping[str, bytes]
    sounds: Mapping[str, bytes]
    sound_type: str
    level: Level
    left_out: int = 0

    @property
    def page_bytes(self) -> int:
        """Bytes that they take in a page."""
        files = [*self.pictures.values(), *self.sounds.values()]
        return sum(map(embedded_size, files))


def embedded_size(data: bytes) -> int:
    """Return the bytes that a file takes in a page."""
    return int(len(data) * BASE64) + PER_ITEM


def encode_media(
    pictures: Mapping[str, np.ndarray], voices: Mapping[str, Voice], most: int | None
) -> EncodedMedia:
    """Return ``pictures`` and ``voices`` as files that together take at most ``most`` bytes.

    Args:
        pictures: uint8 [3, height, width] by name, the most important first.
        voices: by name, the most important first.
        most: bytes of the page that they may take; None for no limit.
    """
    encode_sound, sound_type = _sound_encoder()
    levels = LEVELS if most is not None else LEVELS[:1]
    for level in levels:
        if most is not None and level is not levels[-1]:
            estimate = _estimate(pictures, lambda one, at=level: _jpeg(one, at))
            estimate += _estimate(voices, lambda one, at=level: encode_sound(one, at))
            if estimate > most:
                continue
        found = EncodedMedia(
            {name: _jpeg(pixels, level) for name, pixels in pictures.items()},
            {name: encode_sound(voice, level) for name, voice in voices.items()},
            sound_type,
            level,
        )
        if most is None or found.page_bytes <= most:
            return found
        detail(f"media at {level}: {found.page_bytes} bytes of {most}")
    return _fitting(found, most or 0)


def _fitting(found: EncodedMedia, most: int) -> EncodedMedia:
    """Return ``found`` without the files that do not fit: sounds go first, the last ones first."""
    pictures, sounds = dict(found.pictures), dict(found.sounds)
    size, left_out = found.page_bytes, 0
    for kept in (sounds, pictures):
        for name in reversed(list(kept)):
            if size <= most:
                break
            size -= embedded_size(kept.pop(name))
            left_out += 1
    return EncodedMedia(pictures, sounds, found.sound_type, found.level, left_out)


def _estimate(files: Mapping[str, "np.ndarray | Voice"], encode: Callable[..., bytes]) -> int:
    """Return about how many bytes of a page ``files`` take, from some of them."""
    every: Sequence[object] = list(files.values())
    some = every[:: max(1, len(every) // SAMPLED)]
    if not some:
        return 0
    return int(sum(embedded_size(encode(one)) for one in some) / len(some) * len(every))


def _jpeg(pixels: np.ndarray, level: Level) -> bytes:
    return as_jpeg(small_picture(pixels, level.side), level.quality)


def _sound_encoder() -> tuple[Callable[[Voice, Level], bytes], str]:
    """Return how sounds are encoded, and their media type: Opus, or WAV without an encoder."""
    # Here, so that a report without sounds does not load FFmpeg.
    from ivr.features.ffmpeg_opus import as_opus, can_encode

    if can_encode():
        return lambda voice, level: as_opus(
            voice.samples, SAMPLE_RATE, level.bit_rate
        ), "audio/webm"
    return lambda voice, level: as_wav(voice.samples, SAMPLE_RATE), "audio/wav"
