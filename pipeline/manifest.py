"""The manifest: which image goes with which voice, and the class of both."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

SPLITS = ("train", "val", "test")


class ManifestError(ValueError):
    """A manifest that cannot be used, in one line that says where and what to do."""


@dataclass(frozen=True)
class Row:
    """One voice and the image it describes; either may be missing, not both.

    Attributes:
        image: path of the image below the image root, ``""`` for a voice without an image.
        voice: path of the voice below the voice root, ``""`` for an image without a voice.
        label: class name, ``""`` where it is not known (can be encoded and searched only).
        split: ``train``, ``val``, ``test`` or ``""`` (to be drawn when training).
        speaker: who speaks, ``""`` where it is not known.
        caption: the sentence spoken, ``""`` where it is not known.
        group: rows of one group stay on one side of a split (tiles of one scene), ``""`` for none.
    """

    image: str
    voice: str
    label: str
    split: str = ""
    speaker: str = ""
    caption: str = ""
    group: str = ""


COLUMNS = tuple(field.name for field in fields(Row))
REQUIRED = ("image", "voice", "label")


@dataclass(frozen=True)
class Item:
    """One image or one voice with what the manifest says of it.

    Attributes:
        name: path below its root, the key of the item everywhere.
        image: the image it is or belongs to, ``""`` for a voice without an image.
        label: class name, ``""`` where it is not known.
        split: ``train``, ``val``, ``test`` or ``""``.
        group: key that keeps items together when splits are drawn.
        speaker: who speaks (voices), else ``""``.
        caption: sentence spoken (voices), else ``""``.
    """

    name: str
    image: str
    label: str
    split: str
    group: str
    speaker: str
    caption: str


@dataclass(frozen=True)
class Manifest:
    """The rows of a manifest, checked.

    Attributes:
        rows: the rows in file order; nothing downstream trusts the order.
    """

    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        """Check what can be checked without opening a file."""
        if not self.rows:
            raise ManifestError("the manifest has no rows")
        for number, row in enumerate(self.rows, 2):
            _check_row(row, number)
        _refuse_repeated_voices(self.rows)
        _refuse_conflicts(self.rows)

    def images(self) -> tuple[Item, ...]:
        """Return every image once, in order of first appearance."""
        first = {row.image: row for row in reversed(self.rows) if row.image}
        names = dict.fromkeys(row.image for row in self.rows if row.image)
        return tuple(_item(name, first[name], voice=False) for name in names)

    def voices(self) -> tuple[Item, ...]:
        """Return every voice, in order of appearance."""
        return tuple(_item(row.voice, row, voice=True) for row in self.rows if row.voice)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in the CSV file ``path``.

    Raises:
        ManifestError: unreadable file, missing column, or a row that cannot be used.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            _check_columns(columns)
            rows = tuple(_row(record, number) for number, record in enumerate(reader, 2))
        return Manifest(rows)
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a readable CSV file ({error})") from error
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write ``manifest`` to ``path`` with the columns that hold anything."""
    used = [
        name
        for name in COLUMNS
        if name in REQUIRED or any(getattr(row, name) for row in manifest.rows)
    ]
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(used)
        writer.writerows([getattr(row, name) for name in used] for row in manifest.rows)
    partial.replace(path)


def classes(items: Iterable[Item]) -> tuple[str, ...]:
    """Return the class names of ``items`` in alphabetical order, without the unknown one."""
    return tuple(sorted({item.label for item in items} - {""}))


def resolve(root: Path, name: str) -> Path:
    """Return the file ``name`` below ``root``.

    Raises:
        ManifestError: the name leaves ``root`` through a link.
    """
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise ManifestError(f"{name}: leads out of {root} through a link; copy the file in")
    return path


def _check_columns(columns: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ManifestError(
            f"no column {', '.join(missing)}; needed are {', '.join(REQUIRED)}, "
            f"found {', '.join(columns) or 'none'}"
        )
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise ManifestError(f"column {', '.join(repeated)} stands twice")


def _row(record: dict[str | None, str | None], number: int) -> Row:
    if None in record or None in record.values():
        raise ManifestError(f"line {number}: not as many fields as the header has columns")
    return Row(**{name: (record.get(name) or "").strip() for name in COLUMNS})


def _check_row(row: Row, number: int) -> None:
    if not row.image and not row.voice:
        raise ManifestError(f"line {number}: neither an image nor a voice")
    if row.split not in ("", *SPLITS):
        raise ManifestError(f"line {number}: split must be {', '.join(SPLITS)}, got {row.split!r}")
    for name in (row.image, row.voice):
        if "\0" in name or "\\" in name:
            raise ManifestError(f"line {number}: {name!r} is not a path with forward slashes")
        if name and (PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts):
            raise ManifestError(
                f"line {number}: {name} must be a path below the root, without '..'; "
                "give the folder with --root"
            )


def _refuse_repeated_voices(rows: Sequence[Row]) -> None:
    keys = Counter((row.voice or row.image, bool(row.voice)) for row in rows)
    (name, is_voice), count = keys.most_common(1)[0]
    if is_voice and count > 1:
        raise ManifestError(f"duplicate row: voice {name} stands in {count} rows")
    repeated = [name for (name, is_voice), count in keys.items() if not is_voice and count > 1]
    if repeated:
        raise ManifestError(f"duplicate row: image {repeated[0]} stands twice without a voice")


def _refuse_conflicts(rows: Sequence[Row]) -> None:
    for column in ("label", "split", "group"):
        seen: dict[str, str] = {}
        for row in rows:
            value = getattr(row, column)
            if row.image and seen.setdefault(row.image, value) != value:
                raise ManifestError(
                    f"image {row.image} has two values of {column}: "
                    f"{seen[row.image]!r} and {value!r}"
                )


def _item(name: str, row: Row, *, voice: bool) -> Item:
    return Item(
        name=name,
        image=row.image,
        label=row.label,
        split=row.split,
        group=row.group or row.image or row.voice,
        speaker=row.speaker if voice else "",
        caption=row.caption if voice else "",
    )
