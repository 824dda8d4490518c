"""Task of the parallel readers of an archive: one image file to its pixels and its place.

This module imports no torch.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.image_input import ImageInput
from ivr.features.raster_place import RasterPlace, raster_place
from ivr.pipeline.extraction.worker_tasks import FeatureRow, SkippedFile, row_of_file


@dataclass(frozen=True)
class PlacedRow(FeatureRow):
    """The pixels of one image file.

    Attributes:
        place: where and when it was taken, None for files that do not say.
    """

    place: RasterPlace | None = None


def decode_placed(
    name: str, root: Path, shape: ImageInput, pixels: PixelConfig
) -> PlacedRow | SkippedFile:
    """Return the pixels of the image ``name`` below ``root``, uint8 [3, side, side], and its place.

    Args:
        name: name of the image.
        root: folder that names are relative to.
        shape: the input of the network.
        pixels: which bands are taken, and how deep values become 8 bits.
    """
    places: list[RasterPlace | None] = []

    def read(data: bytes) -> tuple[np.ndarray, int]:
        places.append(raster_place(data))
        return decode_image(data, shape, pixels), 0

    row = row_of_file(name, root, read)
    return row if isinstance(row, SkippedFile) else PlacedRow(**vars(row), place=places[0])
