"""Choice of the voice encoder; imports neither torch nor transformers."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat

from ivr.config import config

from .mfcc import VoiceConfig

MFCC, LOG_MEL, SPECTROGRAM = "mfcc", "log-mel", "spectrogram"
UNUSED_SETTINGS = {
    MFCC: (),
    LOG_MEL: ("coefficients", "delta_width"),
    SPECTROGRAM: ("mels", "coefficients", "delta_width"),
}
"""The voice encoders that need no weights, and the settings of the MFCC that each does not have."""


@config
class VoiceEncoderConfig:
    """Voice encoder.

    Attributes:
        voice_encoder: What turns a voice into a sequence: ``mfcc`` (the features of the papers),
            ``log-mel`` (the mel bands that MFCC are made from), ``spectrogram`` (the power of each
            frequency), ``transformers:FOLDER`` for a pretrained speech encoder (Whisper, HuBERT,
            wav2vec 2.0 or WavLM) in a folder that transformers saved, an encoder of another package
            by its name, or ``module:function``.
        voice_layer: Layer of a pretrained speech encoder whose outputs are taken, from 1 for the
            first; 0 takes the last of Whisper and three quarters of the others.
        voice_pooling: Number of frames of a pretrained speech encoder, usually of 20 ms, that are
            averaged into one; 0 takes 2.
        voice_seconds: Length that a pretrained speech encoder keeps of a voice in seconds; the
            length of the others is set by their frames.
    """

    voice_encoder: str = MFCC
    voice_layer: NonNegativeInt = 0
    voice_pooling: NonNegativeInt = 0
    voice_seconds: Annotated[PositiveFloat, Field(le=30)] = 5.0

    def __post_init__(self) -> None:
        """Refuse choices that only pretrained speech encoders have."""
        defaults = VoiceEncoderConfig.__dataclass_fields__
        changed = [
            name
            for name in ("voice_layer", "voice_pooling", "voice_seconds")
            if getattr(self, name) != defaults[name].default
        ]
        if self.voice_encoder in UNUSED_SETTINGS and changed:
            raise ValueError(
                f"{changed[0]} is for pretrained speech encoders; {self.voice_encoder} has "
                "settings of its own"
            )


@dataclass(frozen=True)
class VoiceChoices:
    """Everything that the user chose about voices: a voice encoder is made from it.

    Attributes:
        encoder: the encoder and its choices.
        mfcc: settings of MFCC, log-mel spectra and spectrograms; of these ``trim_silence`` holds
            for every encoder.
    """

    encoder: VoiceEncoderConfig = field(default_factory=VoiceEncoderConfig)
    mfcc: VoiceConfig = field(default_factory=VoiceConfig)
