"""The manifest: pairs of image and voice, and the class of each."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ivr.errors import IvrError
from ivr.features.atomic_files import FileKind, replaced_text
from ivr.features.regular_files import UnreadableFileError
from ivr.pipeline.runtime.words import counted

from .canonical_names import Spellings, canonical_key, find_spellings, visible
from .spreadsheet import Table, TableError, may_have_columns, read_table

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
ONE_SPELLING = ("label", "speaker", "group")
"""Columns in which two spellings of one name are refused or merged."""


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
REQUIRED = ("image", "voice", "label")
# Control characters, backslashes and names that are not UTF-8 (surrogates stand for their bytes).
NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
# pathlib takes most of the time of reading a manifest, so that it sees only such names.
NOT_PLAIN = re.compile(r"//|(^|/)\.|/$")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Item:
    """One image or one voice with its columns of the manifest.

    Attributes:
        name: path below its root; identifies the item everywhere.
        image: the image it is or belongs to, ``""`` for a voice without an image.
        label: class name, ``""`` if unknown.
        split: ``train``, ``val``, ``test`` or ``""``.
        group: items of one group stay together when splits are drawn.
        speaker: name of the speaker of a voice, else ``""``.
        caption: sentence of a voice, else ``""``.
    """

    name: str
    image: str
    label: str
    split: str
    group: str
    speaker: str
    caption: str


@dataclass(frozen=True, repr=False)
class Manifest:
    """The checked rows of a manifest; its repr counts what they hold.

    Attributes:
        rows: the rows in file order; no result depends on the order.
        merged: spellings that were merged, so that ``rows`` have one of each name.
    """

    rows: tuple[ManifestRow, ...]
    merged: tuple[Spellings, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without opening a file."""
        if not self.rows:
            raise ManifestError("the manifest has no rows")
        for number, row in enumerate(self.rows, 1):
            _check_row(row, f"row {number}")
        _refuse_repeated_voices(self.rows)
        _refuse_conflicts(self.rows)

    def __repr__(self) -> str:
        """Return the numbers of images, voices and classes, and of the images per split."""
        images, voices = self.images(), self.voices()
        counts = Counter(image.split for image in images)
        splits = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
        return (
            f"Manifest({counted(len(images), 'image')}, {counted(len(voices), 'voice')}, "
            f"{counted(len(classes(images + voices)), 'class')}; "
            f"images per split: {splits or 'none'})"
        )

    def images(self) -> tuple[Item, ...]:
        """Return every image once, in order of first appearance."""
        first = {row.image: row for row in reversed(self.rows) if row.image}
        names = dict.fromkeys(row.image for row in self.rows if row.image)
        return tuple(_item(name, first[name], voice=False) for name in names)

    def voices(self) -> tuple[Item, ...]:
        """Return every voice, in order of appearance."""
        return tuple(_item(row.voice, row, voice=True) for row in self.rows if row.voice)


def read_manifest(
    path: str | Path, required: Sequence[str] = REQUIRED, *, accept_spellings: bool = False
) -> Manifest:
    """Return the manifest in the CSV file ``path``.

    Args:
        path: UTF-8 or UTF-16, with commas, semicolons or tabs; the columns of ``ManifestRow``, and
            others, which are kept.
        required: columns that must be there; the others are taken as empty.
        accept_spellings: merge the spellings of one name, and list them as ``merged``.

    Raises:
        ManifestError: unreadable file, missing column, a row that cannot be used, or two spellings
            of one label, speaker or group.
    """
    try:
        rows = read_rows(Path(path), required)
        return of_one_spelling(rows, accept=accept_spellings)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def read_rows(path: Path, required: Sequence[str]) -> tuple[ManifestRow, ...]:
    """Return the rows of the CSV file ``path``, whose names may have several spellings.

    Raises:
        ManifestError: as :func:`read_manifest`, without the name of the file.
    """
    try:
        table = read_table(path, required)
    except (UnreadableFileError, TableError) as error:
        raise ManifestError(str(error)) from error
    places = _known_columns(table.columns, required)
    others = _other_columns(table)
    return tuple(_row(cells, places, others, f"line {line}") for line, cells in table.rows)


