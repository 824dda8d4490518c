"""The arithmetic of :mod:`ivr.features.voice` as batches of torch tensors, for a GPU.

The frames of all recordings of a batch lie one after the other, without padding: framing, window,
real FFT, mel filters, decibels and cosine transform are the same for every frame; only the loudest
band (for ``top_db``) and the ends of the derivatives belong to a recording.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .exact_float32 import exact_float32
from .mfcc import AMIN, VoiceConfig, constants, frame_count, frame_lead

# Frames transformed at a time: 512 bytes of float32 spectrum each and their temporaries.
BLOCK = 1 << 15
# Largest number of frames in a batch: about a gigabyte of bands and streams.
MOST_FRAMES = 1 << 20


@dataclass(frozen=True)
class Tables:
    """The constants of the MFCC on one device.

    Attributes:
        window: [window].
        mel: filters [fft // 2 + 1, mels].
        cosines: [mels, coefficients], float64.
        slopes: weights of first and second derivative, each [delta_width].
    """

    window: Tensor
    mel: Tensor
    cosines: Tensor
    slopes: tuple[Tensor, Tensor]


def batch_cepstra(
    recordings: Sequence[np.ndarray], config: VoiceConfig, device: torch.device
) -> list[np.ndarray]:
    """Return MFCC, first and second derivative of each recording.

    Args:
        recordings: each float32 or float64 [samples] at the rate of ``config``, all of one type,
            which is also the precision; each has at least ``delta_width`` frames.
        config: the MFCC.
        device: the device to compute on.

    Returns:
        For each recording [3, coefficients, n], n its number of frames, of the recordings' type.
    """
    if not recordings:
        return []
    counts = [frame_count(len(samples), config) for samples in recordings]
    if len(recordings) > 1 and sum(counts) > MOST_FRAMES:
        half = len(recordings) // 2
        return [
            *batch_cepstra(recordings[:half], config, device),
            *batch_cepstra(recordings[half:], config, device),
        ]
    with exact_float32():
        return _cepstra(recordings, counts, config, device)


def _cepstra(
    recordings: Sequence[np.ndarray],
    counts: Sequence[int],
    config: VoiceConfig,
    device: torch.device,
) -> list[np.ndarray]:
    tables = _tables(config, recordings[0].dtype.str, str(device))
    clip = torch.repeat_interleave(torch.tensor(counts)).to(device)
    decibels = _mel_decibels(recordings, counts, config, tables)
    loudest = torch.full((len(counts),), -torch.inf, dtype=decibels.dtype, device=device)
    loudest.scatter_reduce_(0, clip, decibels.amax(1), "amax")
    raised = torch.maximum(decibels, (loudest - config.top_db)[clip, None])
    # In float32 the sum over bands would be the largest of all errors.
    cepstra = (raised.double() @ tables.cosines).to(decibels.dtype)
    ends = torch.tensor(counts).cumsum(0).to(device)
    first = (ends - torch.tensor(counts, device=device))[clip]
    derivatives = [_derivative(cepstra, slope, first, ends[clip]) for slope in tables.slopes]
    streams = torch.stack([cepstra, *derivatives]).transpose(1, 2).cpu().numpy()
    return np.split(streams, np.cumsum(counts)[:-1], axis=2)


@lru_cache(maxsize=8)
def _tables(config: VoiceConfig, dtype: str, device: str) -> Tables:
    known = constants(config, dtype)
    mel = np.zeros((config.fft // 2 + 1, config.mels), dtype)
    for covered, made, filters in known.mel:
        mel[covered, made] = filters
    window, slopes = torch.from_numpy(known.window), map(torch.from_numpy, known.slopes)
    first, second = (slope.to(device) for slope in slopes)
    return Tables(
        window.to(device),
        torch.from_numpy(mel).to(device),
        torch.from_numpy(known.cosines).to(device),
        (first, second),
    )


def _mel_decibels(
    recordings: Sequence[np.ndarray], counts: Sequence[int], config: VoiceConfig, tables: Tables
) -> Tensor:
    """Return the power in each mel band, dB, [frames of all recordings, mels]."""
    signal, starts = _joined(recordings, counts, config)
    device = tables.window.device
    samples = torch.from_numpy(signal)
    if device.type == "cuda":
        samples = samples.pin_memory()
    samples = samples.to(device, non_blocking=True)
    frames = samples.unfold(0, config.window, 1)
    parts = []
    for some in torch.split(torch.from_numpy(starts).to(device), BLOCK):
        # The window starts the transform instead of standing in its middle: powers are the same.
        spectra = torch.fft.rfft(frames[some] * tables.window, n=config.fft)
        powers = (spectra.real.square() + spectra.imag.square()) @ tables.mel
        parts.append(10 * torch.log10(powers.clamp(min=AMIN)))
    return torch.cat(parts)


def _joined(
    recordings: Sequence[np.ndarray], counts: Sequence[int], config: VoiceConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return all recordings in one array, padded with zeros, and the start of each frame.

    Returns:
        [samples], of the recordings' type; and [frames of all recordings], int64.
    """
    lead = frame_lead(config)
    lengths = [(count - 1) * config.hop + config.window for count in counts]
    places = np.cumsum([0, *lengths])
    signal = np.zeros(places[-1], recordings[0].dtype)
    for samples, place, length in zip(recordings, places, lengths, strict=False):
        held = min(len(samples), length - lead)
        signal[place + lead : place + lead + held] = samples[:held]
    starts = [
        place + config.hop * np.arange(count) for place, count in zip(places, counts, strict=False)
    ]
    return signal, np.concatenate(starts)


def _derivative(cepstra: Tensor, slope: Tensor, first: Tensor, end: Tensor) -> Tensor:
    """Return the derivative of ``cepstra`` [frames, coefficients] along the frames of a recording.

    Args:
        cepstra: [frames, coefficients] of all recordings, one after the other.
        slope: weights [delta_width].
        first: [frames] number of the first frame of each frame's recording.
        end: [frames] number one past the last frame of each frame's recording.

    Returns:
        The derivative, in the same shape. Frames at either end of a recording take the value of
        the nearest whole window, as in
        :func:`ivr.features.voice._derivative`.
    """
    half = len(slope) // 2
    here = torch.arange(len(cepstra), device=cepstra.device)
    middle = torch.minimum(torch.maximum(here, first + half), end - 1 - half)
    derivative = torch.zeros_like(cepstra)
    for offset, weight in enumerate(slope):
        derivative += weight * cepstra[middle + (offset - half)]
    return derivative
