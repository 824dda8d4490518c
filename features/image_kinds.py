"""Kinds of image files, recognised by their first bytes, never by their name."""

_HEADS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}


def image_kind(head: bytes) -> str | None:
    """Return ``JPEG``, ``PNG``, ``TIFF`` or ``JPEG 2000``; None for anything else.

    Args:
        head: the first 12 bytes of the file, or more.
    """
    return next((kind for start, kind in _HEADS.items() if head.startswith(start)), None)
