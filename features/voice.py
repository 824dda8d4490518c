"""Voices as vectors: mel-frequency cepstral coefficients (MFCC) and their two derivatives.

Three backends give the same numbers. ``librosa`` calls librosa; ``fast`` does the same arithmetic
with everything that depends on the configuration alone (window, mel filters, cosine transform,
derivative filters) computed once, on 128 frames at a time so that they stay in the processor's
cache. It needs NumPy and SciPy only: a worker does not spend seconds on importing librosa.
``torch`` does it in torch, on batches of recordings where they are to be had
(:mod:`ivr.features.voice_torch`), for a GPU. ``benchmarks/voice_features.py`` measures them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.fft
import soxr

from .media import MediaError, read_voice


@dataclass(frozen=True)
class VoiceConfig:
    """MFCC of a spoken caption, with first and second derivatives.

    Window and hop are those of the papers (DVAN, PRRS 2018: 16 ms every 5 ms, padded or
    truncated to one length). A window of 256 samples has 129 frequencies 62.5 Hz apart, too few
    for the 128 mel bands that librosa takes by default: the filters of the lowest bands are
    narrower than that, hold no frequency and give a constant. So the window is padded with zeros
    to a transform of 512 samples, and there are 64 bands; a combination in which a filter is empty
    is refused. A thousand frames are 5 s at that hop: the captions of UC Merced, spoken, last 3.4 s
    in the middle, and 7 % of them longer than 5 s.

    Attributes:
        sample_rate: Hz; recordings at another rate are resampled.
        window: analysis window (periodic Hann), samples (16 ms at 16 kHz).
        hop: samples between frames (5 ms at 16 kHz).
        fft: length of the Fourier transform, samples; the window stands in its middle.
        mels: number of mel bands (Slaney's scale and area, 0 Hz to half the sample rate).
        coefficients: cepstral coefficients kept, from the 0th.
        frames: fixed length of the vectors, frames; shorter ones end in zeros.
        delta_width: frames over which derivatives are fitted, odd.
        top_db: dynamic range below the loudest band of the clip, dB; what is lower is raised.
        backend: ``fast``, ``librosa`` (the reference) or ``torch``; ``auto`` takes torch where the
            voices are extracted on a GPU, else fast.
    """

    sample_rate: int = 16_000
    window: int = 256
    hop: int = 80
    fft: int = 512
    mels: int = 64
    coefficients: int = 20
    frames: int = 1000
    delta_width: int = 9
    top_db: float = 80.0
    backend: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values that have no meaning, each with what it may be."""
        if self.sample_rate < 1:
            raise ValueError(f"sample_rate must be at least 1 Hz, got {self.sample_rate}")
        if self.window < 2:
            raise ValueError(f"window must be at least 2 samples, got {self.window}")
        if not 0 < self.hop <= self.window:
            raise ValueError(f"hop must be in (0, window={self.window}], got {self.hop}")
        if self.fft < self.window:
            raise ValueError(f"fft must be at least window={self.window}, got {self.fft}")
        if self.mels < 1:
            raise ValueError(f"mels must be at least 1, got {self.mels}")
        if not 0 < self.coefficients <= self.mels:
            raise ValueError(
                f"coefficients must be in (0, mels={self.mels}], got {self.coefficients}"
            )
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, got {self.frames}")
        if self.delta_width < 3 or self.delta_width % 2 == 0:
            raise ValueError(f"delta_width must be odd and at least 3, got {self.delta_width}")
        if not self.top_db > 0:
            raise ValueError(f"top_db must be above 0, got {self.top_db}")
        if self.backend not in BACKENDS:
            raise ValueError(f"backend must be {' or '.join(BACKENDS)}, got {self.backend!r}")
        empty = int((mel_filters(self.sample_rate, self.fft, self.mels).max(axis=1) == 0).sum())
        if empty:
            raise ValueError(
                f"{empty} of mels={self.mels} mel filters hold no frequency of fft={self.fft} "
                f"at {self.sample_rate} Hz; lower mels or raise fft"
            )


def read_voice_vectors(path: Path, config: VoiceConfig) -> tuple[np.ndarray, int]:
    """Return the vectors of the voice in ``path`` and its true number of frames.

    Raises:
        MediaError: the voice cannot be read (:func:`ivr.features.media.read_voice`) or is too
            short.
    """
    samples, sample_rate = read_voice(path)
    return voice_vectors(samples, sample_rate, config)


def read_recording(path: Path, config: VoiceConfig) -> np.ndarray:
    """Return the samples of the voice in ``path`` at the rate of ``config``, float32 [samples].

    Raises:
        MediaError: as :func:`read_voice_vectors`.
    """
    samples, sample_rate = read_voice(path)
    return at_sample_rate(samples, sample_rate, config)


def voice_vectors(
    samples: np.ndarray, sample_rate: int, config: VoiceConfig
) -> tuple[np.ndarray, int]:
    """Return MFCC, first and second derivative of a voice, and how long it is.

    Args:
        samples: float32 or float64 [samples], which is also the precision of the computation.
        sample_rate: of ``samples``, Hz; resampled by soxr HQ where it is not that of ``config``.
        config: what to compute.

    Returns:
        float32 [3, coefficients, frames], padded with zeros or truncated at the end; and the
        number of frames that the whole voice has.

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


def mel_filters(sample_rate: int, fft: int, mels: int) -> np.ndarray:
    """Return triangular mel filters of equal area, float64 [mels, fft // 2 + 1].

    Corners are equally spaced in mel between 0 Hz and half the sample rate (Slaney, Auditory
    Toolbox, Interval Research TR 1998-010). A filter between which no frequency falls is zero.
    """
    corners = _mel_to_hz(np.linspace(0, _hz_to_mel(sample_rate / 2), mels + 2))[:, None]
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    hz = np.fft.rfftfreq(fft, 1 / sample_rate)
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    triangles: np.ndarray = np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low))
    return triangles


# Slaney's scale: 200/3 Hz a mel up to 1000 Hz, from there 27 mels for each factor of 6.4.
_HZ_PER_MEL = 200 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27

AMIN = 1e-10
"""Least power whose decibels are taken, as in librosa."""

_BLOCK = 128
"""Frames transformed at a time; all at once takes up to five times as long."""


_MEL_GROUPS = 4
"""Groups of mel filters; each is a product over its own frequencies only."""


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, above)


def frame_count(length: int, config: VoiceConfig) -> int:
    """Return how many frames ``length`` samples have; the first is centred on the first sample."""
    return 1 + (length - config.fft % 2) // config.hop


def frame_lead(config: VoiceConfig) -> int:
    """Return how many samples of the first frame's window lie before the first sample."""
    return config.fft // 2 - (config.fft - config.window) // 2


def _too_short(length: int, config: VoiceConfig) -> str:
    least = (config.delta_width - 1) * config.hop + config.fft % 2
    return (
        f"lasts {length / config.sample_rate:.4f} s, "
        f"at least {least / config.sample_rate:.4f} s are needed "
        f"(delta_width={config.delta_width} frames)"
    )


@dataclass(frozen=True)
class Constants:
    """What of the arithmetic depends on the configuration and the precision alone.

    Attributes:
        window: [window].
        mel: the mel filters in groups of neighbours; of each group the frequencies that it
            covers, the bands that it makes, and the filters [covered, bands], rounded to float32
            as librosa's are. Most of the whole matrix is zeros.
        cosines: [mels, coefficients], float64.
        slopes: weights of the first and second derivative, each [delta_width].
    """

    window: np.ndarray
    mel: tuple[tuple[slice, slice, np.ndarray], ...]
    cosines: np.ndarray
    slopes: tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=8)
def constants(config: VoiceConfig, dtype: str) -> Constants:
    """Return what of the arithmetic ``config`` and the precision ``dtype`` decide."""
    phases = 2 * np.pi * np.arange(config.window) / config.window
    mel = mel_filters(config.sample_rate, config.fft, config.mels).astype(np.float32)
    groups = np.array_split(np.arange(config.mels), min(_MEL_GROUPS, config.mels))
    cosines = scipy.fft.dct(np.eye(config.mels), axis=0, norm="ortho")
    return Constants(
        window=(0.5 - 0.5 * np.cos(phases)).astype(dtype),
        mel=tuple(_mel_group(mel, bands, dtype) for bands in groups),
        cosines=np.ascontiguousarray(cosines[: config.coefficients].T),
        slopes=(
            _slope(config.delta_width, 1).astype(dtype),
            _slope(config.delta_width, 2).astype(dtype),
        ),
    )


def _mel_group(mel: np.ndarray, bands: np.ndarray, dtype: str) -> tuple[slice, slice, np.ndarray]:
    made = slice(bands[0], bands[-1] + 1)
    frequencies = np.flatnonzero(mel[made].any(axis=0))
    covered = slice(frequencies[0], frequencies[-1] + 1)
    return covered, made, np.ascontiguousarray(mel[made, covered].T, dtype=dtype)


def _slope(width: int, order: int) -> np.ndarray:
    """Return the weights [width] whose product with ``width`` values is their derivative.

    That of the polynomial of degree ``order`` fitted to the values by least squares (Savitzky and
    Golay, Analytical Chemistry 36, 1964), as in ``librosa.feature.delta``.
    """
    positions = np.arange(width) - width // 2
    fit = np.linalg.pinv(np.vander(positions, order + 1, increasing=True))
    slope: np.ndarray = math.factorial(order) * fit[order]
    return slope


def _fast(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return [3, coefficients, n] of at least ``delta_width`` frames, NumPy and SciPy only."""
    known = constants(config, samples.dtype.str)
    decibels = _mel_decibels(samples, config, known)
    raised = np.maximum(decibels, decibels.max() - config.top_db)
    # In float32 the sum over bands would be the largest of all errors.
    cepstra = (raised.astype(np.float64) @ known.cosines).astype(samples.dtype)
    first, second = (_derivative(cepstra, slope) for slope in known.slopes)
    return np.stack([cepstra, first, second]).transpose(0, 2, 1)


def _mel_decibels(samples: np.ndarray, config: VoiceConfig, known: Constants) -> np.ndarray:
    """Return the power in each mel band, dB, [n, mels]."""
    frames = _framed(samples, config)
    decibels = np.empty((len(frames), config.mels), dtype=samples.dtype)
    # The window starts the transform instead of standing in its middle: powers are the same.
    padded = np.zeros((_BLOCK, config.fft), dtype=samples.dtype)
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        np.multiply(block, known.window, out=padded[: len(block), : config.window])
        spectra = scipy.fft.rfft(padded[: len(block)])
        squares = np.square(spectra.view(samples.dtype))  # real, imaginary, real, ...
        energies = squares[:, ::2] + squares[:, 1::2]
        powers = np.empty((len(block), config.mels), dtype=samples.dtype)
        for covered, made, filters in known.mel:
            np.matmul(energies[:, covered], filters, out=powers[:, made])
        decibels[start : start + _BLOCK] = 10 * np.log10(np.maximum(powers, AMIN))
    return decibels


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

    powers = librosa.feature.melspectrogram(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.fft,
        win_length=config.window,
        hop_length=config.hop,
        n_mels=config.mels,
    )
    decibels = librosa.power_to_db(powers, top_db=config.top_db)
    cepstra = librosa.feature.mfcc(S=decibels, n_mfcc=config.coefficients)
    first, second = (
        librosa.feature.delta(cepstra, width=config.delta_width, order=order) for order in (1, 2)
    )
    return np.stack([cepstra, first, second])


def _torch(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return [3, coefficients, n] of at least ``delta_width`` frames, by torch on the processor."""
    import torch

    from .voice_torch import batch_cepstra

    return batch_cepstra([samples], config, torch.device("cpu"))[0]


BACKENDS: dict[str, Callable[[np.ndarray, VoiceConfig], np.ndarray]] = {
    "auto": _fast,
    "fast": _fast,
    "librosa": _librosa,
    "torch": _torch,
}
