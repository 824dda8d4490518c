"""All voice encoders by name: those of this package and of other packages; imports no torch."""

from collections.abc import Callable
from dataclasses import asdict, replace

from ivr.extensions import extension_names, is_reference, load_extension
from ivr.names import unknown

from .spectral_encoders import log_mel, mfcc, spectrogram
from .speech_folder import TRANSFORMERS, transformers
from .voice_blueprint import VoiceBlueprint, VoiceEncoderError
from .voice_encoder_config import LOG_MEL, MFCC, SPECTROGRAM, UNUSED_SETTINGS, VoiceChoices

GROUP = "ivr.voice_encoders"


def voice_blueprint(choices: VoiceChoices) -> VoiceBlueprint:
    """Return the blueprint of the voice encoder that ``choices`` name; loads no weights.

    Its settings hold the choices too, so that a later query is encoded in the same way; those of
    MFCC, log-mel spectra and spectrograms are their own.

    Raises:
        UnknownNameError: there is no such encoder.
        VoiceEncoderError: it cannot be used with these choices.
        ExtensionError: the encoder of another package cannot be loaded.
    """
    name = choices.encoder.voice_encoder
    made = _maker(name)(choices)
    if not isinstance(made, VoiceBlueprint):
        raise VoiceEncoderError(
            f"{name}: returns {type(made).__name__}, not an "
            "ivr.features.voice_blueprint.VoiceBlueprint"
        )
    if name in UNUSED_SETTINGS:
        return made
    chosen = asdict(choices.encoder) | {"trim_silence": choices.mfcc.trim_silence}
    return replace(
        made,
        settings={**chosen, **made.settings},
        notes={"voice_encoder": name, **made.notes},
    )


def _maker(name: str) -> Callable[[VoiceChoices], VoiceBlueprint]:
    kind, colon, _ = name.partition(":")
    if kind == TRANSFORMERS or (kind in VOICE_ENCODERS and not colon):
        return VOICE_ENCODERS[kind]
    names = (*VOICE_ENCODERS, *extension_names(GROUP))
    if name not in names and not is_reference(name):
        raise unknown("voice encoder", name, names, "transformers:FOLDER, or module:function")
    made: Callable[[VoiceChoices], VoiceBlueprint] = load_extension(GROUP, name)
    return made


VOICE_ENCODERS: dict[str, Callable[[VoiceChoices], VoiceBlueprint]] = {
    MFCC: mfcc,
    LOG_MEL: log_mel,
    SPECTROGRAM: spectrogram,
    TRANSFORMERS: transformers,
}
