"""What a source says of items that an archive has already, compared and brought up to date."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from .archive import Archive
from .sources import SourceItems

BLOCK = 1 << 16
"""Rows that are compared, and written as one version, at once."""


def update_columns(archive: Archive, items: SourceItems, row_ids: Sequence[int]) -> int:
    """Write what a source says of items to their rows where these say something else.

    Columns that the source lacks stay as they are, and so do codes.

    Args:
        archive: an archive.
        items: items that it has.
        row_ids: the row of each of them.

    Returns:
        Number of rows that changed.

    Raises:
        ArchiveError: a column of another type, or the archive cannot be written.
    """
    updated = 0
    if not items.columns.num_columns:
        return 0
    for start in range(0, len(row_ids), BLOCK):
        part = items.part(range(start, min(start + BLOCK, len(row_ids))))
        changed = _changed(archive, part, row_ids[start : start + BLOCK])
        archive.update(changed)
        updated += len(changed)
    return updated


def _changed(archive: Archive, items: SourceItems, row_ids: Sequence[int]) -> pa.Table:
    """Return modality, name and columns of those of ``items`` whose rows differ from them."""
    names = items.columns.column_names
    held: pa.Table = archive.rows(row_ids, [name for name in names if name in archive.schema.names])
    differs = pa.array([False] * len(items.names))
    for name in names:
        new = items.columns[name].combine_chunks()
        if name not in held.column_names:
            differs = pc.or_(differs, new.is_valid())
            continue
        old = held[name].combine_chunks()
        other_value = pc.fill_null(pc.not_equal(new, old), False)
        differs = pc.or_(differs, pc.or_(other_value, pc.xor(new.is_null(), old.is_null())))
    key = {
        "modality": pa.array([items.modality] * len(items.names), pa.string()),
        "name": pa.array(items.names, pa.string()),
    }
    whole = pa.table({**key, **{name: items.columns[name] for name in names}})
    return whole.filter(differs)
