"""Opening images and voices that come from elsewhere.

A file is read whole, told apart by its first bytes (never by its name) and measured from its header
before any of it is decoded. Whatever is wrong with it is a :class:`MediaError` in one line; the
decoders' warnings and own exceptions stay inside.

Images. JPEG, PNG and TIFF; the first page or frame of several. Orientation in EXIF is ignored:
scenes seen from above have no upright. Alpha and any other band after the third are dropped. CMYK
in JPEG is taken as Adobe writes it, inverted. Remote sensing sensors fill 11 or 12 of 16 bits, so
that the upper byte of a pixel is nearly black: an image deeper than 8 bits is stretched linearly
from its 2nd to its 98th percentile (taken over all bands together, so that one band does not gain
on another) to 0..255.

Voices. WAV (PCM and float), FLAC and Ogg, by libsndfile only.
"""

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import soundfile
from PIL import Image, ImageFile, TiffImagePlugin

from ivr.errors import IvrError

MAX_BYTES = 1 << 30
"""Largest file that is read, bytes."""

MAX_PIXELS = 100_000_000
"""Largest image that is decoded, pixels."""

MAX_SECONDS = 600
"""Longest voice that is decoded, seconds."""

MAX_CHANNELS = 16
"""Most channels of a voice."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 192_000
"""Sample rates of a voice, Hz."""

MAX_AMPLITUDE = 2.0**31
"""Largest sample of a voice: that of 32-bit integers written as float. Powers of more overflow."""

STRETCH_PERCENTILES = (2.0, 98.0)
"""What becomes 0 and 255 in images deeper than 8 bits."""

WAV_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
"""What the samples of a WAV file may be, in libsndfile's words."""

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

# What PIL's readers of these formats raise for damaged data. Found by flipping bytes and cutting
# files (some 60 000 of them): OSError (with UnidentifiedImageError), SyntaxError, ValueError,
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

# ffmpeg writes 0xFFFFFFFF into a pipe where the size of the samples belongs, sox and espeak-ng
# 0x7FFFF000 less a part of a block. Sizes from here on cannot be meant: MAX_BYTES is less.
_STREAMED = 0x7FFF_0000

# libsndfile's length of a FLAC stream whose header gives none.
_UNKNOWN_FRAMES = 2**63 - 1

_BLOCK = 1 << 20

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class MediaError(IvrError):
    """An image or voice that cannot be used: one line, without the name of the file."""


def read_image(path: Path, size: int | None = None) -> np.ndarray:
    """Return the image in ``path``, RGB.

    Args:
        path: a JPEG, PNG or TIFF file.
        size: height and width to resize to, pixels; the whole scene is squashed (bilinear,
            antialiased, rounded to uint8). ``None`` keeps the size.

    Returns:
        uint8 [3, height, width], or [3, size, size].

    Raises:
        MediaError: the file cannot be read, is of another kind, too large or damaged.
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    data = _read(path)
    kind = next((kind for head, kind in _IMAGE_KINDS.items() if data.startswith(head)), None)
    if kind is None:
        raise MediaError("not a JPEG, PNG or TIFF image")
    if kind == "TIFF":
        _check_bands(data)
    pixels = _decode(data, kind)
    return pixels if size is None else _resize(pixels, size)


def read_voice(path: Path) -> tuple[np.ndarray, int]:
    """Return the samples in ``path`` and their rate.

    Args:
        path: a WAV, FLAC or Ogg file.

    Returns:
        float32 [samples], the mean of the channels, -1 to +1 unless a float file holds more; and
        the sample rate, Hz.

    Raises:
        MediaError: the file cannot be read, is of another kind, too long, empty, damaged, shorter
            than its header says, or holds values that are no sound.
    """
    data = _read(path)
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        data = _with_sizes(data)
    elif data.startswith(b"OggS"):
        _check_pages(data)
    elif not data.startswith(b"fLaC"):
        raise MediaError("not a WAV, FLAC or Ogg file")
    try:
        with soundfile.SoundFile(BytesIO(data)) as sound:
            _check_sound(sound)
            samples = _mono(sound)
            sample_rate = int(sound.samplerate)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise MediaError(f"damaged or not supported ({reason})") from error
    return samples, sample_rate


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise MediaError("not a file" if path.exists() else "no such file")
        length = path.stat().st_size
        if length > MAX_BYTES:
            raise MediaError(f"{length} bytes, more than the {MAX_BYTES} that are read")
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})") from error
    if not data:
        raise MediaError("empty file")
    return data


def _decode(data: bytes, kind: str) -> np.ndarray:
    try:
        # PIL warns of sizes that MAX_PIXELS decides on, and of metadata that is not used;
        # torchvision 0.29 that its decoders move to another package.
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
    """Refuse bands that PIL does not read, or (16-bit RGB) cuts to their upper byte silently."""
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
    """Return uint8 [3, height, width] by the quickest decoder that is safe and right."""
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
    """Return uint8 [3, height, width], PIL's values in two thirds of its time.

    JPEG only: torchvision's PNG decoder (0.29) ends the process on some damaged files.
    """
    import torch
    from torchvision import io

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        return cast(np.ndarray, io.decode_jpeg(encoded, mode=io.ImageReadMode.RGB).numpy())
    except RuntimeError as error:
        raise _undecodable("JPEG") from error


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how PIL finds the pixels stored, e.g. ``RGB;16B`` for big-endian 16-bit colours."""
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
    # Where both percentiles are one value, what lies above it is white and the rest black.
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


