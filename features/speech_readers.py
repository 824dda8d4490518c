"""Inputs of pretrained speech encoders: samples or log-mel spectra of a voice; NumPy only."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .media import MediaError
from .mfcc import AMIN, mel_filters
from .voice_blueprint import VoiceReader

SAMPLE_RATE = 16_000
FFT, HOP = 400, 160  # samples: 25 ms and 10 ms
STEP = 2 * HOP  # samples per position of Whisper: its second convolution has stride 2
SILENCE = 200
"""Positions of silence, 20 ms each, that Whisper hears after a voice: it was trained on windows of
30 s that end in silence, and its vectors of a bare word are worse (docs/how-to/speech-encoders.md).
"""
DYNAMIC_RANGE = 8.0  # powers of ten below the loudest band of a clip


@dataclass(frozen=True)
class SpeechReader(VoiceReader):
    """What the inputs of all pretrained speech encoders share.

    Attributes:
        samples: largest number of samples that is kept of a voice.
        pooling: number of frames that are averaged into one.
    """

    samples: int
    pooling: int

    @abstractmethod
    def count(self, samples: int) -> int:
        """Return the number of frames that the network makes of ``samples``, before pooling."""

    @abstractmethod
    def input_of(self, samples: np.ndarray) -> np.ndarray:
        """Return the input of the network, float32, for float32 ``samples`` that are all kept."""

    def frames(self, samples: int) -> int:
        """Return the number of frames of a voice of so many samples after pooling."""
        return -(-self.count(samples) // self.pooling)

    def read(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the input of the network, and the number of frames of the whole voice."""
        if self.count(len(samples)) < 1:
            raise MediaError(f"lasts {len(samples) / SAMPLE_RATE:.4f} s, too short for one frame")
        kept = samples[: self.samples].astype(np.float32)
        return self.input_of(kept), self.frames(len(samples))


@dataclass(frozen=True)
class WhisperReader(SpeechReader):
    """Log-mel spectra as Whisper was trained on, with silence after the voice.

    Attributes:
        mels: number of mel bands.
    """

    mels: int

    def count(self, samples: int) -> int:
        """Return one position per 20 ms, the last one filled up."""
        return -(-samples // STEP)

    def input_of(self, samples: np.ndarray) -> np.ndarray:
        """Return [mels, 2 x (positions + SILENCE + 1)]; the last position is for convolutions.

        As in Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022,
        and its code: the common logarithm of the power in each mel band, at most 8 below the
        loudest, plus 4, divided by 4.
        """
        positions = self.count(len(samples))
        # Spectra of the voice and of its end; those after it are of silence alone.
        made = 2 * positions + 4
        padded = np.zeros(FFT // 2 + made * HOP + FFT, np.float32)
        padded[FFT // 2 : FFT // 2 + len(samples)] = samples
        mirrored = samples[1 : 1 + FFT // 2][::-1]
        padded[FFT // 2 - len(mirrored) : FFT // 2] = mirrored
        frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP][:made]
        window, filters = _constants(self.mels)
        powers = np.abs(np.fft.rfft(frames * window)) ** 2 @ filters
        logarithms = np.log10(np.maximum(powers, AMIN)).T
        floor = max(logarithms.max() - DYNAMIC_RANGE, np.log10(AMIN))
        whole = np.full((self.mels, 2 * (positions + SILENCE + 1)), floor, np.float32)
        whole[:, :made] = np.maximum(logarithms, floor)
        spectra: np.ndarray = (whole + 4) / 4
        return spectra


@dataclass(frozen=True)
class WaveReader(SpeechReader):
    """Samples as HuBERT, wav2vec 2.0 and WavLM take them.

    Attributes:
        convolutions: kernel and stride of each layer that turns samples into frames.
        normalise: whether a voice gets mean 0 and deviation 1.
    """

    convolutions: tuple[tuple[int, int], ...]
    normalise: bool

    def count(self, samples: int) -> int:
        """Return what the convolutions, which pad nothing, leave of ``samples``."""
        for kernel, stride in self.convolutions:
            samples = (samples - kernel) // stride + 1
        return samples

    def input_of(self, samples: np.ndarray) -> np.ndarray:
        """Return float32 [samples]."""
        if not self.normalise:
            return samples
        centred = samples - samples.mean()
        scaled: np.ndarray = centred / np.sqrt(centred.var() + 1e-7)
        return scaled


@lru_cache(maxsize=4)
def _constants(mels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the Hann window [FFT] and the mel filters [FFT // 2 + 1, mels], float32."""
    phases = 2 * np.pi * np.arange(FFT) / FFT
    window = (0.5 - 0.5 * np.cos(phases)).astype(np.float32)
    return window, np.ascontiguousarray(mel_filters(SAMPLE_RATE, FFT, mels).T, np.float32)
