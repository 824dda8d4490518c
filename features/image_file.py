"""Reading images: JPEG, PNG and TIFF; the first page or frame of several.

Orientation in EXIF is ignored: scenes seen from above have no upright. Alpha and any other band
after the third are dropped. CMYK in JPEG is taken as Adobe writes it, inverted. Remote sensing
sensors fill 11 or 12 of 16 bits, so that the upper byte of a pixel is nearly black: an image deeper
than 8 bits is stretched linearly from its 2nd to its 98th percentile to 0..255. The percentiles are
taken over all bands together, so that one band does not gain on another.
"""

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from .media import MediaError, read_bytes

MAX_PIXELS = 100_000_000
"""Largest image that is decoded, pixels."""

STRETCH_PERCENTILES = (2.0, 98.0)
"""Percentiles that become 0 and 255 in images deeper than 8 bits."""

_IMAGE_KINDS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")
_FLAT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

# Exceptions of PIL's readers for damaged data. Found by flipping bytes and cutting files (about
# 60 000 of them): OSError (with UnidentifiedImageError), SyntaxError, ValueError,
# struct.error, TypeError and OverflowError (TIFF tags of the wrong type), LookupError (a PNG
# profile that ends early). Found by reading its source: MemoryError (codecs). torchvision's JPEG
# decoder raises RuntimeError alone and libsndfile LibsndfileError alone, caught where they are
# called.
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


def read_image(path: Path, size: int | None = None) -> np.ndarray:
    """Return the image in ``path``, see :func:`decode_image`.

    Raises:
        MediaError: the file cannot be read, is of another kind, too large or damaged.
    """
    return decode_image(read_bytes(path), size)


def decode_image(data: bytes, size: int | None = None) -> np.ndarray:
    """Return the image that ``data`` holds, RGB.

    Args:
        data: content of a JPEG, PNG or TIFF file.
        size: height and width to resize to, pixels; the whole scene is squashed (bilinear,
            antialiased, rounded to uint8). ``None`` keeps the size.

    Returns:
        uint8 [3, height, width], or [3, size, size].

    Raises:
        MediaError: the content is of another kind, too large or damaged.
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    kind = next((kind for head, kind in _IMAGE_KINDS.items() if data.startswith(head)), None)
    if kind is None:
        raise MediaError("not a JPEG, PNG or TIFF image")
    if kind == "TIFF":
        _check_bands(data)
    pixels = _decode(data, kind)
    return pixels if size is None else _resize(pixels, size)


def _decode(data: bytes, kind: str) -> np.ndarray:
    try:
        # PIL warns of large images, which MAX_PIXELS decides on, and of metadata that is not used;
        # torchvision 0.29 warns that its decoders move to another package.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(BytesIO(data), formats=(kind,))
            _check_pixels(*image.size)
            return _pixels(data, kind, image)
    except Image.DecompressionBombError as error:
        raise MediaError(f"more than {MAX_PIXELS} pixels; cut it into tiles") from error
    except MediaError:
        raise
    except _PIL_ERRORS as error:
        raise _undecodable(kind) from error


def _undecodable(kind: str) -> MediaError:
    return MediaError(f"damaged, cut short, or a kind of {kind} that is not supported")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{width} x {height} pixels, more than {MAX_PIXELS} pixels; cut it into tiles"
        )


def _check_bands(data: bytes) -> None:
    """Refuse bands that PIL cannot read, or (16-bit RGB) silently cuts to the upper byte."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = TiffImagePlugin.ImageFileDirectory_v2(data[:16] if data[2] == 43 else data[:8])
            file = BytesIO(data)
            file.seek(tags.next)
            tags.load(file)
            bits = max(map(int, tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))))
            bands = int(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
    except _PIL_ERRORS as error:
        raise _undecodable("TIFF") from error
    if bands > 4 or (bands > 1 and bits > 8):
        raise MediaError(f"{bands} bands of {bits} bits; convert it to 8-bit RGB")


def _pixels(data: bytes, kind: str, image: ImageFile.ImageFile) -> np.ndarray:
    """Return uint8 [3, height, width] by the fastest decoder that is safe and correct."""
    if kind == "JPEG" and image.mode in ("L", "RGB"):
        return _torchvision_jpeg(data)
    if kind == "PNG" and image.mode != "I;16" and ";16" in _raw_mode(image):
        return _stretch(_colour_16(data, image))
    if image.mode in _DEEP_MODES:
        return _stretch(np.asarray(image)[None])
    if image.mode in _FLAT_MODES:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    raise MediaError(f"pixels of mode {image.mode}; convert it to 8-bit RGB")


def _torchvision_jpeg(data: bytes) -> np.ndarray:
    """Return uint8 [3, height, width]: the values of PIL in two thirds of its time.

    JPEG only: torchvision's PNG decoder (0.29) crashes the process on some damaged files.
    """
    import torch
    from torchvision import io

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        return cast(np.ndarray, io.decode_jpeg(encoded, mode=io.ImageReadMode.RGB).numpy())
    except RuntimeError as error:
        raise _undecodable("JPEG") from error


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return PIL's name of the stored pixel format, e.g. ``RGB;16B`` for big-endian 16 bits."""
    return str(image.tile[0].args) if image.tile else ""


def _colour_16(data: bytes, image: ImageFile.ImageFile) -> np.ndarray:
    """Return the colours of a 16-bit PNG, uint16 [3, height, width].

    PIL keeps the upper byte of such colours. Told that the other byte comes first, it keeps the
    lower one.
    """
    if not _raw_mode(image).startswith("RGB"):
        raise MediaError("16-bit grey with alpha; save it without alpha")
    lower = Image.open(BytesIO(data), formats=("PNG",))
    raw_mode = _raw_mode(lower).replace(";16B", ";16L")
    lower.tile = [tile._replace(args=raw_mode) for tile in lower.tile]
    values: np.ndarray = np.asarray(image).astype(np.uint16) << 8 | np.asarray(lower)
    return values[..., :3].transpose(2, 0, 1)


def _stretch(bands: np.ndarray) -> np.ndarray:
    """Return ``bands`` [1 or 3, height, width] of any depth as uint8 [3, height, width].

    Values that are not finite (no data) become 0.
    """
    values = bands.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise MediaError("holds no finite pixel")
    low, high = np.percentile(values[finite], STRETCH_PERCENTILES)
    # If both percentiles are equal, larger values become white and all others black.
    scaled = (np.where(finite, values, low) - low) * (255 / max(high - low, 1e-30))
    pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (3, *pixels.shape[1:])))


def _resize(pixels: np.ndarray, size: int) -> np.ndarray:
    import torch
    from torchvision.transforms.v2 import InterpolationMode, functional

    resized = functional.resize(
        torch.from_numpy(pixels),
        [size, size],
        interpolation=InterpolationMode.BILINEAR,
        antialias=True,
    )
    return cast(np.ndarray, resized.numpy())
