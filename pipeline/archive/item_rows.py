"""Rows of an archive made from the codes of files, the places of rasters and a source's columns."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivr.features.raster_place import RasterPlace

from .coded_files import CodedFile
from .item_columns import OWN, TIME, code_type
from .sources import SourceItems

BOUNDS = ("min_x", "min_y", "max_x", "max_y")
DEGREES = ("west", "south", "east", "north")
WHERE = ("crs", "pixel_size", *BOUNDS, *DEGREES)
"""Columns that say where an image was taken, which belong together."""
_NOWHERE = (None, None, None, None)


def item_rows(bits: int, items: SourceItems, coded: Sequence[tuple[int, CodedFile]]) -> pa.Table:
    """Return the rows of the archive for items that were encoded.

    What the source says of place and time counts before what the file says.

    Args:
        bits: bits per code.
        items: items of a source.
        coded: place of each item among ``items``, and its code.
    """
    if not coded:
        return pa.table({})
    many = len(coded)
    chosen = items.part([place for place, _ in coded])
    codes = np.array([one.code for _, one in coded], np.uint8).reshape(-1)
    columns = {
        "name": pa.array(chosen.names, pa.string()),
        "modality": pa.array([items.modality] * many, pa.string()),
        "code": pa.FixedSizeListArray.from_arrays(pa.array(codes), type=code_type(bits)),
        "file": pa.array(chosen.files, pa.string()),
        "root": pa.array([str(items.root)] * many, pa.string()),
        "stamp": pa.array([one.row.stamp for _, one in coded], pa.uint64()),
        "added": pa.array([datetime.now(UTC)] * many, TIME),
        **place_columns([one.place for _, one in coded]),
    }
    for name in chosen.columns.column_names:
        given = chosen.columns[name].combine_chunks()
        columns[name] = pc.coalesce(given, columns[name]) if name in columns else given
    return pa.table(columns)


def with_kept_columns(rows: pa.Table, said: Collection[str], earlier: pa.Table) -> pa.Table:
    """Return ``rows`` with the columns of ``earlier`` that neither source nor file say anew.

    A file that says anything of its place says all of it: nothing of its earlier place is kept.

    Args:
        rows: rows made from files, whose items the archive has already.
        said: columns that their source says.
        earlier: the rows of the same items in the archive, in the same order.
    """
    columns = {name: rows[name].combine_chunks() for name in rows.column_names}
    of_file = [name for name in WHERE if name not in said]
    placed = pa.array(np.any([columns[name].is_valid() for name in of_file], axis=0), pa.bool_())
    for name in earlier.column_names:
        old = earlier[name].combine_chunks()
        if name not in columns:
            columns[name] = old
        elif name in of_file:
            columns[name] = pc.if_else(placed, columns[name], old)
        elif name == "time" and name not in said:
            columns[name] = pc.coalesce(columns[name], old)
    return pa.table(columns)


def place_columns(places: Sequence[RasterPlace | None]) -> dict[str, pa.Array]:
    """Return the columns that say where and when rasters were taken."""
    bounds = [(place and place.bounds) or _NOWHERE for place in places]
    degrees = [(place and place.degrees) or _NOWHERE for place in places]
    values = {
        "crs": [place and place.crs for place in places],
        "pixel_size": [place and place.pixel_size for place in places],
        "time": [_in_utc(place.time) if place and place.time else None for place in places],
        **dict(zip(BOUNDS, zip(*bounds, strict=True), strict=True)),
        **dict(zip(DEGREES, zip(*degrees, strict=True), strict=True)),
    }
    return {name: pa.array(found, OWN[name]) for name, found in values.items()}


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
