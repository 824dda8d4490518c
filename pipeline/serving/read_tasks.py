"""What the reader processes of the service do: content of files to arrays, pictures and sounds.

Content comes from strangers. It is decoded in a process of its own, whose memory is limited, which
is ended when it takes too long, and whose end harms one request only. Nothing of a file reaches a
browser as it is: pictures and sounds are encoded anew.
"""

import resource
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.media import MediaError, read_bytes
from ivr.features.scene_windows import open_scene
from ivr.features.small_media import as_jpeg, as_wav, small_picture
from ivr.features.voice_file import recording_of
from ivr.pipeline.packing.code_maker import CodeMaker, open_model
from ivr.pipeline.runtime.orphans import end_with

MEMORY = 3 << 30
"""Address space of a reader, bytes; more ends in an error of the request."""


@dataclass(frozen=True)
class ReadVoice:
    """A recording that was uploaded, as the model takes it.

    Attributes:
        streams: float32 [streams, coefficients, frames].
        frames: true number of frames.
        warnings: severity and text of what is odd about it.
    """

    streams: np.ndarray
    frames: int
    warnings: tuple[Any, ...]


def start_reader(parent: int, model: str) -> None:
    """Prepare a reader process: its memory is limited, and it has loaded what it needs.

    Args:
        parent: number of the process whose end ends this one.
        model: folder of the packed model.
    """
    end_with(parent)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    with suppress(MediaError):
        _model(model).streams(as_wav(np.full(8000, 0.1, np.float32), 8000))


@cache
def _model(folder: str) -> CodeMaker:
    return open_model(folder, device="cpu", threads=1)


def read_voice(model: str, data: bytes, seconds: float) -> ReadVoice:
    """Return the MFCC streams of an uploaded recording.

    Args:
        model: folder of the packed model.
        data: content of the recording.
        seconds: longest recording.

    Raises:
        MediaError: it cannot be used, or is longer.
    """
    recording = recording_of(data)
    length = len(recording.samples) / recording.sample_rate
    if length > seconds:
        raise MediaError(f"lasts {length:.1f} s; at most {seconds:g} s are searched with")
    return ReadVoice(*_model(model).streams(data))


def read_image(model: str, data: bytes) -> np.ndarray:
    """Return the pixels of an uploaded image, uint8 [3, size, size].

    Raises:
        MediaError: it cannot be used.
    """
    return _model(model).pixels(data)


def draw_thumbnail(model: str, path: str, side: int) -> bytes:
    """Return the image file ``path`` as a JPEG picture with sides of at most ``side`` pixels.

    Args:
        model: folder of the packed model, which knows how bands become colours.
        path: an image file.
        side: longest side, pixels.

    Raises:
        MediaError: the file cannot be used.
    """
    pixels = decode_image(read_bytes(Path(path)), None, _model(model).pixels_config.shown)
    return as_jpeg(small_picture(pixels, side))


def draw_window(model: str, path: str, window: tuple[int, int, int, int], side: int) -> bytes:
    """Return a window of the scene ``path`` as a JPEG picture, see :func:`draw_thumbnail`.

    Args:
        model: folder of the packed model, which knows how bands become colours.
        path: a scene.
        window: x, y, width and height, pixels of the scene.
        side: longest side, pixels.

    Raises:
        MediaError: the file cannot be used, or has no such window.
    """
    scene, config = Path(path), _model(model).pixels_config.shown
    state = scene.stat()
    stretch = _stretch(path, (state.st_mtime_ns, state.st_size), config)
    if stretch is not None:
        config = replace(config, stretch=f"scale:{stretch[0]!r},{stretch[1]!r}")
    with open_scene(scene, config) as opened:
        return as_jpeg(small_picture(opened.part(*window), side))


@lru_cache(maxsize=256)
def _stretch(path: str, _: tuple[int, int], config: PixelConfig) -> tuple[float, float] | None:
    """Return the stretch of a whole scene, which may be read for it once."""
    with open_scene(Path(path), config) as scene:
        return scene.stretch


def play(path: str) -> bytes:
    """Return the voice in the file ``path`` as WAV of 16 bits, which every browser plays.

    Raises:
        MediaError: the file cannot be used.
    """
    recording = recording_of(read_bytes(Path(path)))
    return as_wav(recording.samples, recording.sample_rate)
