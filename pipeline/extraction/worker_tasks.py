"""Tasks of the parallel readers of ``ivr extract``: one file to one row.

This module imports no torch: a worker process that reads voices imports only this module and takes
70 MB and one second instead of 740 MB and five.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.image_input import ImageInput
from ivr.features.media import MediaError, read_bytes
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import at_sample_rate, decode_recording
from ivr.features.voice_blueprint import VoiceReader
from ivr.features.voice_properties import without_silence
from ivr.features.waveform_augmentation import changed_voice, file_of, speech_power
from ivr.pipeline.datasets.media_files import SkippedFile as SkippedFile
from ivr.pipeline.datasets.media_files import from_file
from ivr.pipeline.runtime.orphans import end_with

from .file_stamps import FileState, file_state, joint_stamp, stamp_of


@dataclass(frozen=True)
class FeatureRow:
    """One row of a feature file.

    Attributes:
        name: name of the item; that of a changed voice includes its change.
        vector: [dim], float32; from a reader the pixels, or the input of the voice encoder.
        frames: true number of frames of a voice, 0 for an image.
        stamp: stamp of the bytes of its file that the row was made from, see
            :func:`ivr.pipeline.extraction.file_stamps.stamp_of`.
        state: size and times of the file before it was read.
        others: names and stamps of the other files that are mixed in.
    """

    name: str
    vector: np.ndarray
    frames: int = 0
    stamp: int = 0
    state: FileState | None = None
    others: tuple[tuple[str, int], ...] = ()

    @property
    def joint_stamp(self) -> int:
        """The stamp of all files that the row was made from."""
        return joint_stamp(self.stamp, self.others)


@dataclass(frozen=True)
class _OtherVoice:
    """A voice to mix in: its samples without silence around them, and the stamp of its file."""

    name: str
    samples: np.ndarray
    stamp: int


def decode(
    name: str, root: Path, shape: ImageInput, pixels: PixelConfig
) -> FeatureRow | SkippedFile:
    """Return the pixels of the image ``name`` below ``root``, uint8 [3, side, side].

    Args:
        name: name of the image.
        root: folder that names are relative to.
        shape: the input of the network.
        pixels: which bands are taken, and how deep values become 8 bits.
    """
    return row_of_file(name, root, lambda data: (decode_image(data, shape, pixels), 0))


def listen(
    name: str, root: Path, reader: VoiceReader, caller: int, others: Sequence[str] = ()
) -> FeatureRow | SkippedFile:
    """Return the row ``name`` of a voice with the input of its encoder as its vector.

    Args:
        name: name of the row: a voice below ``root``, and its change.
        root: folder that names are relative to.
        reader: turns samples into the input of the encoder.
        caller: number of the process that wants the row, which may be another one.
        others: the voices below ``root`` that the change mixes in.
    """
    _leave_signals_to(caller)
    mixed: list[_OtherVoice] = []
    for other in others:
        heard = from_file(other, root, partial(_other_voice, other, reader.config))
        if isinstance(heard, SkippedFile):
            return SkippedFile(name, f"cannot be mixed with {other}: {heard.reason}")
        mixed.append(heard)
    samples = [heard.samples for heard in mixed]
    row = row_of_file(
        name, root, lambda data: reader.read(_samples(data, name, reader.config, samples))
    )
    if isinstance(row, SkippedFile):
        return row
    return replace(row, others=tuple((heard.name, heard.stamp) for heard in mixed))


def _other_voice(name: str, config: VoiceConfig, path: Path) -> _OtherVoice:
    data = read_bytes(path)
    samples = without_silence(decode_recording(data, config), config.sample_rate)
    if not speech_power(samples, config.sample_rate):
        raise MediaError("is silent")
    return _OtherVoice(name, samples, stamp_of(data))


def _samples(
    data: bytes, name: str, config: VoiceConfig, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the voice that ``data`` holds at the rate of ``config``, changed as ``name`` says."""
    changed = changed_voice(decode_recording(data, config), config.sample_rate, name, others)
    return at_sample_rate(changed, config.sample_rate, config)  # it may be too short now


def row_of_file(
    name: str, root: Path, read: Callable[[bytes], tuple[np.ndarray, int]]
) -> FeatureRow | SkippedFile:
    """Return the row of ``name`` from the values and frames of ``read``, or why there is none.

    The stamp is that of the bytes which are decoded, also if the file is replaced meanwhile.
    """

    def make(path: Path) -> FeatureRow:
        state = file_state(path)
        data = read_bytes(path)
        values, frames = read(data)
        return FeatureRow(name, values, frames, stamp_of(data), state)

    found = from_file(file_of(name), root, make)
    return replace(found, name=name)


def _leave_signals_to(caller: int) -> None:
    """Ignore signals in a reader process: ``caller`` gets them too, and decides.

    A terminal and a batch system signal all processes. If a reader ended while it passes a row on,
    the pool would wait for the rest of the row for ever.
    """
    if os.getpid() != caller and threading.current_thread() is threading.main_thread():
        end_with(caller)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
