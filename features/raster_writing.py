"""GeoTIFF of numbers, made in memory; runs in the process of the worker."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from .atomic_files import HEAT_MAP_SOFTWARE


def geotiff(
    data: bytes,
    shape: Sequence[int],
    crs: str | None,
    transform: Sequence[float],
    descriptions: Sequence[str],
    tags: Mapping[str, str],
) -> np.ndarray:
    """Return the content of a GeoTIFF of float32, in which NaN means no data, as uint8 [bytes].

    Args:
        data: the values.
        shape: bands, rows and columns.
        crs: system of the coordinates; None for none.
        transform: the six numbers of the geotransform, in the order of rasterio.
        descriptions: name of each band.
        tags: what else the file says, by name.
    """
    bands, height, width = shape
    values = np.frombuffer(data, np.float32).reshape(bands, height, width)
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": bands,
        "dtype": "float32",
        "crs": crs,
        "transform": Affine(*transform),
        "nodata": float("nan"),
        "compress": "deflate",
        "predictor": 3,
        "interleave": "band",
        "blockysize": height,  # few strips: what follows their list stands near the start
        "bigtiff": "if_safer",
    }
    with rasterio.Env(), warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with file.open(**profile) as dataset:
            # Before the pixels, so that all this stands before them.
            dataset.update_tags(TIFFTAG_SOFTWARE=HEAT_MAP_SOFTWARE, **tags)
            dataset.descriptions = tuple(descriptions)
            dataset.write(values)
        return np.frombuffer(file.read(), np.uint8)
