"""Layout: a way in which the files of an image-voice data set lie in folders, and its reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ivr.config import config

from .manifest import Manifest

OPTIONAL = {"captions": "--captions", "class_lists": "--class-lists", "json": "--json"}
"""Sources that some layouts do not use, with their options on the command line."""


@config
class Sources:
    """Folders and files that a layout is read from.

    Attributes:
        images: Folder of the images; its subfolders are searched too.
        voices: Folder of the voices; without it the manifest has images alone.
        captions: File ``*_caps.txt`` with five lines per image, in the order of ``*_filename.txt``
            beside it, or else of the images 1, 2, 3 and so on.
        class_lists: Folder of text files, one per class, with one image name per line.
        json: File ``dataset_*.json`` with splits and sentences.
        table: CSV file with the columns image and voice and any other column of a manifest; its
            values override what file names say.
    """

    images: Path
    voices: Path | None = None
    captions: tuple[Path, ...] = ()
    class_lists: Path | None = None
    json: Path | None = None
    table: Path | None = None


@dataclass(frozen=True)
class Layout:
    """A layout of files and its reader.

    Attributes:
        text: one line for the help of ``ivr prepare`` and the docs: which files the layout has.
        read: returns the manifest, or raises a ``ManifestError`` if a class or a pair of image and
            voice cannot be proved.
        uses: names of the optional sources that ``read`` uses; others are refused.
    """

    text: str
    read: Callable[[Sources], Manifest]
    uses: tuple[str, ...] = tuple(OPTIONAL)