def of_one_spelling(rows: Sequence[ManifestRow], *, accept: bool) -> Manifest:
    """Return the manifest of ``rows``, in which each label, speaker and group has one spelling.

    Args:
        rows: rows whose names may have several spellings.
        accept: merge these spellings; otherwise they are an error.

    Raises:
        ManifestError: two spellings of one name, or rows that cannot be used.
    """
    names = {column: Counter(getattr(row, column) for row in rows) for column in ONE_SPELLING}
    found = tuple(
        spellings for column in ONE_SPELLING for spellings in find_spellings(column, names[column])
    )
    if found and not accept:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ManifestError(
            f"several spellings of one name: {found[0]}{more}; write each name in one way, "
            "or merge them with --accept-spellings of ivr prepare or ivr extract"
        )
    kept = {
        (one.column, name): one.kept for one in found for name, _ in one.counts if name != one.kept
    }
    # Invisible characters alone are no name.
    kept |= {
        (column, name): ""
        for column in ONE_SPELLING
        for name in names[column]
        if name and not visible(name)
    }
    return Manifest(tuple(_respelled(row, kept) for row in rows) if kept else tuple(rows), found)


@lru_cache(maxsize=1024)
def split_of(name: str) -> str:
    """Return ``train``, ``val`` or ``test`` for a name of that split, else ``""``."""
    return SPLIT_NAMES.get(canonical_key(name), "")


def _is_manifest(head: bytes) -> bool:
    return may_have_columns(head, REQUIRED)


