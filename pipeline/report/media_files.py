"""The images and voices that a report shows, read by the readers of the extraction.

A file that is gone or damaged is named and left out; it never stops a report.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ivr.errors import IvrError
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.media import read_bytes
from ivr.features.small_media import short_clip, small_picture
from ivr.features.voice_file import recording_of
from ivr.pipeline.datasets.media_files import SkippedFile, from_file
from ivr.pipeline.extraction.kept_manifest import MediaRoots
from ivr.pipeline.extraction.recorded_settings import recorded_pixels
from ivr.pipeline.runtime.progress import progress

SIDE = 160
"""Longest side of a picture as it is kept in memory, pixels."""
SAMPLE_RATE = 16_000
CLIP_SECONDS = 15.0
"""Longest clip; what follows is cut off."""
BARS = 64
"""Bars of the picture of a voice."""
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Voice:
    """A recording as a report keeps it.

    Attributes:
        samples: int16 [samples] at :data:`SAMPLE_RATE`, at most :data:`CLIP_SECONDS`.
        seconds: length of the whole recording.
    """

    samples: np.ndarray
    seconds: float

    @property
    def bars(self) -> list[int]:
        """Peak of each of :data:`BARS` parts, 1 to 100, the loudest 100."""
        parts = np.array_split(np.abs(self.samples.astype(np.int32)), BARS)
        peaks = np.array([part.max(initial=0) for part in parts])
        return [max(1, round(100 * peak / max(1, peaks.max()))) for peak in peaks.tolist()]


@dataclass(frozen=True, eq=False)
class ReadMedia:
    """The files of a report.

    Attributes:
        pictures: uint8 [3, height, width] by name.
        voices: by name.
        skipped: files that are gone or cannot be read.
        searched: the folders in which they were looked for.
    """

    pictures: Mapping[str, np.ndarray]
    voices: Mapping[str, Voice]
    skipped: tuple[SkippedFile, ...]
    searched: MediaRoots


def read_media(
    images: Iterable[str], voices: Iterable[str], roots: MediaRoots, config: Mapping[str, Any]
) -> ReadMedia:
    """Return what can be read of ``images`` and ``voices``.

    Args:
        images: names, each once.
        voices: names, each once.
        roots: folders that they are relative to.
        config: content of the ``config.json`` of the run, which says how bands become colours.
    """
    pixels = _pixels(config)

    def picture(path: Path) -> np.ndarray:
        return small_picture(decode_image(read_bytes(path), None, pixels.shown), SIDE)

    pictures, no_pictures = _read(list(images), roots.images, picture, "images")
    sounds, no_sounds = _read(list(voices), roots.voices, _voice, "voices")
    return ReadMedia(pictures, sounds, (*no_pictures, *no_sounds), roots)


def _read(
    names: Sequence[str], root: Path, make: Callable[[Path], Made], what: str
) -> tuple[dict[str, Made], list[SkippedFile]]:
    made: dict[str, Made] = {}
    skipped = []
    for name in progress(names, len(names), what):
        found = from_file(name, root, make)
        if isinstance(found, SkippedFile):
            skipped.append(found)
        else:
            made[name] = found
    return made, skipped


def _voice(path: Path) -> Voice:
    recording = recording_of(read_bytes(path))
    samples = short_clip(recording, SAMPLE_RATE, CLIP_SECONDS)
    return Voice(samples, len(recording.samples) / recording.sample_rate)


def _pixels(config: Mapping[str, Any]) -> PixelConfig:
    """Return how bands become colours, as the features were made; the defaults if not known."""
    try:
        return recorded_pixels(config["features"]["images"])
    except IvrError:
        return PixelConfig()
