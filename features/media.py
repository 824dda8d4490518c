"""Files that come from elsewhere: common to images and voices.

A file is read whole, recognised by its first bytes (never by its name) and measured from its header
before any of it is decoded. Whatever is wrong with it is a :class:`MediaError` in one line; the
decoders' warnings and own exceptions stay inside :mod:`ivr.features.image_file` and
:mod:`ivr.features.voice_file`.
"""

from pathlib import Path

from ivr.errors import IvrError

from .regular_files import UnreadableFileError, read_regular

MAX_BYTES = 1 << 30
"""Largest file that is read, bytes."""
MAX_PIXELS = 100_000_000
"""Largest image that is decoded, pixels."""


class MediaError(IvrError):
    """An image or voice that cannot be used, in one line without the name of the file."""


def check_pixels(width: int, height: int) -> None:
    """Refuse an image that is too large to decode.

    Raises:
        MediaError: it has more than :data:`MAX_PIXELS` pixels, or none.
    """
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{width} x {height} pixels, more than {MAX_PIXELS} pixels; cut it into tiles"
        )
    if width < 1 or height < 1:
        raise MediaError(f"damaged: {width} x {height} pixels")


def read_bytes(path: Path) -> bytes:
    """Return the content of the file ``path``.

    Raises:
        MediaError: there is no such file, it is empty, too large, cannot be read, or changed while
            it was read.
    """
    try:
        data = read_regular(path, MAX_BYTES)
    except UnreadableFileError as error:
        raise MediaError(str(error)) from error
    if not data:
        raise MediaError("empty file")
    return data
