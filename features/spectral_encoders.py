"""MFCC, log-mel spectra and spectrograms as voice encoders; one backend imports torch."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .mfcc import VoiceConfig, frame_count, require_cepstra, require_mel_bands
from .voice_blueprint import Encode, VoiceBlueprint, VoiceEncoderError, VoiceReader
from .voice_encoder_config import LOG_MEL, MFCC, SPECTROGRAM, UNUSED_SETTINGS, VoiceChoices
from .voice_streams import STREAMS

GPU_BATCH = 256


class MfccReader(VoiceReader):
    """Makes the MFCC of a voice where the file is read."""

    def read(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the streams without padding, and the number of frames of the whole voice.

        A third of a typical padded row is zeros, and passing rows between processes takes as long
        as making them.
        """
        # Here: who only asks for the settings needs neither SciPy nor soxr.
        from .voice import voice_vectors

        vectors, frames = voice_vectors(samples, self.config.sample_rate, self.config)
        return np.ascontiguousarray(vectors[:, :, :frames]), frames


@dataclass(frozen=True)
class SpectrumReader(VoiceReader):
    """Makes the log-mel spectrum or the spectrogram of a voice where the file is read.

    Attributes:
        encoder: name of the voice encoder.
    """

    encoder: str

    def read(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """Return [1, bands, n], dB, without padding, and the number of frames of the voice."""
        from .voice import SPECTRA

        made = SPECTRA[self.encoder][self.config.backend](samples, self.config)
        kept = made[:, :, : self.config.frames]
        return np.ascontiguousarray(kept, np.float32), made.shape[2]


class SampleReader(VoiceReader):
    """Leaves the samples as they are, for vectors that are made in batches."""

    def read(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """Return ``samples``, and the number of frames of the whole voice."""
        return samples, frame_count(len(samples), self.config)


def mfcc(choices: VoiceChoices) -> VoiceBlueprint:
    """Return the blueprint of the MFCC.

    Raises:
        VoiceEncoderError: settings that do not go together.
    """
    config = _checked(choices, MFCC, require_cepstra)
    made = VoiceBlueprint(
        STREAMS, config.coefficients, config.frames, asdict(config), MfccReader(config)
    )
    return _by_backend(made, MFCC)


def log_mel(choices: VoiceChoices) -> VoiceBlueprint:
    """Return the blueprint of log-mel spectra: the power in each mel band, dB.

    Raises:
        VoiceEncoderError: settings that do not go together or belong to the MFCC.
    """
    config = _checked(choices, LOG_MEL, require_mel_bands)
    settings = {**used_settings(config, LOG_MEL), "scale": "mel"}
    reader = SpectrumReader(config, LOG_MEL)
    made = VoiceBlueprint((LOG_MEL,), config.mels, config.frames, settings, reader)
    return _by_backend(made, LOG_MEL)


def spectrogram(choices: VoiceChoices) -> VoiceBlueprint:
    """Return the blueprint of spectrograms: the power of each frequency, dB.

    Raises:
        VoiceEncoderError: settings that belong to the MFCC.
    """
    config = _checked(choices, SPECTROGRAM, lambda _: None)
    settings = {**used_settings(config, SPECTROGRAM), "scale": "hertz"}
    reader = SpectrumReader(config, SPECTROGRAM)
    made = VoiceBlueprint((SPECTROGRAM,), config.frequencies, config.frames, settings, reader)
    return _by_backend(made, SPECTROGRAM)


def used_settings(config: VoiceConfig, encoder: str) -> dict[str, Any]:
    """Return the settings of ``config`` that decide the vectors of ``encoder``, and its name."""
    used = {
        name: value
        for name, value in asdict(config).items()
        if name not in UNUSED_SETTINGS[encoder]
    }
    return used if encoder == MFCC else {"voice_encoder": encoder, **used}


def _checked(
    choices: VoiceChoices, encoder: str, require: Callable[[VoiceConfig], None]
) -> VoiceConfig:
    """Return the settings if they go together and ``encoder`` has all that were changed."""
    config, usual = choices.mfcc, asdict(VoiceConfig())
    for name in UNUSED_SETTINGS[encoder]:
        if getattr(config, name) != usual[name]:
            raise VoiceEncoderError(
                f"{name} is a setting of the MFCC, which {encoder} does not have"
            )
    try:
        require(config)
    except ValueError as error:
        raise VoiceEncoderError(str(error)) from error
    return config


def _by_backend(made: VoiceBlueprint, encoder: str) -> VoiceBlueprint:
    """Return ``made`` with its backend noted; torch makes the vectors in batches."""
    config = made.reader.config
    if config.backend != "torch":
        return replace(made, notes={"backend": config.backend})

    def load(device: str) -> Encode:
        import torch

        from .voice_torch import BATCHES

        make, on = BATCHES[encoder], torch.device(device)
        return lambda recordings: make(recordings, config, on)

    return replace(
        made,
        reader=SampleReader(config),
        load=load,
        notes={"backend": "torch"},
        batch_size=GPU_BATCH,
    )
