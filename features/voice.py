"""Voices as vectors: MFCC and their two derivatives, log-mel spectra, and spectrograms.

Three backends give the same numbers. ``librosa`` calls librosa; ``fast`` does the same arithmetic
with everything that depends on the configuration alone (window, mel filters, cosine transform,
derivative filters) computed once, on 128 frames at a time so that they stay in the processor's
cache. It needs NumPy and SciPy only: workers do not spend seconds on importing librosa.
``torch`` does it in torch, on batches of recordings (:mod:`ivr.features.voice_torch`), for a GPU.
``benchmarks/voice_features.py`` measures them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import scipy.fft
import soxr

from .media import MediaError
from .mfcc import (
    AMIN,
    Backend,
    VoiceConfig,
    constants,
    frame_count,
    frame_lead,
    hann_window,
    mel_groups,
)
from .voice_encoder_config import LOG_MEL, SPECTROGRAM
from .voice_file import Recording, recording_of
from .voice_properties import without_silence

_BLOCK = 128
"""Frames transformed at a time; all at once takes up to five times as long."""


def decode_recording(data: bytes, config: VoiceConfig) -> np.ndarray:
    """Return the voice that ``data`` holds at the rate of ``config``, float32 [samples].

    Args:
        data: content of a file (:func:`ivr.features.voice_file.recording_of`).
        config: the MFCC.

    Raises:
        MediaError: the voice cannot be decoded or is too short.
    """
    recording = used_recording(data, config)
    return at_sample_rate(recording.samples, recording.sample_rate, config)


def used_recording(data: bytes, config: VoiceConfig) -> Recording:
    """Return the voice that ``data`` holds, without silence around it if ``config`` says so.

    Raises:
        MediaError: the voice cannot be decoded.
    """
    recording = recording_of(data)
    if config.trim_silence == "off":
        return recording
    kept = without_silence(recording.samples, recording.sample_rate)
    return replace(recording, samples=kept)


def voice_vectors(
    samples: np.ndarray, sample_rate: int, config: VoiceConfig
) -> tuple[np.ndarray, int]:
    """Return MFCC, first and second derivative of a voice, and its true number of frames.

    Args:
        samples: float32 or float64 [samples]; this is also the precision of the computation.
        sample_rate: sample rate of ``samples``, Hz; soxr HQ resamples them to the rate of
            ``config``.
        config: the MFCC.

    Returns:
        float32 [3, coefficients, frames], padded with zeros or truncated at the end; and the
        number of frames of the whole voice.

    Raises:
        MediaError: fewer frames than the derivatives need.
    """
    resampled = at_sample_rate(samples, sample_rate, config)
    return of_fixed_length(BACKENDS[config.backend](resampled, config), config)


def at_sample_rate(samples: np.ndarray, sample_rate: int, config: VoiceConfig) -> np.ndarray:
    """Return ``samples`` [samples] at the rate of ``config``, see :func:`voice_vectors`.

    Raises:
        MediaError: fewer frames than the derivatives need.
    """
    if samples.ndim != 1 or samples.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"samples must be float32 or float64 [samples], got {samples.dtype} {samples.shape}"
        )
    if sample_rate != config.sample_rate:
        samples = soxr.resample(samples, sample_rate, config.sample_rate, quality="HQ")
    if frame_count(len(samples), config) < config.delta_width:
        raise MediaError(_too_short(len(samples), config))
    return samples


def of_fixed_length(cepstra: np.ndarray, config: VoiceConfig) -> tuple[np.ndarray, int]:
    """Return ``cepstra`` [3, coefficients, n] as :func:`voice_vectors` does, and n."""
    length = cepstra.shape[2]
    kept = min(length, config.frames)
    vectors = np.zeros((3, config.coefficients, config.frames), dtype=np.float32)
    vectors[:, :, :kept] = cepstra[:, :, :kept]
    return vectors, length


def _too_short(length: int, config: VoiceConfig) -> str:
    least = (config.delta_width - 1) * config.hop + config.fft % 2
    return (
        f"lasts {length / config.sample_rate:.4f} s, "
        f"at least {least / config.sample_rate:.4f} s are needed "
        f"(delta_width={config.delta_width} frames)"
    )


def _fast(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return [3, coefficients, n] of at least ``delta_width`` frames, NumPy and SciPy only."""
    known = constants(config, samples.dtype.str)
    # In float32 the sum over bands would be the largest of all errors.
    decibels = _mel_decibels(samples, config).astype(np.float64)
    cepstra = (decibels @ known.cosines).astype(samples.dtype)
    first, second = (_derivative(cepstra, slope) for slope in known.slopes)
    return np.stack([cepstra, first, second]).transpose(0, 2, 1)


