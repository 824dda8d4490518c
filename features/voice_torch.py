"""The arithmetic of :mod:`ivr.features.voice` as batches of torch tensors, for a GPU.

The frames of all recordings of a batch lie one after the other, without padding: framing, window,
real FFT, mel filters, decibels and cosine transform are the same for every frame; only the loudest
band (for ``top_db``) and the ends of the derivatives belong to a recording.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .exact_float32 import exact_float32
from .mfcc import (
    AMIN,
    VoiceConfig,
    constants,
    frame_count,
    frame_lead,
    hann_window,
    mel_groups,
)
from .voice_encoder_config import LOG_MEL, MFCC, SPECTROGRAM

# Frames transformed at a time: 512 bytes of float32 spectrum each and their temporaries.
BLOCK = 1 << 15
# Largest number of frames in a batch: about a gigabyte of bands and streams.
MOST_FRAMES = 1 << 20


@dataclass(frozen=True)
class Tables:
    """The constants of the MFCC on one device.

    Attributes:
        cosines: [mels, coefficients], float64.
        slopes: weights of first and second derivative, each [delta_width].
    """

    cosines: Tensor
    slopes: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Recordings:
    """A batch of recordings.

    Attributes:
        samples: each float32 or float64 [samples], all of one type.
        counts: number of frames of each.
        config: the settings.
        device: the device to compute on.
    """

    samples: Sequence[np.ndarray]
    counts: Sequence[int]
    config: VoiceConfig
    device: torch.device

    @property
    def clip(self) -> Tensor:
        """The number of its recording for each frame of all recordings."""
        return torch.repeat_interleave(torch.tensor(self.counts)).to(self.device)

    def split(self, streams: Tensor) -> list[np.ndarray]:
        """Return [streams, width, n] of each recording for all frames [streams, width, frames]."""
        return np.split(streams.cpu().numpy(), np.cumsum(self.counts)[:-1], axis=2)


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
    return _in_batches(_cepstra, recordings, config, device)


def batch_log_mel(
    recordings: Sequence[np.ndarray], config: VoiceConfig, device: torch.device
) -> list[np.ndarray]:
    """Return the log-mel spectrum [1, mels, n], dB, of each, see :func:`batch_cepstra`."""
    return _in_batches(_log_mel, recordings, config, device)


def batch_spectrograms(
    recordings: Sequence[np.ndarray], config: VoiceConfig, device: torch.device
) -> list[np.ndarray]:
    """Return the power of each frequency [1, fft // 2 + 1, n], dB, see :func:`batch_cepstra`."""
    return _in_batches(_spectrograms, recordings, config, device)


def _in_batches(
    make: Callable[[_Recordings], list[np.ndarray]],
    recordings: Sequence[np.ndarray],
    config: VoiceConfig,
    device: torch.device,
) -> list[np.ndarray]:
    """Return what ``make`` does with ``recordings``, in halves where there are too many frames."""
    if not recordings:
        return []
    counts = [frame_count(len(samples), config) for samples in recordings]
    if len(recordings) > 1 and sum(counts) > MOST_FRAMES:
        half = len(recordings) // 2
        return [
            *_in_batches(make, recordings[:half], config, device),
            *_in_batches(make, recordings[half:], config, device),
        ]
    with exact_float32():
        return make(_Recordings(recordings, counts, config, device))


def _cepstra(batch: _Recordings) -> list[np.ndarray]:
    decibels = _mel_decibels(batch)
    tables = _tables(batch.config, batch.samples[0].dtype.str, str(batch.device))
    # In float32 the sum over bands would be the largest of all errors.
    cepstra = (decibels.double() @ tables.cosines).to(decibels.dtype)
    ends = torch.tensor(batch.counts).cumsum(0).to(batch.device)
    clip = batch.clip
    first = (ends - torch.tensor(batch.counts, device=batch.device))[clip]
    derivatives = [_derivative(cepstra, slope, first, ends[clip]) for slope in tables.slopes]
    return batch.split(torch.stack([cepstra, *derivatives]).transpose(1, 2))


def _log_mel(batch: _Recordings) -> list[np.ndarray]:
    return batch.split(_mel_decibels(batch).T[None])


def _spectrograms(batch: _Recordings) -> list[np.ndarray]:
    return batch.split(_decibels(batch, lambda energies: energies).T[None])


@lru_cache(maxsize=8)
def _tables(config: VoiceConfig, dtype: str, device: str) -> Tables:
    known = constants(config, dtype)
    first, second = (torch.from_numpy(slope).to(device) for slope in known.slopes)
    return Tables(torch.from_numpy(known.cosines).to(device), (first, second))


@lru_cache(maxsize=8)
def _mel_matrix(config: VoiceConfig, dtype: str, device: str) -> Tensor:
    """Return the mel filters [fft // 2 + 1, mels]."""
    mel = np.zeros((config.frequencies, config.mels), dtype)
    for covered, made, filters in mel_groups(config, dtype):
        mel[covered, made] = filters
    return torch.from_numpy(mel).to(device)


def _mel_decibels(batch: _Recordings) -> Tensor:
    """Return the power in each mel band, dB, [frames of all recordings, mels]."""
    mel = _mel_matrix(batch.config, batch.samples[0].dtype.str, str(batch.device))
    return _decibels(batch, lambda energies: energies @ mel)


def _decibels(batch: _Recordings, powers: Callable[[Tensor], Tensor]) -> Tensor:
    """Return powers in dB [frames of all recordings, bands], raised as ``top_db`` says.

    Args:
        batch: the recordings.
        powers: turns the power of each frequency [frames, fft // 2 + 1] into that of bands.
    """
    signal, starts = _joined(batch.samples, batch.counts, batch.config)
    samples = torch.from_numpy(signal)
    if batch.device.type == "cuda":
        samples = samples.pin_memory()
    samples = samples.to(batch.device, non_blocking=True)
    window = torch.from_numpy(hann_window(batch.config, signal.dtype.str)).to(batch.device)
    frames = samples.unfold(0, batch.config.window, 1)
    parts = []
    for some in torch.split(torch.from_numpy(starts).to(batch.device), BLOCK):
        # The window starts the transform instead of standing in its middle: powers are the same.
        spectra = torch.fft.rfft(frames[some] * window, n=batch.config.fft)
        energies = spectra.real.square() + spectra.imag.square()
        parts.append(10 * torch.log10(powers(energies).clamp(min=AMIN)))
    decibels, clip = torch.cat(parts), batch.clip
    loudest = decibels.new_full((len(batch.counts),), -torch.inf)
    loudest.scatter_reduce_(0, clip, decibels.amax(1), "amax")
    return torch.maximum(decibels, (loudest - batch.config.top_db)[clip, None])


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


BATCHES: dict[
    str, Callable[[Sequence[np.ndarray], VoiceConfig, torch.device], list[np.ndarray]]
] = {MFCC: batch_cepstra, LOG_MEL: batch_log_mel, SPECTROGRAM: batch_spectrograms}
"""Functions on batches of recordings by voice encoder."""
