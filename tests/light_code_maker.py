"""A model of 16 bits that tests archives: the mean colour of a picture, the length of a voice."""

from collections.abc import Mapping

import numpy as np

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.image_input import ImageInput
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice_encoder_config import VoiceChoices
from ivr.features.voice_encoders import voice_blueprint
from ivr.pipeline.datasets.voice_warnings import VoiceWarning
from ivr.pipeline.extraction.query_streams import VoiceQueries
from ivr.pipeline.packing.calibration import Calibration

VOICE = VoiceConfig(frames=40, coefficients=5, mels=20)


class LightCodeMaker:
    """Codes that a test can foresee: two bytes per item."""

    bits = 16
    method = "made up"
    classes = ("forest", "pond", "river")
    input = ImageInput(8)
    pixels_config = PixelConfig()
    voices = VoiceQueries(voice_blueprint(VoiceChoices(mfcc=VOICE)), ["mfcc"], lambda: list)
    distance = "hamming"
    encodes_images = True

    def __init__(self, identity: str = "made up") -> None:
        self.identity = identity
        self.batches: list[int] = []
        self.calibrations: Mapping[str, Calibration] = {}

    def pixels(self, data: bytes) -> np.ndarray:
        """Return the pixels of an image file."""
        return decode_image(data, self.input, self.pixels_config)

    def streams(self, data: bytes) -> tuple[np.ndarray, int, tuple[VoiceWarning, ...]]:
        """Return the MFCC of a recording, its frames, and what is odd about it."""
        return self.voices.streams(data)

    def codes_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the means of the red and of the green channel."""
        assert pixels.shape[1:] == (3, 8, 8) and pixels.dtype == np.uint8
        self.batches.append(len(pixels))
        return pixels.mean(axis=(2, 3)).astype(np.uint8)[:, :2]

    def codes_of_streams(self, streams: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return the number of frames and the place of the largest coefficient."""
        assert streams.shape[1:] == (1, 5, 40)
        self.batches.append(len(streams))
        largest = np.abs(streams).sum(axis=(1, 3)).argmax(axis=1)
        return np.stack([frames, largest], axis=1).astype(np.uint8)
