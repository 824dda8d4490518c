"""The manifest: pairs of image and voice, and the class of each."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ivr.features.atomic_files import FileKind, replaced, replaced_text
from ivr.pipeline.runtime.words import counted

from .canonical_names import Spellings, invisible_names, spellings_in
from .manifest_columns import (
    as_text,
    check_columns,
    columns_of,
    first_rows,
    further_columns,
    read_columns,
    refuse_conflicts,
    refuse_repeated_voices,
    rows_of,
)
from .manifest_row import COLUMNS
from .manifest_row import SPLITS as SPLITS
from .manifest_row import ManifestError as ManifestError
from .manifest_row import ManifestRow as ManifestRow
from .parquet_table import PARQUET
from .spreadsheet import may_have_columns

REQUIRED = ("image", "voice", "label")
ONE_SPELLING = ("label", "speaker", "group")
"""Columns in which two spellings of one name are refused or merged."""
_WRITTEN_AT_ONCE = 1 << 16  # rows


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


class Manifest:
    """The checked rows of a manifest; its repr counts what they hold.

    They are held as columns. Rows and items are Python objects, made when they are asked for: a
    million of them take seconds and a gigabyte, so that large sets are read by their columns.

    Attributes:
        columns: the columns of :class:`ManifestRow` as text without nulls, then all others with
            their types, in file order; no result depends on the order of the rows.
        merged: spellings that were merged, so that ``columns`` have one of each name.
    """

    columns: pa.Table
    merged: tuple[Spellings, ...]

    def __init__(self, rows: Sequence[ManifestRow], merged: Sequence[Spellings] = ()) -> None:
        """Check what can be checked without opening a file.

        Raises:
            ManifestError: no rows, one that cannot be used, one voice in two rows, or an image with
                two labels, splits or groups.
        """
        columns = columns_of(rows)
        check_columns(columns)
        self._hold(columns, merged)

    @classmethod
    def of_columns(cls, columns: pa.Table, merged: Sequence[Spellings] = ()) -> "Manifest":
        """Return the manifest with these columns.

        Args:
            columns: the columns of :class:`ManifestRow` as text without nulls, and others.
            merged: spellings that were merged.

        Raises:
            ManifestError: see :class:`Manifest`.
        """
        check_columns(columns)
        return cls._of_checked(columns, merged)

    @classmethod
    def _of_checked(cls, columns: pa.Table, merged: Sequence[Spellings]) -> "Manifest":
        """Return the manifest with these columns, whose rows were checked one by one."""
        manifest = cls.__new__(cls)
        manifest._hold(columns, merged)
        return manifest

    def _hold(self, columns: pa.Table, merged: Sequence[Spellings]) -> None:
        if not len(columns):
            raise ManifestError("the manifest has no rows")
        self.columns, self.merged = columns, tuple(merged)
        refuse_repeated_voices(columns)
        refuse_conflicts(columns, *self._images)

    @cached_property
    def _images(self) -> tuple[np.ndarray, np.ndarray]:
        return first_rows(self.columns["image"])

    @cached_property
    def rows(self) -> tuple[ManifestRow, ...]:
        """The rows in file order; values of further columns are text."""
        return rows_of(self.columns)

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` has the same columns and merged spellings."""
        return (
            isinstance(other, Manifest)
            and self.columns.equals(other.columns)
            and self.merged == other.merged
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return the numbers of images, voices and classes, and of the images per split."""
        images, voices = self.image_rows(), self.voice_rows()
        counts = dict(zip(*_value_counts(images["split"]), strict=True))
        splits = ", ".join(f"{split} {counts[split]}" for split in SPLITS if split in counts)
        labels = len(set(pc.unique(self.columns["label"]).to_pylist()) - {""})
        return (
            f"Manifest({counted(len(images), 'image')}, {counted(len(voices), 'voice')}, "
            f"{counted(labels, 'class')}; "
            f"images per split: {splits or 'none'})"
        )

    def images(self) -> tuple[Item, ...]:
        """Return every image once, in order of first appearance."""
        return _items(self.image_rows(), "image")

    def voices(self) -> tuple[Item, ...]:
        """Return every voice, in order of appearance."""
        return _items(self.voice_rows(), "voice")

    def image_rows(self) -> pa.Table:
        """Return the row in which each image stands first, in file order, with all columns."""
        return self.columns.take(pa.array(self._images[1]))

    def voice_rows(self) -> pa.Table:
        """Return the row of each voice, in file order, with all columns."""
        return self.columns.filter(pc.not_equal(self.columns["voice"], ""))

    def image_names(self) -> list[str]:
        """Return the names of :meth:`images`."""
        names: list[str] = self.columns["image"].take(pa.array(self._images[1])).to_pylist()
        return names

    def voice_names(self) -> list[str]:
        """Return the names of :meth:`voices`."""
        voices = self.columns["voice"]
        names: list[str] = voices.filter(pc.not_equal(voices, "")).to_pylist()
        return names


def read_manifest(
    path: str | Path, required: Sequence[str] = REQUIRED, *, accept_spellings: bool = False
) -> Manifest:
    """Return the manifest in the file ``path``.

    Args:
        path: Parquet, or CSV in UTF-8 or UTF-16 with commas, semicolons or tabs, as the first bytes
            of the file tell; the columns of :class:`ManifestRow`, and others, which are kept.
        required: columns that must be there; the others are taken as empty.
        accept_spellings: merge the spellings of one name, and list them as ``merged``.

    Raises:
        ManifestError: unreadable file, missing column, a row that cannot be used, or two spellings
            of one label, speaker or group.
    """
    try:
        return of_one_spelling(read_columns(Path(path), required), accept=accept_spellings)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def of_one_spelling(columns: pa.Table, *, accept: bool) -> Manifest:
    """Return the manifest of ``columns``, in which each label, speaker and group has one spelling.

    Args:
        columns: columns of rows that were checked, whose names may have several spellings.
        accept: merge these spellings; otherwise they are an error.

    Raises:
        ManifestError: two spellings of one name, or rows that do not fit together.
    """
    found = tuple(
        spellings for name in ONE_SPELLING for spellings in spellings_in(name, columns[name])
    )
    if found and not accept:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ManifestError(
            f"several spellings of one name: {found[0]}{more}; write each name in one way, "
            "or merge them with --accept-spellings of ivr prepare or ivr extract"
        )
    for name in ONE_SPELLING:
        kept = {
            given: one.kept
            for one in found
            if one.column == name
            for given, _ in one.counts
            if given != one.kept
        }
        # Invisible characters alone are no name.
        kept |= dict.fromkeys(invisible_names(columns[name]), "")
        if kept:
            place = columns.column_names.index(name)
            columns = columns.set_column(place, name, _respelled(columns[name], kept))
    return Manifest._of_checked(columns, found)


def _is_manifest(head: bytes) -> bool:
    return may_have_columns(head, REQUIRED)


MANIFEST = FileKind("a manifest", _is_manifest)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write ``manifest`` to ``path``; optional columns without a value are left out.

    Args:
        path: written as Parquet, with the types of the further columns, if the name ends in
            ``.parquet``, else as CSV.
        manifest: what is written.

    Raises:
        InTheWayError: ``path`` is something else than a manifest of that form.
    """
    columns = manifest.columns
    used = [
        name
        for name in COLUMNS
        if name in REQUIRED or pc.any(pc.not_equal(columns[name], "")).as_py()
    ]
    columns = columns.select(used + further_columns(columns))
    if path.suffix.lower() == ".parquet":
        with replaced(path, PARQUET) as target:
            pyarrow.parquet.write_table(_with_nulls(columns, used), target)
        return
    with replaced_text(path, MANIFEST) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.column_names)
        texts = pa.table({name: as_text(columns[name]) for name in columns.column_names})
        for batch in texts.to_batches(_WRITTEN_AT_ONCE):
            writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


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


