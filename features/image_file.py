"""Reading images: JPEG, PNG, TIFF and JPEG 2000, recognised by content.

Orientation in EXIF and in TIFF is ignored: scenes seen from above have no upright. Pixels without
data are 0. What becomes of bands and of values deeper than 8 bits is chosen by
:class:`ivr.features.image_bands.PixelConfig`.
"""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .image_bands import PixelConfig
from .image_input import ImageInput
from .image_kinds import image_kind
from .jpeg_file import read_jpeg
from .media import MAX_PIXELS, MediaError, check_pixels, read_bytes
from .png_file import checked_png_depth, damaged_png, read_png
from .raster_process import read_raster_apart
from .tiff_pages import bytes_at, scene_pages, without_orientation

READER = "2: GDAL for TIFF, JPEG 2000 and deep PNG; no data, masks and alpha 0 are left out"
"""What decides the pixels besides the choices of the user; recorded with the vectors."""

# Exceptions of PIL's readers for damaged data. Found by flipping bytes and cutting files (about
# 60 000 of them): OSError (with UnidentifiedImageError), SyntaxError, ValueError,
# struct.error, TypeError and OverflowError, LookupError (a PNG profile that ends early). Found by
# reading its source: MemoryError (codecs).
_PIL_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    TypeError,
    OverflowError,
    LookupError,
    MemoryError,
)


def read_image(
    path: Path, shape: ImageInput | None = None, pixels: PixelConfig | None = None
) -> np.ndarray:
    """Return the image in ``path``, see :func:`decode_image`.

    Raises:
        MediaError, RasterReaderError: as there, or the file cannot be read.
    """
    return decode_image(read_bytes(path), shape, pixels)


def decode_image(
    data: bytes, shape: ImageInput | None = None, pixels: PixelConfig | None = None
) -> np.ndarray:
    """Return the image that ``data`` holds: RGB, or the bands that ``pixels`` names.

    Args:
        data: content of a JPEG, PNG, TIFF or JPEG 2000 file.
        shape: the input of a network that the image is made for; ``None`` keeps the size.
        pixels: which bands are taken, and how deep values become 8 bits; the defaults if None.

    Returns:
        uint8 [bands, height, width], or [bands, side, side]; three bands unless ``pixels`` names
        another number.

    Raises:
        MediaError: the content is of another kind, too large, damaged or empty of data, or has no
            such bands.
        RasterReaderError: the reader of TIFF and JPEG 2000 does not start.
    """
    picture = _picture(data, pixels or PixelConfig())
    if shape is not None:
        picture = shape.fitted(picture)
    return np.repeat(picture, 3, 0) if len(picture) == 1 else picture


def _picture(data: bytes, pixels: PixelConfig) -> np.ndarray:
    """Return uint8 [1 or 3, height, width]."""
    kind = image_kind(data)
    if kind == "JPEG":
        return read_jpeg(data, pixels.bands)
    if kind == "PNG":
        return _png(data, pixels)
    if kind == "TIFF":
        scenes = scene_pages(bytes_at(data), join=pixels.join_pages)
        for page in scenes:
            check_pixels(page.width, page.height)
        numbers = [page.number for page in scenes]
        return read_raster_apart(without_orientation(data, scenes), "GTiff", numbers, pixels)
    if kind == "JPEG 2000":
        return read_raster_apart(data, "JP2OpenJPEG", (), pixels)
    raise MediaError("not a JPEG, PNG, TIFF or JPEG 2000 image")


def _png(data: bytes, pixels: PixelConfig) -> np.ndarray:
    if checked_png_depth(data) > 8:
        return read_raster_apart(data, "PNG", (), pixels)
    try:
        # PIL warns of large images, which check_pixels decides on, and of metadata that is not
        # used.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_png(data, pixels.bands)
    except Image.DecompressionBombError as error:
        raise MediaError(f"more than {MAX_PIXELS} pixels; cut it into tiles") from error
    except MediaError:
        raise
    except UnidentifiedImageError as error:  # its message has an address in memory
        raise damaged_png("its header") from error
    except _PIL_ERRORS as error:
        raise damaged_png(str(error) or type(error).__name__) from error
