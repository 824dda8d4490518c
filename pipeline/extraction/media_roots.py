"""Where the images and voices of a folder of features lie now."""

from collections.abc import Sequence
from pathlib import Path

from ivr.errors import IvrError

from .kept_manifest import MediaRoots, kept_roots

SAMPLED = 8
"""Names of which one must be there for a folder to be the right one."""


def media_roots(
    features: Path, images: Sequence[str], voices: Sequence[str], given: Path | None = None
) -> MediaRoots:
    """Return the folders that the names of images and voices are relative to.

    Args:
        features: the folder of the features.
        images: names of images that are wanted.
        voices: names of voices that are wanted.
        given: a folder that the user names; None to find them.

    Returns:
        The folder that is given, else those that the extraction recorded, else the nearest folder
        around the features that has such files.
    """
    if given is not None:
        return MediaRoots(given, given)
    try:
        recorded = kept_roots(features)
    except IvrError:  # ivr verify names what is damaged
        recorded = None
    around = (features, *features.parents[:2])
    return MediaRoots(
        _holding(images, (recorded.images, *around) if recorded else around),
        _holding(voices, (recorded.voices, *around) if recorded else around),
    )


def _holding(names: Sequence[str], folders: Sequence[Path]) -> Path:
    """Return the first of ``folders`` that has the file of one of ``names``, else the first."""
    some = names[:: max(1, len(names) // SAMPLED)]
    found = (folder for folder in folders if any((folder / name).is_file() for name in some))
    return next(found, folders[0])
