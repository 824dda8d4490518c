"""Stage: what a manifest says of the items of an archive, brought up to date without encoding."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .archive import Archive, open_archive
from .known_items import known_items
from .sources import Roots, SourceItems, read_source

BLOCK = 1 << 16


@dataclass(frozen=True, repr=False)
class UpdateResult(Result):
    """Outcome of an update.

    Attributes:
        archive: the archive.
        version: its version afterwards.
        updated: number of rows whose columns changed.
        unchanged: number of rows that said the same already.
        missing: number of items of the manifest that the archive does not have.
    """

    archive: str
    version: int
    updated: int
    unchanged: int
    missing: int

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        return (
            f"{self.archive}: version {self.version}, {counted(self.updated, 'row')} updated, "
            f"{self.unchanged} unchanged, {self.missing} not in the archive"
        )


def archive_update(
    archive: str | Path,
    manifest: str | Path,
    *,
    prefix: str = "",
    accept_spellings: bool = False,
) -> UpdateResult:
    """Bring label, caption, speaker and further columns of items up to date; encode nothing.

    Columns that the manifest lacks stay as they are. Items that the archive does not have are
    counted, not added. A window of a scene is an image named ``scene.tif#X,Y,WIDTH,HEIGHT``.

    Args:
        archive: an archive.
        manifest: a manifest.
        prefix: text before each name, as the items were added with.
        accept_spellings: merge several spellings of one label, speaker or group.

    Raises:
        ManifestError: a manifest that cannot be used.
        ArchiveError: a column of another type, or the archive cannot be written.
    """
    held = open_archive(archive)
    sources = read_source(
        Path(manifest), held.schema, Roots(), prefix=prefix, accept_spellings=accept_spellings
    )
    updated = unchanged = missing = 0
    for items in sources:
        known = known_items(held, items.modality, items.names)
        there = [place for place, name in enumerate(items.names) if name in known]
        missing += len(items.names) - len(there)
        for start in range(0, len(there), BLOCK):
            part = items.part(there[start : start + BLOCK])
            changed = _changed(held, part, [known[name].row_id for name in part.names])
            unchanged += len(part.names) - len(changed)
            held.update(changed)
            updated += len(changed)
    return UpdateResult(held.place, held.version, updated, unchanged, missing)


def _changed(archive: Archive, items: SourceItems, row_ids: list[int]) -> pa.Table:
    """Return modality, name and columns of those of ``items`` whose rows differ from them."""
    names = items.columns.column_names
    held: pa.Table = archive.rows(row_ids, [name for name in names if name in archive.schema.names])
    differs = np.zeros(len(items.names), bool)
    for name in names:
        new = items.columns[name].to_pylist()
        old = held[name].to_pylist() if name in held.column_names else [None] * len(new)
        differs |= np.array([one != other for one, other in zip(new, old, strict=True)], bool)
    key = {
        "modality": pa.array([items.modality] * len(items.names), pa.string()),
        "name": pa.array(items.names, pa.string()),
    }
    whole = pa.table({**key, **{name: items.columns[name] for name in names}})
    return whole.filter(pa.array(differs))
