"""The settings that features were made with, as later queries are made with them; no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ivr.features.image_bands import PixelConfig
from ivr.features.mfcc import VoiceConfig
from ivr.pipeline.runtime.config_options import StoredConfigError, from_json

from .feature_schema import LATER, compared_settings


def recorded_voice_config(settings: Mapping[str, Any], source: str) -> VoiceConfig:
    """Return the MFCC that voice features with ``settings`` were made with.

    Args:
        settings: settings of a voice feature file.
        source: name of the run or model in messages.

    Raises:
        StoredConfigError: a setting is missing or has a value that this version does not have.
    """
    names = compared_settings(VoiceConfig.__dataclass_fields__)
    return from_json(VoiceConfig, chosen_settings({**LATER, **settings}, names, source))


def recorded_pixels(settings: Mapping[str, Any]) -> PixelConfig:
    """Return how the bands of images became pixels for image features with ``settings``.

    Raises:
        StoredConfigError: values that this version does not have.
    """
    return from_json(PixelConfig, settings.get("pixels", asdict(PixelConfig())))


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
