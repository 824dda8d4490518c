"""Items of a source that an archive has already, and rows that stand in it twice."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .archive import Archive
from .code_batches import ROW_ID
from .item_columns import MODALITIES
from .item_rows import with_kept_columns
from .lance_library import one_of

SEVERAL = 500  # row ids per condition


@dataclass(frozen=True)
class KnownItem:
    """An item that an archive has.

    Attributes:
        row_id: its row.
        stamp: stamp of the file that its code was made from.
        root: folder that the file was found below.
    """

    row_id: int
    stamp: int
    root: str


def known_items(archive: Archive, modality: str, names: Collection[str]) -> dict[str, KnownItem]:
    """Return those of ``names`` that the archive has, by name; one pass over its names.

    Of two rows with one name, which two writers can leave that add it at the same moment, the one
    with the larger row id counts; the other is removed.
    """
    found: dict[str, KnownItem] = {}
    repeated = False
    for row in _rows(archive, modality, names):
        item = KnownItem(row[ROW_ID], row["stamp"], row["root"])
        before = found.get(row["name"])
        repeated = repeated or before is not None
        if before is None or before.row_id < item.row_id:
            found[row["name"]] = item
    if repeated:
        remove_repeated(archive, {modality: names})
    return found


def remove_repeated(archive: Archive, names: Mapping[str, Collection[str]] | None = None) -> int:
    """Remove the rows whose modality and name stand in a later row too; return their number.

    Args:
        archive: an archive, which reads the version without them afterwards.
        names: names to look at, by modality; all if None.
    """
    archive.refresh()
    repeated: list[int] = []
    for modality in MODALITIES:
        wanted = _repeated_names(archive, modality) if names is None else names.get(modality, ())
        last: dict[str, int] = {}
        for row in _rows(archive, modality, wanted) if wanted else ():
            name, row_id = row["name"], row[ROW_ID]
            if name in last:
                repeated.append(min(last[name], row_id))
            last[name] = max(last.get(name, 0), row_id)
    for start in range(0, len(repeated), SEVERAL):
        archive.remove(one_of(ROW_ID, repeated[start : start + SEVERAL]))
    return len(repeated)


def with_earlier_columns(archive: Archive, rows: pa.Table, said: Collection[str] = ()) -> pa.Table:
    """Return rows of one modality with what only the archive knows of their items.

    Args:
        archive: an archive.
        rows: rows made from files, whose items the archive had a moment ago.
        said: columns that their source says.
    """
    names = rows["name"].to_pylist()
    known = known_items(archive, rows["modality"][0].as_py(), names)
    there = pa.array([name in known for name in names], pa.bool_())
    earlier = archive.rows([known[name].row_id for name in names if name in known])
    kept = with_kept_columns(rows.filter(there), said, earlier)
    # Another writer has removed the others meanwhile.
    gone = rows.filter(pc.invert(there))
    return pa.concat_tables([kept, gone], promote_options="default") if len(gone) else kept


def _repeated_names(archive: Archive, modality: str) -> list[str]:
    batches = list(archive.batches(["name"], f"modality = '{modality}'"))
    if not batches:
        return []
    counts = pa.Table.from_batches(batches)["name"].value_counts()
    several = counts.filter(pc.greater(counts.field("counts"), 1))
    names: list[str] = several.field("values").to_pylist()
    return names


def _rows(archive: Archive, modality: str, names: Collection[str]) -> Iterator[dict[str, Any]]:
    wanted = pa.array(list(names), pa.string())
    columns = ["name", "stamp", "root"]
    for batch in archive.batches(columns, f"modality = '{modality}'", with_row_id=True):
        kept = batch.filter(pc.is_in(batch.column("name"), value_set=wanted))
        yield from kept.to_pylist()
