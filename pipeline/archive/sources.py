"""Sources of an archive: the items of a manifest, or the images of a folder, with their columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from ivr.config import OptionError
from ivr.pipeline.datasets.canonical_names import canonical_key
from ivr.pipeline.datasets.manifest import Manifest, read_manifest
from ivr.pipeline.datasets.manifest_columns import as_text, further_columns
from ivr.pipeline.datasets.manifest_row import name_fault
from ivr.pipeline.datasets.pairing import IMAGE_SUFFIXES
from ivr.pipeline.datasets.passed_over import files_below

from .item_columns import (
    DESCRIBED,
    OWN,
    TYPES,
    converted,
    require_further_column,
    type_of,
)
from .lance_library import ArchiveError

NONE = pa.table({})

WINDOW = re.compile(r"#\d+,\d+,\d+,\d+$")
"""End of the name of a window of a scene."""
_DEGREES = {"west": 180.0, "south": 90.0, "east": 180.0, "north": 90.0}
"""Columns of the box in degrees, with the largest value of each."""
_OF_IMAGES = ("label", "split", "group")
_OF_VOICES = (*_OF_IMAGES, "caption", "speaker", "image")
"""Columns that every manifest may have."""


@dataclass(frozen=True)
class SourceItems:
    """Items of one modality of a source, row for row.

    Attributes:
        modality: ``image`` or ``voice``.
        root: absolute folder that the files are relative to.
        files: path of each file below the root.
        names: name of each item in the archive: its file with a prefix.
        columns: columns of the source that describe the items, of the types of the archive, with
            missing values where they are empty; a folder has none.
        refused: why a file of a folder cannot be added under its name, by this name.
    """

    modality: str
    root: Path
    files: tuple[str, ...]
    names: tuple[str, ...]
    columns: pa.Table
    refused: Mapping[str, str] = field(default_factory=dict)

    def part(self, places: Sequence[int]) -> "SourceItems":
        """Return the items at ``places``, without files that were refused."""
        return SourceItems(
            self.modality,
            self.root,
            tuple(self.files[place] for place in places),
            tuple(self.names[place] for place in places),
            self.columns.take(pa.array(places, pa.int64())) if self.columns.num_columns else NONE,
        )


@dataclass(frozen=True)
class Roots:
    """Folders that the names of a manifest are relative to, None for the manifest's own.

    Attributes:
        images: folder of the images.
        voices: folder of the voices.
    """

    images: Path | None = None
    voices: Path | None = None


def read_source(
    source: Path, schema: pa.Schema, roots: Roots, *, prefix: str, accept_spellings: bool
) -> tuple[SourceItems, ...]:
    """Return the images and the voices of ``source``, as far as it has any.

    Args:
        source: a manifest, or a folder whose images are taken with all folders below it.
        schema: columns of the archive, whose types the source must fit.
        roots: folders that names of a manifest are relative to.
        prefix: text before each name.
        accept_spellings: see :func:`ivr.pipeline.datasets.manifest.read_manifest`.

    Raises:
        ManifestError: a manifest that cannot be used.
        OptionError: a prefix that no name can begin with, or roots for a folder.
        ArchiveError: no images, or a column of another type.
    """
    require_prefix(prefix)
    if source.is_dir():
        if roots != Roots():
            raise OptionError(f"{source}: a folder is its own root; give roots with a manifest")
        return (_of_folder(source.absolute(), prefix),)
    manifest = read_manifest(source, accept_spellings=accept_spellings)
    try:
        return _of_manifest(manifest, source.absolute().parent, schema, roots, prefix)
    except ArchiveError as error:
        raise ArchiveError(f"{source}: {error}") from error


def require_prefix(prefix: str) -> None:
    """Refuse a prefix that no name of an archive can begin with.

    Raises:
        OptionError: it is none.
    """
    fault = name_fault(prefix)
    if fault:
        raise OptionError(f"prefix: {prefix!r} {fault}")


def refuse_windows(source: Path, items: SourceItems) -> None:
    """Refuse files that are named as the windows of a scene are.

    Raises:
        ArchiveError: there is one.
    """
    for file in items.files:
        if WINDOW.search(file):
            raise ArchiveError(
                f"{source}: {file} is named as the window of a scene is; rename the file, or bring "
                "the columns of a window up to date with ivr archive update"
            )


def _of_folder(folder: Path, prefix: str) -> SourceItems:
    """Return the images of a folder; those whose names no item can have are refused one by one."""
    named = sorted(
        name for name in files_below(folder) if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
    )
    if not named:
        raise ArchiveError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    faults = {name: name_fault(name) for name in named}
    files = tuple(name for name, fault in faults.items() if not fault)
    refused = {prefix + name: f"its name {fault}" for name, fault in faults.items() if fault}
    return SourceItems("image", folder, files, _named(files, prefix), NONE, refused)


def _of_manifest(
    manifest: Manifest, folder: Path, schema: pa.Schema, roots: Roots, prefix: str
) -> tuple[SourceItems, ...]:
    kinds = _types(manifest.columns, schema)
    found = []
    for modality, rows, root in (
        ("image", manifest.image_rows(), roots.images),
        ("voice", manifest.voice_rows(), roots.voices),
    ):
        if len(rows):
            files = tuple(rows[modality].to_pylist())
            table = pa.table({**_known(rows, modality), **_further(rows, kinds)})
            place = (root or folder).absolute()
            found.append(SourceItems(modality, place, files, _named(files, prefix), table))
    return tuple(found)


def _known(rows: pa.Table, modality: str) -> dict[str, pa.ChunkedArray]:
    """Return the columns that every manifest may have; one without any value says nothing."""
    columns = {}
    for name in _OF_VOICES if modality == "voice" else _OF_IMAGES:
        values = _or_null(rows[name])
        if values.null_count < len(rows):
            columns[name] = values
    return columns


def _or_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text with null for ``""``."""
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _further(
    rows: pa.Table, kinds: Mapping[str, pa.DataType]
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """Return the further columns of a manifest, of the types ``kinds``.

    Raises:
        ArchiveError: a value of another type, or a box that does not lie on the globe.
    """
    found = {_own_name(name): _of_type(rows[name], name, kind) for name, kind in kinds.items()}
    for name, most in _DEGREES.items():
        if name in found:
            beyond = found[name].filter(pc.greater(pc.abs(found[name]), most))
            if len(beyond):
                raise ArchiveError(
                    f"column {name}: {beyond[0].as_py():g} is not from -{most:g} to {most:g} "
                    "degrees; convert it"
                )
    if {"south", "north"} <= found.keys():
        turned = pc.any(pc.greater(found["south"], found["north"])).as_py()
        if turned:
            raise ArchiveError("a value of the column south is above that of north; correct it")
    return found


def _types(columns: pa.Table, schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the type of each further column.

    It is that of the archive, or else that of the column itself, or what its texts say. Whole
    numbers of the archive become floats if the column has floats. A column of texts that are all
    empty says nothing: it is left out, since its type would stay.
    """
    kinds: dict[str, pa.DataType] = {}
    for name in further_columns(columns):
        own = _own_name(name)
        if own in DESCRIBED:
            kinds[name] = OWN[own]
            continue
        require_further_column(own)
        held = schema.field(own).type if own in schema.names else None
        if held not in (None, TYPES["integer"]):
            kinds[name] = held
            continue
        said = _said_type(columns[name])
        widened = said == TYPES["float"]
        if said is not None or held is not None:
            kinds[name] = said if held is None or widened else held
    return kinds


def _said_type(column: pa.ChunkedArray) -> pa.DataType | None:
    """Return the archive's type for what a column says; None if all of it is empty text."""
    given, texts = _given_type(column.type), as_text(column)
    if given or pc.any(pc.not_equal(texts, "")).as_py():
        return given or TYPES[type_of(texts.to_pylist())]
    return None


def _given_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the archive's type for numbers, truth values and times; None for anything else."""
    if pa.types.is_integer(kind):
        return TYPES["integer"]
    if pa.types.is_floating(kind):
        return TYPES["float"]
    if pa.types.is_boolean(kind):
        return TYPES["boolean"]
    is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return TYPES["timestamp"] if is_time else None


def _of_type(column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Return a column of a manifest as ``kind``; a time without a zone is UTC, NaN is missing.

    Raises:
        ArchiveError: a value of another type.
    """
    given = _given_type(column.type)
    widened = (given, kind) == (TYPES["integer"], TYPES["float"])
    if given is None or not (given == kind or widened):
        return converted(name, as_text(column).to_pylist(), kind)
    try:
        typed = column.cast(kind)
    except pa.ArrowInvalid as error:
        raise ArchiveError(
            f"column {name}: {str(error).splitlines()[0]}; correct it, or rename the column"
        ) from error
    if not pa.types.is_floating(kind):
        return typed
    return pc.if_else(pc.is_nan(typed), pa.scalar(None, kind), typed)


def _own_name(name: str) -> str:
    """Return the name of a column in the archive; the case of the archive's own does not count."""
    key = canonical_key(name)
    return key if key in OWN else name


def _named(files: Sequence[str], prefix: str) -> tuple[str, ...]:
    return tuple(prefix + file for file in files)