MANIFEST = FileKind("a manifest", _is_manifest)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write ``manifest`` to ``path``; optional columns without a value are left out.

    Raises:
        InTheWayError: ``path`` is something else than a manifest.
    """
    used = [
        name
        for name in COLUMNS
        if name in REQUIRED or any(getattr(row, name) for row in manifest.rows)
    ]
    others = list(dict.fromkeys(name for row in manifest.rows for name, _ in row.more))
    with replaced_text(path, MANIFEST) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(used + others)
        for row in manifest.rows:
            more = dict(row.more)
            known = [getattr(row, name) for name in used]
            writer.writerow(known + [more.get(name, "") for name in others])


def classes(items: Iterable[Item]) -> tuple[str, ...]:
    """Return the class names of ``items`` in alphabetical order, without ``""``."""
    return tuple(sorted({item.label for item in items} - {""}))


def resolve(root: Path, name: str) -> Path:
    """Return the file ``name`` below ``root``.

    Raises:
        ManifestError: the name leaves ``root`` through a link.
    """
    path = root / name
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before 3.13
        raise ManifestError(f"{name}: cannot be followed below {root} ({error})") from error
    if not inside:
        raise ManifestError(f"{name}: leads out of {root} through a link; copy the file in")
    return path


def check_name(name: str, place: str) -> None:
    """Refuse a name that is not a path below a root.

    Args:
        name: path in a manifest, ``""`` for none.
        place: line or row of the manifest, for the message.

    Raises:
        ManifestError: an absolute path, ``..``, a backslash, a control character and the like.
    """
    if NOT_IN_A_NAME.search(name):
        raise ManifestError(
            f"{place}: {name!r} is not a path with forward slashes, in UTF-8, "
            "without control characters"
        )
    if name != name.strip():
        raise ManifestError(f"{place}: {name!r} begins or ends with a space; rename the file")
    if name.startswith("/") or (".." in name and ".." in PurePosixPath(name).parts):
        raise ManifestError(
            f"{place}: {name} must be a path below the root, without '..'; "
            "give the folder with --root"
        )


def _known_columns(columns: Sequence[str], required: Sequence[str]) -> dict[str, int]:
    """Return the place of each known column; the case of its name does not count."""
    names = [canonical_key(column) for column in columns]
    missing = [name for name in required if name not in names]
    if missing:
        raise ManifestError(
            f"no column {', '.join(missing)}; needed are {', '.join(required)}, "
            f"found {', '.join(columns) or 'none'}"
        )
    counts = Counter(name for name in names if name)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise ManifestError(f"column {', '.join(repeated)} stands twice")
    return {name: names.index(name) for name in COLUMNS if name in names}


def _other_columns(table: Table) -> dict[str, int]:
    """Return the place of each column that is only kept."""
    for place, column in enumerate(table.columns):
        filled = (line for line, cells in table.rows if cells[place])
        if not column and (line := next(filled, 0)):
            raise ManifestError(f"line {line}: column {place + 1} holds a value and has no name")
    return {
        column: place
        for place, column in enumerate(table.columns)
        if column and canonical_key(column) not in COLUMNS
    }


def _row(
    cells: Sequence[str], places: dict[str, int], others: dict[str, int], place: str
) -> ManifestRow:
    values = {name: cells[column] for name, column in places.items()}
    for name in ("image", "voice"):
        values[name] = _plain(values.get(name, ""))
    values.setdefault("label", "")
    given = values.get("split", "")
    values["split"] = split_of(given) or given
    row = ManifestRow(**values, more=tuple((name, cells[at]) for name, at in others.items()))
    _check_row(row, place)
    return row


def _respelled(row: ManifestRow, kept: dict[tuple[str, str], str]) -> ManifestRow:
    """Return ``row`` with the spelling of each name that ``kept`` gives for column and name."""
    label, speaker, group = (
        kept.get((column, name), name)
        for column, name in zip(ONE_SPELLING, (row.label, row.speaker, row.group), strict=True)
    )
    return replace(row, label=label, speaker=speaker, group=group)


def _plain(name: str) -> str:
    """Return ``name`` without ``./`` and doubled slashes: one file has one name."""
    return str(PurePosixPath(name)) if NOT_PLAIN.search(name) else name


def _check_row(row: ManifestRow, place: str) -> None:
    if not row.image and not row.voice:
        raise ManifestError(f"{place}: neither an image nor a voice")
    if row.split not in ("", *SPLITS):
        raise ManifestError(
            f"{place}: split must be {', '.join(SPLITS)} (or another name of these, such as "
            f"validation), got {row.split!r}"
        )
    for column in ("label", "speaker", "group"):
        if CONTROL.search(getattr(row, column)):
            raise ManifestError(f"{place}: {column} {getattr(row, column)!r} is not one plain line")
    for name in (row.image, row.voice):
        check_name(name, place)


def _refuse_repeated_voices(rows: Sequence[ManifestRow]) -> None:
    keys = Counter((row.voice or row.image, bool(row.voice)) for row in rows)
    (name, is_voice), count = keys.most_common(1)[0]
    if is_voice and count > 1:
        raise ManifestError(f"duplicate row: voice {name} stands in {count} rows")
    repeated = [name for (name, is_voice), count in keys.items() if not is_voice and count > 1]
    if repeated:
        raise ManifestError(f"duplicate row: image {repeated[0]} stands twice without a voice")


def _refuse_conflicts(rows: Sequence[ManifestRow]) -> None:
    for column in ("label", "split", "group"):
        seen: dict[str, str] = {}
        for row in rows:
            value = getattr(row, column)
            if row.image and seen.setdefault(row.image, value) != value:
                raise ManifestError(
                    f"image {row.image} has two values of {column}: "
                    f"{seen[row.image]!r} and {value!r}"
                )


def _item(name: str, row: ManifestRow, *, voice: bool) -> Item:
    return Item(
        name=name,
        image=row.image,
        label=row.label,
        split=row.split,
        group=row.group or row.image or row.voice,
        speaker=row.speaker if voice else "",
        caption=row.caption if voice else "",
    )
