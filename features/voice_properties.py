"""What can be measured of a voice before it is used: loudness, clipping, where speech starts."""

from dataclasses import dataclass

import numpy as np

from .mfcc import VoiceConfig
from .voice_file import Recording
from .wave_header import Note
from .waveform_augmentation import SPEECH_FRAME, SPEECH_RANGE

_FLAT = 3
"""Samples of one value in a row that are a clipped peak."""

_NEAR_PEAK = 0.99
"""Share of the largest sample from which a flat part is a clipped peak."""


MARGIN = 0.1
"""Seconds that are kept before and after speech."""


@dataclass(frozen=True)
class VoiceProperties:
    """Measurements of one voice.

    Attributes:
        seconds: length of the voice.
        limit: length that the MFCC keep, seconds.
        peak: largest absolute sample.
        swing: half the difference of the largest and the smallest sample; 0 for a constant.
        clipped: share of the samples that lie in flat peaks.
        speech_start: seconds before the first frame of 20 ms that is at most 30 dB weaker than the
            loudest, 0 for a voice of zeros.
        opposite: whether its channels cancel each other, so that the first one was taken.
        notes: what the reader had to decide about a wrong header.
    """

    seconds: float
    limit: float
    peak: float
    swing: float
    clipped: float
    speech_start: float
    opposite: bool
    notes: tuple[Note, ...]


def voice_properties(recording: Recording, config: VoiceConfig) -> VoiceProperties:
    """Return the measurements of ``recording`` for features of ``config``."""
    samples, rate = recording.samples, recording.sample_rate
    low, high = float(samples.min()), float(samples.max())
    return VoiceProperties(
        seconds=len(samples) / rate,
        limit=config.frames * config.hop / config.sample_rate,
        peak=max(high, -low),
        swing=(high - low) / 2,
        clipped=clipped_share(samples),
        speech_start=speech_start(samples, rate),
        opposite=recording.opposite,
        notes=recording.notes,
    )


def clipped_share(samples: np.ndarray) -> float:
    """Return the share of ``samples`` [n] in flat peaks: three or more equal values in a row.

    They lie within 1 % of the largest sample.
    """
    peak = float(np.abs(samples).max())
    if not peak or len(samples) < _FLAT:
        return 0.0
    flat = (samples[1:] == samples[:-1]) & (np.abs(samples[1:]) >= _NEAR_PEAK * peak)
    starts = flat[1:] & flat[:-1]  # each with the two samples after it
    inside = np.zeros(len(samples), bool)
    for shift in range(_FLAT):
        inside[shift : shift + len(starts)] |= starts
    return float(inside.mean())


def speech_start(samples: np.ndarray, sample_rate: int) -> float:
    """Return the seconds of ``samples`` [n] before speech, see :class:`VoiceProperties`."""
    loud = speech_frames(samples, sample_rate)
    return float(np.argmax(loud)) * SPEECH_FRAME if loud.any() else 0.0


def speech_frames(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return which frames of 20 ms are at most 30 dB weaker than the loudest, bool [frames].

    The mean is taken off, so that an offset is no speech. The last frame may be shorter.
    """
    length = max(1, round(SPEECH_FRAME * sample_rate))
    starts = np.arange(0, len(samples), length)
    centred = samples.astype(np.float64) - samples.mean(dtype=np.float64)
    powers = np.add.reduceat(np.square(centred), starts) / length
    loud: np.ndarray = (powers >= SPEECH_RANGE * powers.max()) & (powers > 0)
    return loud


def without_silence(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return ``samples`` [n] from 0.1 s before the first frame of speech to 0.1 s after the last.

    Speech is what :func:`speech_frames` finds. A voice without any is returned as it is.
    """
    loud = np.flatnonzero(speech_frames(samples, sample_rate))
    if not len(loud):
        return samples
    length = max(1, round(SPEECH_FRAME * sample_rate))
    margin = round(MARGIN * sample_rate)
    return samples[max(0, loud[0] * length - margin) : (loud[-1] + 1) * length + margin]
