"""Which windows of a scene are encoded; imports no torch."""

from typing import Annotated

from pydantic import Field

from ivr.config import config


@config
class WindowConfig:
    """Which windows of a scene are encoded.

    Attributes:
        tile: Side of the windows of a scene, pixels; best as large as the images that the model was
            trained on, at the same size of a pixel.
        overlap: Share of a window of a scene that the next one covers too, from 0 to 0.95; with 0.5
            each part of the scene is looked at in up to four windows.
    """

    tile: Annotated[int, Field(ge=8, le=8192)] = 256
    overlap: Annotated[float, Field(ge=0, le=0.95)] = 0.5
