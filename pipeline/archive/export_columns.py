"""Columns as other engines take them: codes in their forms, and boxes as geometry."""

from typing import Any

import numpy as np
import pyarrow as pa

from .exported_items import BOX

SRID = 4326
"""Longitude and latitude on WGS 84."""
_POLYGON, _MULTIPOLYGON, _WITH_SRID = 3, 6, 0x20000000
_HEAD = [("order", "u1"), ("type", "<u4")]
_RING = [("rings", "<u4"), ("points", "<u4"), ("corners", "<f8", (5, 2))]


def packed(column: pa.Array) -> np.ndarray:
    """Return the codes of a column ``code``, packed [n, bits / 8], uint8."""
    codes: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return np.ascontiguousarray(codes)


def as_binary(codes: np.ndarray) -> pa.Array:
    """Return packed codes [n, bytes] as binary values of fixed size."""
    kind = pa.binary(codes.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(codes), [None, pa.py_buffer(codes)])


def as_integers(codes: np.ndarray) -> pa.Array:
    """Return packed codes [n, 8] as unsigned integers, whose highest bit is the first bit."""
    return pa.array(codes.view(">u8")[:, 0].astype(np.uint64))


def as_bit_text(codes: np.ndarray) -> pa.Array:
    """Return packed codes [n, bytes] as text of zeros and ones, the first bit first."""
    digits = np.unpackbits(codes, axis=1) + np.uint8(ord("0"))
    ends = np.arange(len(codes) + 1, dtype=np.int32) * digits.shape[1]
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(digits))]
    return pa.StringArray.from_buffers(len(codes), *buffers[1:])


def outlines(batch: pa.RecordBatch, *, srid: int | None = None) -> pa.Array:
    """Return the boxes of the rows as WKB polygons, null where a side is missing.

    The corners run against the clock. A box across the 180th meridian (west above east) is a
    multipolygon of its two parts.

    Args:
        batch: rows with the columns ``west``, ``south``, ``east`` and ``north``.
        srid: written into the geometry (the extended form of PostGIS) unless it is None.
    """
    sides = np.stack(
        [batch.column(name).to_numpy(zero_copy_only=False).astype(float) for name in BOX], axis=1
    )
    plain = [value.tobytes() for value in _polygons(sides, srid)]
    known = ~np.isnan(sides).any(axis=1)
    values: list[bytes | None] = [
        value if given else None for value, given in zip(plain, known, strict=True)
    ]
    for row in np.flatnonzero(known & (sides[:, 0] > sides[:, 2])).tolist():
        west, south, east, north = sides[row]
        parts = np.array([[west, south, 180.0, north], [-180.0, south, east, north]])
        head = np.zeros(1, [*_HEAD, *([("srid", "<u4")] if srid else []), ("parts", "<u4")])
        head["order"], head["parts"] = 1, 2
        head["type"] = _MULTIPOLYGON | (_WITH_SRID if srid else 0)
        if srid:
            head["srid"] = srid
        values[row] = head.tobytes() + _polygons(parts, None).tobytes()
    return pa.array(values, pa.binary())


def _polygons(sides: np.ndarray, srid: int | None) -> Any:
    kind = [*_HEAD, *([("srid", "<u4")] if srid else []), *_RING]
    made = np.zeros(len(sides), kind)
    made["order"], made["rings"], made["points"] = 1, 1, 5
    made["type"] = _POLYGON | (_WITH_SRID if srid else 0)
    if srid:
        made["srid"] = srid
    west, south, east, north = sides.T
    for place, (x, y) in enumerate(
        ((west, south), (east, south), (east, north), (west, north), (west, south))
    ):
        made["corners"][:, place, 0], made["corners"][:, place, 1] = x, y
    return made