def _with_sizes(data: bytes) -> bytes:
    """Return a WAV file with the sizes that a program writing into a pipe could not know.

    libsndfile reads what there is of a file that was cut; the size of the samples in the header
    tells. That of the whole file does not: writers get it wrong, and what follows the samples
    (tags) may be missing.
    """
    (whole,) = struct.unpack_from("<I", data, 4)
    offset = 12
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        held = len(data) - offset - 8
        if name == b"data":
            if size >= _STREAMED or (size == 0 and whole == 0):
                sizes = struct.pack("<I", len(data) - 8), struct.pack("<I", held)
                return b"RIFF" + sizes[0] + data[8 : offset + 4] + sizes[1] + data[offset + 8 :]
            if size > held:
                raise MediaError(f"cut short: {held} of {size} bytes of samples")
            return data
        offset += 8 + size + size % 2
    raise MediaError("cut short before its samples")


def _check_pages(data: bytes) -> None:
    """Refuse an Ogg stream with damaged or missing pages; libsndfile reads it as a shorter one."""
    start, flags = 0, 0
    while start < len(data):
        header = data[start : start + 27]
        if len(header) < 27 or not header.startswith(b"OggS"):
            raise MediaError(f"damaged or cut short: no Ogg page at byte {start}")
        body = start + 27 + header[26]
        end = body + sum(data[start + 27 : body])
        page = data[start : start + 22] + bytes(4) + data[start + 26 : end]
        if _ogg_checksum(page) != struct.unpack_from("<I", header, 22)[0]:
            raise MediaError(
                f"damaged or cut short: wrong checksum of the Ogg page at byte {start}"
            )
        start, flags = end, header[5]
    if not flags & 4:
        raise MediaError("cut short: the last page of the Ogg stream is missing")


def _ogg_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page (RFC 3533) whose own checksum is set to 0.

    It is zlib's CRC with the bits of all bytes and of the result in reverse order, begun with 0.
    """
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)


def _check_sound(sound: soundfile.SoundFile) -> None:
    if sound.format in ("WAV", "WAVEX") and sound.subtype not in WAV_SUBTYPES:
        raise MediaError(f"WAV of {sound.subtype}; convert it to 16-bit PCM")
    if sound.channels > MAX_CHANNELS:
        raise MediaError(f"{sound.channels} channels, more than {MAX_CHANNELS}")
    if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
        raise MediaError(
            f"sample rate of {sound.samplerate} Hz, "
            f"not within {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        )
    if sound.frames == _UNKNOWN_FRAMES:
        raise MediaError("does not say how long it is; write it to a file, not into a pipe")
    if sound.frames > MAX_SECONDS * sound.samplerate:
        raise MediaError(f"longer than {MAX_SECONDS} s; cut it into sentences")


def _mono(sound: soundfile.SoundFile) -> np.ndarray:
    """Return float32 [samples], read in blocks: 16 channels of 600 s would fill the memory."""
    blocks: list[np.ndarray] = []
    count = 0
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        _check_values(block)
        blocks.append(block.mean(axis=1))
        count += len(block)
    if count < sound.frames:
        raise MediaError(f"cut short: {count} of {sound.frames} samples")
    if not count:
        raise MediaError("holds no samples")
    return np.concatenate(blocks)


def _check_values(block: np.ndarray) -> None:
    if not np.isfinite(block).all():
        raise MediaError("holds NaN or infinite samples")
    if np.abs(block).max() > MAX_AMPLITUDE:
        raise MediaError(f"holds samples beyond {MAX_AMPLITUDE:g}; scale it to -1 to +1")
