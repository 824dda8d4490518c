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
    affine = _affine(dataset)
    crs = dataset.crs if affine else None
    whole = [[0, 0, dataset.width, dataset.height]]
    degrees = degrees_of(crs, affine, whole)[0]
    time = _time({**dataset.tags(ns="IMAGERY"), **dataset.tags()})
    return {
        "width": dataset.width,
        "height": dataset.height,
        "crs": crs.to_string() if crs else None,
        "transform": affine,
        "degrees": degrees,
        "time": time,
    }


def _affine(dataset: Any) -> list[float] | None:
    """Return the six numbers of the geotransform, None if it gives pixels no place or no area."""
    found = dataset.transform
    known = np.isfinite(found[:6]).all() and found.determinant and not found.is_identity
    return list(found)[:6] if known else None


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
    edges = _edges(np.asarray(windows, np.float64).reshape(-1, 4), EDGE_POINTS)
    return [None if edge is None else _around(*edge) for edge in _in_degrees(crs, affine, *edges)]


def outlines_of(
    crs: CRS | None, affine: Sequence[float] | None, windows: Sequence[Sequence[int]]
) -> list[list[list[float]] | None]:
    """Return longitude and latitude of the corners of windows, anticlockwise and closed.

    The arguments are those of :func:`degrees_of`.

    Returns:
        Per window five points, of which the last is the first; None where its place is not known
        or where it crosses the 180th meridian.
    """
    corners = _edges(np.asarray(windows, np.float64).reshape(-1, 4), 1)
    return [
        None if edge is None else _outline(*edge) for edge in _in_degrees(crs, affine, *corners)
    ]


def _outline(longitudes: np.ndarray, latitudes: np.ndarray) -> list[list[float]] | None:
    turns = 360 * np.floor((longitudes.min() + 180) / 360)
    longitudes = longitudes - turns  # from -180 on
    if np.ptp(longitudes) > 180 or longitudes.max() > 180:
        return None
    points = [[float(x), float(y)] for x, y in zip(longitudes, latitudes, strict=True)]
    following = [*points[1:], points[0]]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, following, strict=True))
    ordered = points if area > 0 else points[::-1]
    return [*ordered, ordered[0]]


def _in_degrees(
    crs: CRS | None, affine: Sequence[float] | None, columns: np.ndarray, rows: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return longitudes and latitudes of points [n, points] in pixels, row by row.

    Returns:
        None for a row of which a point is not known or has no degrees.
    """
    if crs is None or affine is None or not len(columns) or _is_geocentric(crs):
        return [None] * len(columns)
    a, b, c, d, e, f = affine
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    try:
        found = transform(crs, _WGS84, x.ravel(), y.ravel())
    except (RasterioError, CPLE_BaseError):  # a local system, or a point beside the globe
        if len(columns) == 1:
            return [None]
        parts = (
            _in_degrees(crs, affine, *one)
            for one in zip(columns[:, None], rows[:, None], strict=True)
        )
        return [one for part in parts for one in part]
    longitudes, latitudes = (np.asarray(values).reshape(x.shape) for values in found[:2])
    known = np.isfinite(longitudes).all(1) & np.isfinite(latitudes).all(1)
    return [
        (longitudes[row], latitudes[row]) if known[row] else None for row in range(len(columns))
    ]


def _is_geocentric(crs: CRS) -> bool:
    """Return whether coordinates are metres from the centre of the earth, which need a third."""
    return bool(crs.to_wkt().startswith("GEOCCS"))


def _edges(windows: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows [n, 4 points] of points along the edges of ``windows`` [n, 4]."""
    along = np.arange(points) / points
    zero, one = np.zeros(points), np.ones(points)
    across = np.concatenate([along, one, 1 - along, zero])
    down = np.concatenate([zero, along, one, 1 - along])
    left, top, width, height = windows.T[..., None]
    return left + width * across, top + height * down


def _around(longitudes: np.ndarray, latitudes: np.ndarray) -> list[float]:
    """Return the degrees around a closed line of points."""
    # Rasters of the whole globe reach beyond the poles by half a pixel.
    south, north = np.clip([latitudes.min(), latitudes.max()], -90, 90).tolist()
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


def _time(tags: Mapping[str, str]) -> str | None:
    """Return the time in ``tags`` (ISO 8601, UTC if it has no zone)."""
    known = {re.sub(r"[^a-z]", "", name.lower()): name for name in tags}
    for wanted in TIMES:
        name = known.get(wanted)
        if name is None:
            continue
        text = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", tags[name].strip(" \0"))
        try:
            time = datetime.fromisoformat(text)
            zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
            return zoned.astimezone(UTC).isoformat()
        except (ValueError, OverflowError):  # OverflowError: in UTC before year 1 or after 9999
            continue
    return None