def _fast_log_mel(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the log-mel spectrum [1, mels, n], dB, NumPy and SciPy only."""
    return _mel_decibels(samples, config).T[None]


def _fast_spectrogram(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the power of each frequency [1, fft // 2 + 1, n], dB, NumPy and SciPy only."""
    energies = np.concatenate(list(_energies(samples, config)))
    return _decibels(energies, config).T[None]


def _mel_decibels(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the power in each mel band, dB, [n, mels]."""
    filters = mel_groups(config, samples.dtype.str)
    parts = []
    for energies in _energies(samples, config):
        powers = np.empty((len(energies), config.mels), dtype=samples.dtype)
        for covered, made, weights in filters:
            np.matmul(energies[:, covered], weights, out=powers[:, made])
        parts.append(powers)
    return _decibels(np.concatenate(parts), config)


def _energies(samples: np.ndarray, config: VoiceConfig) -> Iterator[np.ndarray]:
    """Yield the power of each frequency in blocks of frames, each [block, fft // 2 + 1]."""
    frames, window = _framed(samples, config), hann_window(config, samples.dtype.str)
    # The window starts the transform instead of standing in its middle: powers are the same.
    padded = np.zeros((_BLOCK, config.fft), dtype=samples.dtype)
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        np.multiply(block, window, out=padded[: len(block), : config.window])
        spectra = scipy.fft.rfft(padded[: len(block)])
        squares = np.square(spectra.view(samples.dtype))  # real, imaginary, real, ...
        yield squares[:, ::2] + squares[:, 1::2]


def _decibels(powers: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return ``powers`` [n, bands] in dB, raised to ``top_db`` below the largest."""
    decibels = 10 * np.log10(np.maximum(powers, AMIN))
    raised: np.ndarray = np.maximum(decibels, decibels.max() - config.top_db)
    return raised


def _framed(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the windowed part of each frame, [n, window], with zeros beyond both ends."""
    count = frame_count(len(samples), config)
    lead = frame_lead(config)
    padded = np.zeros((count - 1) * config.hop + config.window, dtype=samples.dtype)
    held = min(len(samples), len(padded) - lead)
    padded[lead : lead + held] = samples[:held]
    return np.lib.stride_tricks.sliding_window_view(padded, config.window)[:: config.hop]


def _derivative(cepstra: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return the derivative of ``cepstra`` [n, coefficients] along its frames, same shape.

    A polynomial of the derivative's own degree has the same derivative everywhere, so the frames
    before the middle of the first window (after that of the last) have the value of that window.
    """
    count, half = len(cepstra) - len(slope) + 1, len(slope) // 2
    derivative = np.zeros_like(cepstra)
    inner = derivative[half : half + count]
    for offset, weight in enumerate(slope):
        inner += weight * cepstra[offset : offset + count]
    derivative[:half] = inner[0]
    derivative[half + count :] = inner[-1]
    return derivative


def _librosa(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return [3, coefficients, n] of at least ``delta_width`` frames, by librosa."""
    import librosa

    decibels = _librosa_log_mel(samples, config)[0]
    cepstra = librosa.feature.mfcc(S=decibels, n_mfcc=config.coefficients)
    first, second = (
        librosa.feature.delta(cepstra, width=config.delta_width, order=order) for order in (1, 2)
    )
    return np.stack([cepstra, first, second])


def _librosa_log_mel(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the log-mel spectrum [1, mels, n], dB, by librosa."""
    import librosa

    powers = librosa.feature.melspectrogram(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.fft,
        win_length=config.window,
        hop_length=config.hop,
        n_mels=config.mels,
    )
    decibels: np.ndarray = librosa.power_to_db(powers, top_db=config.top_db)
    return decibels[None]


def _librosa_spectrogram(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the power of each frequency [1, fft // 2 + 1, n], dB, by librosa."""
    import librosa

    spectra = librosa.stft(
        samples, n_fft=config.fft, win_length=config.window, hop_length=config.hop
    )
    decibels: np.ndarray = librosa.power_to_db(np.abs(spectra) ** 2, top_db=config.top_db)
    return decibels[None]


def _torch(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return [3, coefficients, n] of at least ``delta_width`` frames, by torch on the processor."""
    import torch

    from .voice_torch import batch_cepstra

    return batch_cepstra([samples], config, torch.device("cpu"))[0]


def _torch_log_mel(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the log-mel spectrum [1, mels, n], dB, by torch on the processor."""
    import torch

    from .voice_torch import batch_log_mel

    return batch_log_mel([samples], config, torch.device("cpu"))[0]


def _torch_spectrogram(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return the power of each frequency [1, fft // 2 + 1, n], dB, by torch on the processor."""
    import torch

    from .voice_torch import batch_spectrograms

    return batch_spectrograms([samples], config, torch.device("cpu"))[0]


Vectorise = Callable[[np.ndarray, VoiceConfig], np.ndarray]

BACKENDS: dict[Backend, Vectorise] = {
    "auto": _fast,
    "fast": _fast,
    "librosa": _librosa,
    "torch": _torch,
}
"""MFCC and their derivatives by each implementation."""

SPECTRA: Mapping[str, Mapping[Backend, Vectorise]] = {
    LOG_MEL: {
        "auto": _fast_log_mel,
        "fast": _fast_log_mel,
        "librosa": _librosa_log_mel,
        "torch": _torch_log_mel,
    },
    SPECTROGRAM: {
        "auto": _fast_spectrogram,
        "fast": _fast_spectrogram,
        "librosa": _librosa_spectrogram,
        "torch": _torch_spectrogram,
    },
}
"""Spectra [1, bands, n] by voice encoder and implementation."""
