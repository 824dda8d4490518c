"""Where and when a raster was taken, as its file says; runs in the process of the worker.

Only what stands in the file itself counts: a geotransform, a coordinate reference system and tags.
Ground control points and rational polynomials do not give a place to every pixel and are left out.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform

EDGE_POINTS = 16
"""Points per side of a window that are turned into degrees: sides are no straight lines there."""
TIMES = (
    "acquisitiondatetime",
    "acquisitiontime",
    "acquisitiondate",
    "dateacquired",
    "sensingtime",
    "sensingstart",
    "sensingdate",
    "datatakesensingstart",
    "productstarttime",
    "starttime",
    "startdatetime",
    "datetime",
    "exifdatetimeoriginal",
    "tifftagdatetime",
)
"""Tags that hold a time, without signs between words; the first that can be read counts."""
_WGS84 = CRS.from_epsg(4326)


def georeference(dataset: Any) -> dict[str, Any]:
    """Return the arguments of :class:`ivr.features.raster_place.RasterPlace` as JSON values."""
    placed = not dataset.transform.is_identity
    crs = dataset.crs if placed else None
    affine = list(dataset.transform)[:6] if placed else None
    whole = [[0, 0, dataset.width, dataset.height]]
    degrees = degrees_of(crs, affine, whole)[0]
    time, tag = _time({**dataset.tags(ns="IMAGERY"), **dataset.tags()})
    return {
        "width": dataset.width,
        "height": dataset.height,
        "crs": crs.to_string() if crs else None,
        "transform": affine,
        "degrees": degrees,
        "time": time,
        "time_tag": tag,
    }


def degrees_of(
    crs: CRS | None, affine: Sequence[float] | None, windows: Sequence[Sequence[int]]
) -> list[list[float] | None]:
    """Return west, south, east and north of windows in degrees of WGS 84.

    West is larger than east where a window crosses the 180th meridian. A window around a pole has
    all longitudes.

    Args:
        crs: system of the coordinates.
        affine: the six numbers of a geotransform, in the order of rasterio.
        windows: x, y, width and height of each, pixels.

    Returns:
        None for a window whose place is not known, or has no degrees.
    """
    if crs is None or affine is None or not len(windows):
        return [None] * len(windows)
    columns, rows = _edges(np.asarray(windows, np.float64))
    a, b, c, d, e, f = affine
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    try:
        found = transform(crs, _WGS84, x.ravel(), y.ravel())
    except (RasterioError, CPLE_BaseError):  # a local system, or a point beside the globe
        if len(windows) == 1:
            return [None]
        return [degrees_of(crs, affine, [window])[0] for window in windows]
    longitudes, latitudes = (np.asarray(values).reshape(x.shape) for values in found[:2])
    return [_around(*edge) for edge in zip(longitudes, latitudes, strict=True)]


def _edges(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows [n, points] of points along the edges of ``windows`` [n, 4]."""
    along = np.arange(EDGE_POINTS) / EDGE_POINTS
    zero, one = np.zeros(EDGE_POINTS), np.ones(EDGE_POINTS)
    across = np.concatenate([along, one, 1 - along, zero])
    down = np.concatenate([zero, along, one, 1 - along])
    left, top, width, height = windows.T[..., None]
    return left + width * across, top + height * down


def _around(longitudes: np.ndarray, latitudes: np.ndarray) -> list[float] | None:
    """Return the degrees around a closed line of points."""
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return None
    south, north = float(latitudes.min()), float(latitudes.max())
    closed = np.unwrap(np.append(longitudes, longitudes[0]), period=360)
    if abs(closed[-1] - closed[0]) > 180:  # once around the globe: around a pole
        pole = 90.0 if latitudes.mean() > 0 else -90.0
        return [-180.0, min(south, pole), 180.0, max(north, pole)]
    west, east = float(closed.min()), float(closed.max())
    if east - west >= 360:
        return [-180.0, south, 180.0, north]
    turns = 360 * np.floor((west + 180) / 360)
    west, east = west - turns, east - turns
    return [float(west), south, float(east - 360 if east > 180 else east), north]


def _time(tags: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the time in ``tags`` (ISO 8601, UTC if it has no zone), and the name of its tag."""
    known = {re.sub(r"[^a-z]", "", name.lower()): name for name in tags}
    for wanted in TIMES:
        name = known.get(wanted)
        if name is None:
            continue
        text = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", tags[name].strip(" \0"))
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            continue
        zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat(), name
    return None, None
