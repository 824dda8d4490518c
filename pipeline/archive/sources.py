"""Sources of an archive: the items of a manifest, or the images of a folder, with their columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from ivr.pipeline.datasets.canonical_names import canonical_key
from ivr.pipeline.datasets.manifest import (
    Item,
    Manifest,
    ManifestError,
    ManifestRow,
    read_manifest,
)
from ivr.pipeline.datasets.manifest_row import check_name
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

WINDOW = re.compile(r"#\d+,\d+,\d+,\d+$")
"""End of the name of a window of a scene."""
_TEXTS = ("label", "caption", "speaker")


@dataclass(frozen=True)
class SourceItems:
    """Items of one modality of a source, row for row.

    Attributes:
        modality: ``image`` or ``voice``.
        root: absolute folder that the files are relative to.
        files: path of each file below the root.
        names: name of each item in the archive: its file with a prefix.
        columns: columns of the source that describe the items, of the types of the archive; the
            columns ``label``, ``caption`` and ``speaker`` are missing values where they are empty.
    """

    modality: str
    root: Path
    files: tuple[str, ...]
    names: tuple[str, ...]
    columns: pa.Table

    def part(self, places: Sequence[int]) -> "SourceItems":
        """Return the items at ``places``."""
        return SourceItems(
            self.modality,
            self.root,
            tuple(self.files[place] for place in places),
            tuple(self.names[place] for place in places),
            self.columns.take(pa.array(places, pa.int64())),
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
        ArchiveError: no images, a name that an archive cannot have, or a column of another type.
    """
    try:
        check_name(prefix, "prefix")
    except ManifestError as error:
        raise ArchiveError(str(error)) from error
    if source.is_dir():
        if roots != Roots():
            raise ArchiveError(f"{source}: a folder is its own root; give roots with a manifest")
        return (_of_folder(source.absolute(), prefix),)
    manifest = read_manifest(source, accept_spellings=accept_spellings)
    try:
        return _of_manifest(manifest, source.absolute().parent, schema, roots, prefix)
    except ArchiveError as error:
        raise ArchiveError(f"{source}: {error}") from error


def _of_folder(folder: Path, prefix: str) -> SourceItems:
    files = tuple(
        sorted(
            name
            for name in files_below(folder)
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        )
    )
    if not files:
        raise ArchiveError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    missing = pa.nulls(len(files), pa.string())
    columns = pa.table({name: missing for name in _TEXTS})
    return SourceItems("image", folder, files, _named(files, prefix), columns)


def _of_manifest(
    manifest: Manifest, folder: Path, schema: pa.Schema, roots: Roots, prefix: str
) -> tuple[SourceItems, ...]:
    image_rows: dict[str, ManifestRow] = {}
    for row in manifest.rows:
        image_rows.setdefault(row.image, row)
    voice_rows = {row.voice: row for row in manifest.rows}
    more = {id(row): dict(row.more) for row in manifest.rows}
    kinds = _types(list(more.values()), schema)
    found = []
    for modality, items, rows, root in (
        ("image", manifest.images(), image_rows, roots.images),
        ("voice", manifest.voices(), voice_rows, roots.voices),
    ):
        if items:
            files = tuple(item.name for item in items)
            own = [rows[name] for name in files]
            texts = [more[id(row)] for row in own]
            table = pa.table({**_known(items, own, modality), **_further(texts, kinds)})
            place = (root or folder).absolute()
            found.append(SourceItems(modality, place, files, _named(files, prefix), table))
    return tuple(found)


def _known(
    items: Sequence[Item], rows: Sequence[ManifestRow], modality: str
) -> dict[str, pa.Array]:
    """Return the columns that every manifest may have."""
    columns = {
        name: pa.array([getattr(item, name) or None for item in items], pa.string())
        for name in _TEXTS
    }
    others = ("image", "split", "group") if modality == "voice" else ("split", "group")
    for name in others:
        values = [getattr(row, name) or None for row in rows]
        if any(values):
            columns[name] = pa.array(values, pa.string())
    return columns


def _further(
    texts: Sequence[Mapping[str, str]], kinds: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    """Return the further columns of a manifest, of the types ``kinds``."""
    return {
        _own_name(name): converted(name, [row.get(name, "") for row in texts], kind)
        for name, kind in kinds.items()
    }


def _types(texts: Sequence[Mapping[str, str]], schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the type of each further column: that of the archive, or what its values say."""
    kinds: dict[str, pa.DataType] = {}
    for name in dict.fromkeys(name for row in texts for name in row):
        own = _own_name(name)
        if own in DESCRIBED:
            kinds[name] = OWN[own]
            continue
        require_further_column(own)
        if own in schema.names:
            kinds[name] = schema.field(own).type
        else:
            kinds[name] = TYPES[type_of([row.get(name, "") for row in texts])]
    return kinds


def _own_name(name: str) -> str:
    """Return the name of a column in the archive; the case of the archive's own does not count."""
    key = canonical_key(name)
    return key if key in OWN else name


def _named(files: Sequence[str], prefix: str) -> tuple[str, ...]:
    for file in files:
        if WINDOW.search(file):
            raise ArchiveError(f"{file}: named as the window of a scene is; rename the file")
    return tuple(prefix + file for file in files)
