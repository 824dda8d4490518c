"""Changes of a voice's waveform before its MFCC: other speakers, other speeds, noise, babble.

A changed voice has a row of its own, named ``NAME//CHANGE``, e.g. ``a/b.wav//noise=10``. Names in a
manifest contain no doubled slash, so the two cannot be confused. The same voice and change give the
same samples everywhere: the name of the row seeds the random numbers.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from ivr.errors import IvrError

from .media import MediaError

SEPARATOR = "//"
SPEECH_FRAME = 0.02  # seconds
SPEECH_RANGE = 1e-3  # power relative to the loudest frame; a weaker frame is a pause (30 dB)
OVERLAP_WINDOW = 0.032  # seconds
ENVELOPE_WINDOW = 0.032  # seconds
ENVELOPE_QUEFRENCY = 0.003  # seconds, shorter than the period of most voices
ENVELOPE_STEPS = 4
MOST_GAIN = math.log(10)  # of log amplitude, 20 dB: other sounds do not become loud
ENVELOPE_FLOOR = 1e-5  # amplitude relative to the largest; a weaker band is silent (100 dB)
WARPED_SHARE = 0.6  # of the band; 4800 of 8000 Hz in VTLP
TALKERS = 5  # other voices in a babble


class ChangeError(IvrError):
    """A change that does not exist or has no meaning, in one line."""


@dataclass(frozen=True)
class Change:
    """One change of a voice.

    Attributes:
        kind: kind of change, a key of :data:`CHANGES`.
        value: amount, in the unit of its kind.
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        """Refuse an unknown kind, a value outside its range, and a change without effect."""
        if self.kind not in CHANGES:
            raise ChangeError(
                f"no change of voices is called {self.kind!r}; there are {', '.join(CHANGES)}"
            )
        kind = CHANGES[self.kind]
        if not kind.least <= self.value <= kind.most:
            raise ChangeError(
                f"{self.kind} ({kind.unit}) must be from {kind.least:g} to {kind.most:g}, "
                f"got {self.value:g}"
            )
        if self.value == kind.neutral:
            raise ChangeError(f"{self} changes nothing")

    def __str__(self) -> str:
        """Return the canonical spelling of the change, e.g. ``noise=10``."""
        return f"{self.kind}={self.value:g}"


def parse_change(text: str) -> Change:
    """Return the change that ``text`` names: ``noise=10`` and ``noise=10.0`` are one.

    Raises:
        ChangeError: there is no such change.
    """
    kind, _, amount = text.partition("=")
    try:
        value = float(amount)
    except ValueError as error:
        raise ChangeError(
            f"a change of voices is KIND=NUMBER, e.g. speed=0.9 or noise=10, got {text!r}"
        ) from error
    # As many digits as the name has, and no minus before a zero.
    return Change(kind.strip(), float(f"{value:g}") + 0.0)


