"""Choices of ``ivr check``; the command line reads them, so this module imports nothing heavy."""

from dataclasses import field

from pydantic import NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.features.image_bands import PixelConfig
from ivr.features.mfcc import VoiceConfig

from .split_config import Cut


@config
class CheckConfig:
    """Choices of ``ivr check``.

    Attributes:
        split: Shares of the split that is drawn for items without a split in the manifest.
        seed: Seed of the drawn split; training with the same seed draws the same split.
        pixels: How the bands of an image file become a picture in the extraction.
        voice: MFCC settings of the extraction: they decide which voices are too short or are cut.
        accept_spellings: Take several spellings of one label, speaker or group as one name, as
            ``extract --accept-spellings`` does, and note them; they are problems otherwise.
        jobs: Number of threads that read files.
    """

    split: Cut = "80/20"
    seed: NonNegativeInt = 0
    pixels: PixelConfig = field(default_factory=PixelConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    accept_spellings: bool = False
    jobs: PositiveInt | None = None
