"""How pictures of any size become the square input of an image network; imports no torch.

The default squashes the whole picture. Networks that were trained on the middle of a larger picture
get that: the picture is resized first, and its centre is cut out, as ``timm`` and ``torchvision``
do for evaluation.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ivr.config import config

from .image_resize import Interpolation, resized

Side = Annotated[int, Field(ge=1, le=1 << 14)]


@config
class ImageInput:
    """The square input of an image network.

    Attributes:
        side: Side of the input, pixels.
        scaled: Side of the picture before its centre is cut out, pixels; 0 for ``side``, which cuts
            nothing off.
        fit: What gets the side ``scaled``: both sides (``squash``), or the shorter one
            (``shorter``), so that shapes keep their proportions and the ends of the longer side are
            cut off.
        interpolation: Kernel of the resizing.
        bands: Number of bands; grey pictures are repeated for three.
    """

    side: Side
    scaled: Annotated[int, Field(ge=0, le=1 << 14)] = 0
    fit: Literal["squash", "shorter"] = "squash"
    interpolation: Interpolation = "bilinear"
    bands: Annotated[int, Field(ge=1, le=256)] = 3

    def __post_init__(self) -> None:
        """Refuse a centre that is larger than the picture."""
        if self.scaled and self.scaled < self.side:
            raise ValueError(f"scaled must be 0 or at least side={self.side}, got {self.scaled}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the input: bands, rows and columns."""
        return self.bands, self.side, self.side

    @property
    def words(self) -> str:
        """How a picture gets this size."""
        scaled = self.scaled or self.side
        whole = f"whole image squashed to {scaled} x {scaled}"
        size = whole if self.fit == "squash" else f"shorter side resized to {scaled}"
        cut = (
            f", centre of {self.side} x {self.side} cut out"
            if self.fit == "shorter" or scaled > self.side
            else ""
        )
        return f"{size}{cut}, {self.interpolation}, antialias, uint8"

    def fitted(self, picture: np.ndarray) -> np.ndarray:
        """Return ``picture``, uint8 [channels, rows, columns], as uint8 [channels, side, side].

        Lengths and places are rounded as torchvision does.
        """
        height, width = self._scaled_size(*picture.shape[1:])
        whole = resized(picture, height, width, self.interpolation)
        top, left = round((height - self.side) / 2), round((width - self.side) / 2)
        return whole[:, top : top + self.side, left : left + self.side]

    def _scaled_size(self, height: int, width: int) -> tuple[int, int]:
        scaled = self.scaled or self.side
        if self.fit == "squash":
            return scaled, scaled
        if height <= width:
            return scaled, int(scaled * width / height)
        return int(scaled * height / width), scaled
