"""Reading the files of a manifest: the one way of ``ivr extract`` and ``ivr check``.

What one of them can use, the other can: both find, read, decode and refuse a file here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ivr.features.media import MediaError

from .manifest import ManifestError, resolve

Made = TypeVar("Made")


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, and the reason."""

    name: str
    reason: str


def from_file(name: str, root: Path, make: Callable[[Path], Made]) -> Made | SkippedFile:
    """Return what ``make`` makes of the file ``name`` below ``root``, or why it cannot be used.

    Args:
        name: name in a manifest.
        root: folder that names are relative to.
        make: takes the path; reads it with :func:`ivr.features.media.read_bytes` and decodes it.
    """
    try:
        return make(resolve(root, name))
    except (MediaError, ManifestError) as error:
        return SkippedFile(name, str(error))
    except OSError as error:
        return SkippedFile(name, error.strerror or str(error))
