"""One row of a manifest: its columns, and what makes a row unusable."""

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import PurePosixPath

from ivr.errors import IvrError

from .canonical_names import canonical_key

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "development": "val",
    "test": "test",
    "testing": "test",
}
"""Names of the splits in tables and lists, as keys, and what they mean."""


class ManifestError(IvrError):
    """A manifest that cannot be used; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One voice and the image it describes; either may be missing, not both.

    Attributes:
        image: path of the image below the image root, ``""`` for a voice without an image.
        voice: path of the voice below the voice root, ``""`` for an image without a voice.
        label: class name, ``""`` if unknown (the item can be encoded and searched only).
        split: ``train``, ``val``, ``test`` or ``""`` (training draws it).
        speaker: name of the speaker, ``""`` if unknown.
        caption: the sentence spoken, ``""`` if unknown.
        group: rows of one group stay on one side of a split (tiles of one scene), ``""`` for none.
        more: name and value of each further column, which are kept as they are.
    """

    image: str
    voice: str
    label: str
    split: str = ""
    speaker: str = ""
    caption: str = ""
    group: str = ""
    more: tuple[tuple[str, str], ...] = ()


COLUMNS = tuple(field.name for field in fields(ManifestRow) if field.name != "more")
# Control characters, backslashes and names that are not UTF-8 (surrogates stand for their bytes).
_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_NOT_PLAIN = re.compile(r"//|(^|/)\.|/$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@lru_cache(maxsize=1024)
def split_of(name: str) -> str:
    """Return ``train``, ``val`` or ``test`` for a name of that split, else ``""``."""
    return SPLIT_NAMES.get(canonical_key(name), "")


def check_row(row: ManifestRow, place: str) -> None:
    """Refuse a row that cannot be used.

    Args:
        row: a row, with the split as :data:`SPLITS` names it.
        place: line or row of the manifest, for the message.

    Raises:
        ManifestError: no name, a name that is not a path below a root, an unknown split, or a
            label, speaker or group that is not one plain line.
    """
    if not row.image and not row.voice:
        raise ManifestError(f"{place}: neither an image nor a voice")
    if row.split not in ("", *SPLITS):
        raise ManifestError(
            f"{place}: split must be {', '.join(SPLITS)} (or another name of these, such as "
            f"validation), got {row.split!r}"
        )
    for column in ("label", "speaker", "group"):
        if _CONTROL.search(getattr(row, column)):
            raise ManifestError(f"{place}: {column} {getattr(row, column)!r} is not one plain line")
    for name in (row.image, row.voice):
        check_name(name, place)


def check_name(name: str, place: str) -> None:
    """Refuse a name that is not a path below a root.

    Args:
        name: path in a manifest, ``""`` for none.
        place: line or row of the manifest, for the message.

    Raises:
        ManifestError: an absolute path, ``..``, a backslash, a control character and the like.
    """
    fault = name_fault(name)
    if fault:
        raise ManifestError(f"{place}: {name!r} {fault}")


def name_fault(name: str) -> str:
    """Return what is wrong with a name that is not a path below a root, ``""`` if it is one."""
    if _NOT_IN_A_NAME.search(name):
        return "is not a path with forward slashes, in UTF-8, without control characters"
    if name != name.strip():
        return "begins or ends with a space; rename the file"
    if name.startswith("/") or (".." in name and ".." in PurePosixPath(name).parts):
        return "must be a path below the root, without '..'; give the folder with --root"
    return ""


def plain_name(name: str) -> str:
    """Return ``name`` without ``./`` and doubled slashes: one file has one name."""
    return str(PurePosixPath(name)) if _NOT_PLAIN.search(name) else name
