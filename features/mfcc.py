"""Settings of MFCC, log-mel spectra and spectrograms, and the constants that follow from them.

The window, the mel filters, the cosine transform and the weights of the derivatives are computed
once per configuration; :mod:`ivr.features.voice` and :mod:`ivr.features.voice_torch` apply them.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from ivr.config import config
from ivr.mel_scale import hertz_to_mel, mel_to_hertz

Backend = Literal["auto", "fast", "librosa", "torch"]
TrimSilence = Literal["off", "energy"]


@config
class VoiceConfig:
    """MFCC of a spoken caption, with first and second derivatives, or their log-mel spectrum.

    A log-mel spectrum has no ``coefficients`` and no ``delta_width``; a spectrogram, the power of
    each of the fft // 2 + 1 frequencies in dB, has no ``mels`` either.

    Window and hop are those of the papers (DVAN, PRRS 2018: 16 ms every 5 ms, padded or
    truncated to one length). A window of 256 samples has 129 frequencies 62.5 Hz apart, too few
    for the 128 mel bands that librosa takes by default: the filters of the lowest bands are
    narrower than that, hold no frequency and give a constant. So the window is padded with zeros
    to a transform of 512 samples, and there are 64 bands; a combination in which a filter is empty
    is refused. A thousand frames are 5 s at that hop: the spoken captions of UC Merced have a
    median length of 3.4 s, and 7 % of them are longer than 5 s.

    Attributes:
        sample_rate: Sample rate in Hz; recordings at another rate are resampled.
        window: Length of the analysis window (periodic Hann) in samples; 256 are 16 ms at 16 kHz.
        hop: Number of samples between frames; 80 are 5 ms at 16 kHz.
        fft: Length of the Fourier transform in samples; the window stands in its middle.
        mels: Number of mel bands (Slaney's scale and area, 0 Hz to half the sample rate).
        coefficients: Number of cepstral coefficients kept, from the 0th.
        frames: Fixed length of the vectors in frames; shorter ones end in zeros.
        delta_width: Number of frames over which derivatives are fitted, odd.
        top_db: Dynamic range below the loudest band of the clip in dB; lower values are raised to
            it. For a spectrogram below its loudest frequency.
        backend: Implementation: ``fast``, ``librosa`` (the reference) or ``torch``; ``auto`` takes
            torch if the voices are extracted on a GPU, else fast.
        trim_silence: Whether silence before and after speech is cut off: ``energy`` keeps what lies
            between the first and the last 20 ms that are at most 30 dB weaker than the loudest,
            and 0.1 s around it; ``off`` keeps the whole voice.
    """

    sample_rate: PositiveInt = 16_000
    window: Annotated[int, Field(ge=2)] = 256
    hop: PositiveInt = 80
    fft: int = 512
    mels: PositiveInt = 64
    coefficients: PositiveInt = 20
    frames: PositiveInt = 1000
    delta_width: Annotated[int, Field(ge=3)] = 9
    top_db: PositiveFloat = 80.0
    backend: Backend = "auto"
    trim_silence: TrimSilence = "off"

    def __post_init__(self) -> None:
        """Check what has a meaning only together."""
        if self.hop > self.window:
            raise ValueError(f"hop must be in (0, window={self.window}], got {self.hop}")
        if self.fft < self.window:
            raise ValueError(f"fft must be at least window={self.window}, got {self.fft}")
        if self.delta_width % 2 == 0:
            raise ValueError(f"delta_width must be odd, got {self.delta_width}")

    @property
    def frequencies(self) -> int:
        """Number of frequencies of a frame."""
        return self.fft // 2 + 1


def require_cepstra(config: VoiceConfig) -> None:
    """Refuse settings that MFCC cannot have.

    Raises:
        ValueError: more coefficients than mel bands, or as :func:`require_mel_bands`.
    """
    if config.coefficients > config.mels:
        raise ValueError(
            f"coefficients must be in (0, mels={config.mels}], got {config.coefficients}"
        )
    require_mel_bands(config)


def require_mel_bands(config: VoiceConfig) -> None:
    """Refuse settings whose mel bands cannot all be told.

    Raises:
        ValueError: a mel filter lies between two frequencies.
    """
    bank = mel_filters(config.sample_rate, config.fft, config.mels)
    empty = int((bank.max(axis=1) == 0).sum())
    if empty:
        raise ValueError(
            f"{empty} of mels={config.mels} mel filters hold no frequency of fft={config.fft} "
            f"at {config.sample_rate} Hz; lower mels or raise fft"
        )


def mel_filters(sample_rate: int, fft: int, mels: int) -> np.ndarray:
    """Return triangular mel filters of equal area, float64 [mels, fft // 2 + 1].

    Corners are equally spaced in mel between 0 Hz and half the sample rate (Slaney, Auditory
    Toolbox, Interval Research TR 1998-010). A filter that covers no frequency is zero.
    """
    highest = float(hertz_to_mel(np.array(sample_rate / 2)))
    corners = mel_to_hertz(np.linspace(0, highest, mels + 2))[:, None]
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    hz = np.fft.rfftfreq(fft, 1 / sample_rate)
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    triangles: np.ndarray = np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low))
    return triangles


AMIN = 1e-10
"""Least power whose decibels are taken, as in librosa."""

_MEL_GROUPS = 4
"""Groups of mel filters; each is a product over its own frequencies only."""


def frame_count(length: int, config: VoiceConfig) -> int:
    """Return the number of frames of ``length`` samples; the first is centred on the first."""
    return 1 + (length - config.fft % 2) // config.hop


def frame_lead(config: VoiceConfig) -> int:
    """Return the number of samples of the first window that lie before the first sample."""
    return config.fft // 2 - (config.fft - config.window) // 2


MelGroups = tuple[tuple[slice, slice, np.ndarray], ...]
"""Mel filters in groups of neighbours, since most of the whole matrix is zeros. Each group has the
frequencies that it covers, the bands that it gives, and the filters [covered, bands], rounded to
float32 as librosa's are."""


@dataclass(frozen=True)
class Constants:
    """What turns mel bands into MFCC and their derivatives.

    Attributes:
        cosines: [mels, coefficients], float64.
        slopes: weights of the first and second derivative, each [delta_width].
    """

    cosines: np.ndarray
    slopes: tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=8)
def hann_window(config: VoiceConfig, dtype: str) -> np.ndarray:
    """Return the periodic Hann window [window] in the precision ``dtype``."""
    phases = 2 * np.pi * np.arange(config.window) / config.window
    window: np.ndarray = (0.5 - 0.5 * np.cos(phases)).astype(dtype)
    return window


@lru_cache(maxsize=8)
def mel_groups(config: VoiceConfig, dtype: str) -> MelGroups:
    """Return the mel filters of ``config`` in the precision ``dtype``.

    Raises:
        ValueError: as :func:`require_mel_bands`.
    """
    require_mel_bands(config)
    mel = mel_filters(config.sample_rate, config.fft, config.mels).astype(np.float32)
    groups = np.array_split(np.arange(config.mels), min(_MEL_GROUPS, config.mels))
    return tuple(_mel_group(mel, bands, dtype) for bands in groups)


@lru_cache(maxsize=8)
def constants(config: VoiceConfig, dtype: str) -> Constants:
    """Return the constants of the MFCC of ``config`` in the precision ``dtype``.

    Raises:
        ValueError: as :func:`require_cepstra`.
    """
    require_cepstra(config)
    # Here, so that the config and its help need no scipy.
    import scipy.fft

    cosines = scipy.fft.dct(np.eye(config.mels), axis=0, norm="ortho")
    return Constants(
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
