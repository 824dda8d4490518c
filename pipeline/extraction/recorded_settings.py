"""The settings that features were made with, as later queries are made with them; no torch."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ivr.features.image_bands import PixelConfig
from ivr.features.image_input import ImageInput
from ivr.features.mfcc import VoiceConfig
from ivr.features.spectral_encoders import used_settings
from ivr.features.voice_blueprint import VoiceBlueprint, VoiceEncoderError
from ivr.features.voice_encoder_config import (
    MFCC,
    UNUSED_SETTINGS,
    VoiceChoices,
    VoiceEncoderConfig,
)
from ivr.features.voice_encoders import voice_blueprint
from ivr.pipeline.runtime.config_options import StoredConfigError, from_json

from .feature_schema import LATER, NOT_COMPARED, different_settings

BESIDE = ("stored", "shape", "streams")
"""Settings of a feature file that the voice encoder does not have by itself."""


def recorded_voice_encoder(settings: Mapping[str, Any], name: str, source: str) -> VoiceBlueprint:
    """Return the voice encoder that voice features with ``settings`` were made with.

    Args:
        settings: settings of a voice feature file.
        name: the encoder as ``--voice-encoder`` names it; not read for those that need no weights.
        source: name of the run or model in messages.

    Raises:
        StoredConfigError: a setting is missing or has a value that this version does not have.
        VoiceEncoderError: the encoder is not there, or another one by now.
    """
    kind = settings.get("voice_encoder", MFCC)
    if kind in UNUSED_SETTINGS:
        config = recorded_voice_config(settings, source)
        return voice_blueprint(VoiceChoices(VoiceEncoderConfig(kind), config))
    names = [one for one in VoiceEncoderConfig.__dataclass_fields__ if one != "voice_encoder"]
    chosen = chosen_settings(settings, names, source)
    encoder = from_json(VoiceEncoderConfig, {**chosen, "voice_encoder": name})
    trim = settings.get("trim_silence", VoiceConfig.trim_silence)
    mfcc = from_json(VoiceConfig, {**asdict(VoiceConfig()), "trim_silence": trim})
    try:
        made = voice_blueprint(VoiceChoices(encoder, mfcc))
    except VoiceEncoderError as error:
        raise VoiceEncoderError(f"the voice encoder of {source}: {error}") from error
    own = {one: value for one, value in settings.items() if one not in BESIDE}
    found = different_settings(own, json.loads(json.dumps(dict(made.settings))))
    if found:
        setting, before, now = found[0]
        raise VoiceEncoderError(
            f"{name}: is not the voice encoder of {source}: {setting} {now} instead of {before}"
        )
    return made


def recorded_voice_config(settings: Mapping[str, Any], source: str) -> VoiceConfig:
    """Return the MFCC, log-mel spectrum or spectrogram that ``settings`` are of.

    Args:
        settings: settings of a voice feature file.
        source: name of the run or model in messages.

    Raises:
        StoredConfigError: a setting is missing or has a value that this version does not have.
    """
    used = used_settings(VoiceConfig(), settings.get("voice_encoder", MFCC))
    names = [name for name in used if name not in (*NOT_COMPARED, "voice_encoder")]
    return from_json(VoiceConfig, chosen_settings({**LATER, **settings}, names, source))


def recorded_pixels(settings: Mapping[str, Any]) -> PixelConfig:
    """Return how the bands of images became pixels for image features with ``settings``.

    Raises:
        StoredConfigError: values that this version does not have.
    """
    return from_json(PixelConfig, settings.get("pixels", asdict(PixelConfig())))


def recorded_input(settings: Mapping[str, Any], source: str) -> ImageInput:
    """Return how pictures became the input of the network for image features with ``settings``.

    Args:
        settings: settings of an image feature file.
        source: name of the run or model in messages.

    Raises:
        StoredConfigError: a setting is missing or has a value that this version does not have.
    """
    side = chosen_settings(settings, ("size",), source)["size"]
    return from_json(ImageInput, {**settings.get("input", {}), "side": side})


def chosen_settings(
    settings: Mapping[str, Any], names: Iterable[str], source: str
) -> dict[str, Any]:
    """Return the ``names`` among ``settings``.

    Raises:
        StoredConfigError: one is missing.
    """
    wanted = list(names)
    lacking = [name for name in wanted if name not in settings]
    if lacking:
        raise StoredConfigError(f"{source}: its features lack {', '.join(lacking)}")
    return {name: settings[name] for name in wanted}
