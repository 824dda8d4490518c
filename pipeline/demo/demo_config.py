"""Choices of ``ivr demo``; the command line reads them, so this module imports no torch."""

from pydantic import NonNegativeInt, PositiveInt

from ivr.config import config

from .captions import captions
from .scenes import SCENES
from .speech import SPEAKERS


@config
class DemoConfig:
    """A small labelled set of drawn scenes and spoken captions.

    Attributes:
        images_per_class: Number of scenes per class.
        voices_per_image: Number of captions per scene; they differ in words and speaker.
        classes: Number of classes of scenes, from 2 to 8.
        seed: Seed of drawings, captions and speakers. Each image has a random stream of its own,
            so a larger set begins with the images of a smaller one.
    """

    images_per_class: PositiveInt = 24
    voices_per_image: PositiveInt = 2
    classes: int = 8
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        """Check the numbers against what can be drawn and spoken."""
        most = min(len(SPEAKERS), *(len(captions(label)) for label in SCENES))
        if self.voices_per_image > most:
            raise ValueError(f"voices_per_image must be 1 to {most}, got {self.voices_per_image}")
        if not 2 <= self.classes <= len(SCENES):
            raise ValueError(f"classes must be 2 to {len(SCENES)}, got {self.classes}")