def _items(rows: pa.Table, name: str) -> tuple[Item, ...]:
    """Return the items of ``rows`` that the column ``name`` names."""
    group = rows["group"]
    for column in ("image", "voice"):
        group = pc.if_else(pc.equal(group, ""), rows[column], group)
    of_voices = [
        rows[column].to_pylist() if name == "voice" else repeat("")
        for column in ("speaker", "caption")
    ]
    known = (rows[column].to_pylist() for column in (name, "image", "label", "split"))
    return tuple(map(Item, *known, group.to_pylist(), *of_voices))


def _respelled(column: pa.ChunkedArray, kept: dict[str, str]) -> pa.ChunkedArray:
    """Return ``column`` with the spelling that ``kept`` gives of each name."""
    encoded = column.combine_chunks().dictionary_encode()
    names = [kept.get(name, name) for name in encoded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(names, pa.string()).take(encoded.indices)])


def _value_counts(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    counts = pc.value_counts(column)
    return counts.field("values").to_pylist(), counts.field("counts").to_pylist()


def _with_nulls(columns: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return ``columns`` with null for ``""`` in the columns ``names``."""
    for place, name in enumerate(columns.column_names):
        if name in names:
            column = columns[name]
            null = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            columns = columns.set_column(place, name, null)
    return columns