def canonical_changes(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the changes that ``texts`` name, each once in its canonical spelling, sorted.

    Raises:
        ChangeError: there is no such change.
    """
    return tuple(sorted({str(parse_change(text)) for text in texts}))


def changed_name(voice: str, change: str) -> str:
    """Return the name of the row of ``voice`` after ``change``; ``""`` is the recording itself.

    Args:
        voice: its name in the manifest.
        change: the change in its canonical spelling.
    """
    return f"{voice}{SEPARATOR}{change}" if change else voice


def file_of(name: str) -> str:
    """Return the file that the row ``name`` is made from."""
    return name.partition(SEPARATOR)[0]


def change_of(name: str) -> str:
    """Return the change of the row ``name``, ``""`` for the voice as recorded."""
    return name.partition(SEPARATOR)[2]


def changes_of(names: Iterable[str]) -> set[str]:
    """Return the changes of the rows ``names``."""
    return {change_of(name) for name in names} - {""}


def mixed_in(change: str) -> int:
    """Return how many other voices ``change`` mixes in; 0 for ``""`` and for unknown changes."""
    kind = CHANGES.get(change.partition("=")[0])
    return kind.others if kind else 0


def changed_voice(
    samples: np.ndarray, sample_rate: int, name: str, others: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Return the voice of the row ``name``, [samples] of the same type.

    Args:
        samples: the voice as recorded, float32 or float64 [samples].
        sample_rate: Hz.
        name: name of the row; it contains the change and seeds its random numbers.
        others: the voices that the change mixes in, each [samples of its own] at the same rate; as
            many as :func:`mixed_in` says.

    Raises:
        MediaError: this voice cannot be changed in this way.
    """
    if len(others) != mixed_in(change_of(name)):
        raise ValueError(
            f"{name}: {mixed_in(change_of(name))} other voices are mixed in, got {len(others)}"
        )
    if not change_of(name):
        return samples
    change = parse_change(change_of(name))
    seed = hashlib.blake2b(name.encode(), digest_size=16).digest()
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    changed = CHANGES[change.kind].apply(samples, sample_rate, change.value, rng, others)
    return np.ascontiguousarray(changed, dtype=samples.dtype)


def with_speed(samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
    """Return a voice ``factor`` times as fast, with its pitch and formants that much higher.

    Reference:
        Ko, Peddinti, Povey and Khudanpur, "Audio augmentation for speech recognition",
        Interspeech 2015: the waveform is resampled and played at the old rate.
    """
    faster: np.ndarray = soxr.resample(samples, factor * sample_rate, sample_rate, quality="HQ")
    return faster


def with_tempo(samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
    """Return a voice ``factor`` times as fast; pitch and formants stay.

    Overlapping windows are placed closer together or further apart. Each is taken from up to 8 ms
    around its place, where it is most like the continuation of the window before it. A phase
    vocoder, such as librosa's, smears the pulses of a voice and makes it 3 dB weaker.

    Reference:
        Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for
        high quality time-scale modification of speech", ICASSP 1993; likeness is here the squared
        difference.
    """
    window = _window(OVERLAP_WINDOW, sample_rate)
    hop, reach = window // 2, window // 4
    length = math.ceil(len(samples) / factor)
    count = math.ceil(length / hop) + 1
    padded = np.pad(samples, (hop + reach, 3 * window))
    sizes = np.concatenate([[0], np.cumsum(np.square(padded, dtype=np.float64))])
    taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(samples.dtype)
    voice = np.zeros((count + 1) * hop, samples.dtype)
    place = reach
    for number in range(count):
        if number:
            first = round(factor * number * hop)
            follows = padded[place + hop : place + hop + window]
            places = slice(first, first + 2 * reach + 1)
            near = padded[first : places.stop + window - 1]
            size = sizes[window:][places] - sizes[places]
            place = first + int(np.argmin(size - 2 * np.correlate(near, follows, "valid")))
        voice[number * hop : number * hop + window] += taper * padded[place : place + window]
    return voice[hop : hop + length]


def with_pitch(samples: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
    """Return a voice that is ``semitones`` higher; duration and formants stay.

    The voice is slowed down and played faster by the same factor; :func:`with_tract` moves the
    formants back. A voice made lower has no energy at the top of the band.
    """
    factor = 2 ** (semitones / 12)
    slow = with_tempo(samples, sample_rate, 1 / factor)
    shifted = _at_least(with_speed(slow, sample_rate, factor), len(samples))
    return with_tract(shifted[: len(samples)], sample_rate, 1 / factor)


def with_tract(samples: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
    """Return a voice whose formants lie ``factor`` times as high; pitch and duration stay.

    A factor above 1 is a shorter vocal tract. The envelope of each short-time spectrum is warped,
    and each frequency is amplified by the change of the envelope; the harmonics stay in place.

    Reference:
        Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition",
        ICML workshop 2013, for the warp (equation 1, :func:`_unwarped`). They warp the mel filters,
        and with them the harmonics.
    """
    import librosa

    window = _window(ENVELOPE_WINDOW, sample_rate)
    padded = _at_least(samples, window)
    spectra = librosa.stft(padded, n_fft=window, hop_length=window // 4)
    amplitudes = np.abs(spectra)
    floor = max(ENVELOPE_FLOOR * amplitudes.max(), np.finfo(np.float32).tiny)
    kept = round(ENVELOPE_QUEFRENCY * sample_rate)
    cepstra = _envelope_cepstra(np.log(np.maximum(amplitudes, floor)), kept)
    # The log envelope at any frequency is a sum of cosines, weighted by the cepstrum.
    frequencies = np.linspace(0, 1, len(spectra))
    warp = _cosines(_unwarped(frequencies, factor), kept) - _cosines(frequencies, kept)
    gains = np.exp(np.clip(warp.astype(cepstra.dtype) @ cepstra, -MOST_GAIN, MOST_GAIN))
    voice: np.ndarray = librosa.istft(spectra * gains, hop_length=window // 4, length=len(padded))
    return voice[: len(samples)]


def with_noise(
    samples: np.ndarray, sample_rate: int, decibels: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a voice in white Gaussian noise.

    The signal-to-noise ratio is that of the mean power of the speech to the power of the noise,
    both over the whole band. Speech is the frames of 20 ms that are at most 30 dB weaker than the
    loudest: as in ITU-T P.56, pauses do not count.

    Args:
        samples: [samples].
        sample_rate: Hz.
        decibels: the signal-to-noise ratio.
        rng: random generator for the noise.

    Raises:
        MediaError: the recording is silent, so the ratio does not exist.
    """
    power = _noise_power(samples, sample_rate, decibels)
    noise = rng.standard_normal(len(samples)) * math.sqrt(power)
    noisy: np.ndarray = samples + noise.astype(samples.dtype)
    return noisy


def with_babble(
    samples: np.ndarray,
    sample_rate: int,
    decibels: float,
    rng: np.random.Generator,
    others: Sequence[np.ndarray],
) -> np.ndarray:
    """Return a voice while other voices speak.

    Each of the others is repeated from a drawn place on for as long as the voice lasts. They have
    the same power, measured as :func:`speech_power`. The signal-to-noise ratio is that of
    :func:`with_noise`, with the mean power of the sum of the others as the power of the noise.

    Args:
        samples: [samples].
        sample_rate: Hz.
        decibels: the signal-to-noise ratio.
        rng: random generator for the places where the others begin.
        others: the other voices, each [samples of its own].

    Raises:
        MediaError: the recording or one of the others is silent, so the ratio does not exist.
    """
    power = _noise_power(samples, sample_rate, decibels)
    babble = np.zeros(len(samples))
    for other in others:
        loudness = speech_power(other, sample_rate)
        if not loudness:
            raise MediaError("cannot be mixed with a voice that is silent")
        heard = np.resize(np.roll(other, -rng.integers(len(other))), len(samples))
        babble += heard / math.sqrt(loudness)
    found = float(np.square(babble).mean())
    if not found:
        raise MediaError("the other voices are silent while it lasts")
    noisy: np.ndarray = samples + (math.sqrt(power / found) * babble).astype(samples.dtype)
    return noisy


def _noise_power(samples: np.ndarray, sample_rate: int, decibels: float) -> float:
    """Return the mean power of a noise that lies ``decibels`` below the speech in ``samples``."""
    power = speech_power(samples, sample_rate)
    if not power:
        raise MediaError("is silent: there is no speech to measure noise by")
    return power / float(10 ** (decibels / 10))


def speech_power(samples: np.ndarray, sample_rate: int) -> float:
    """Return the mean power of ``samples`` without pauses, see :func:`with_noise`."""
    length = max(1, round(SPEECH_FRAME * sample_rate))
    padded = _at_least(samples, length).astype(np.float64)
    powers = np.square(padded[: len(padded) // length * length].reshape(-1, length)).mean(axis=1)
    return float(powers[powers >= SPEECH_RANGE * powers.max()].mean())


def _envelope_cepstra(spectra: np.ndarray, kept: int) -> np.ndarray:
    """Return the first cepstral coefficients [kept, n] of the envelopes of log spectra [bins, n].

    Each step smooths the maximum of the spectrum and its envelope so far: the envelope rises to the
    peaks of the harmonics instead of running halfway between peaks and valleys.

    Reference:
        Röbel and Rodet, "Efficient spectral envelope estimation and its application to pitch
        shifting and envelope preservation", DAFx 2005 (true envelope); here in a fixed number of
        steps.
    """
    # Here, so that names of changes can be checked without scipy.
    import scipy.fft

    envelopes = spectra
    for _ in range(ENVELOPE_STEPS):
        cepstra = scipy.fft.irfft(np.maximum(spectra, envelopes), axis=0)
        cepstra[kept : len(cepstra) - kept + 1] = 0
        envelopes = scipy.fft.rfft(cepstra, axis=0).real
    first: np.ndarray = cepstra[:kept]
    return first


def _unwarped(frequencies: np.ndarray, factor: float) -> np.ndarray:
    """Return the frequencies that VTLP moves to ``frequencies`` [n], as shares of half the rate.

    Up to :data:`WARPED_SHARE` (over the factor, where that is above 1) frequencies are multiplied
    by ``factor``; from there a straight line leads to half the sample rate, which stays fixed.
    """
    corner = WARPED_SHARE * min(factor, 1)
    sources: np.ndarray = np.interp(frequencies, [0, corner, 1], [0, corner / factor, 1])
    return sources


def _cosines(frequencies: np.ndarray, count: int) -> np.ndarray:
    """Return the matrix [n, count] from the first cepstral coefficients to a log spectrum."""
    cosines = np.cos(np.pi * frequencies[:, None] * np.arange(count))
    cosines[:, 1:] *= 2  # negative quefrencies as well
    return cosines


def _window(seconds: float, sample_rate: int) -> int:
    """Return the number of samples in ``seconds``, rounded to a multiple of 4."""
    return 4 * max(1, round(seconds * sample_rate / 4))


def _at_least(samples: np.ndarray, length: int) -> np.ndarray:
    """Return ``samples``, padded with zeros to at least ``length``."""
    return np.pad(samples, (0, max(0, length - len(samples))))


Apply = Callable[[np.ndarray, int, float, np.random.Generator, Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A kind of change.

    Attributes:
        apply: function of samples, their rate, the value, a generator and the voices to mix in; it
            returns the changed samples.
        least: smallest value.
        most: largest value.
        neutral: the value that changes nothing, None if there is none.
        unit: unit of the value, in words.
        others: number of other voices that are mixed in.
    """

    apply: Apply
    least: float
    most: float
    neutral: float | None
    unit: str
    others: int = 0


CHANGES = {
    "speed": Kind(lambda s, rate, value, *_: with_speed(s, rate, value), 0.5, 2, 1, "a factor"),
    "tempo": Kind(lambda s, rate, value, *_: with_tempo(s, rate, value), 0.5, 2, 1, "a factor"),
    "pitch": Kind(lambda s, rate, value, *_: with_pitch(s, rate, value), -12, 12, 0, "semitones"),
    "tract": Kind(lambda s, rate, value, *_: with_tract(s, rate, value), 0.7, 1.4, 1, "a factor"),
    "noise": Kind(
        lambda s, rate, value, rng, _: with_noise(s, rate, value, rng), -20, 60, None, "dB"
    ),
    "babble": Kind(with_babble, -20, 60, None, "dB", TALKERS),
}
