"""Boxes as geometries of GeoJSON (RFC 7946)."""

from typing import Any

Ring = list[list[float]]
"""Corners against the clock, the first one again at the end."""


def ring(left: float, low: float, right: float, high: float) -> Ring:
    """Return the outline of a box."""
    return [[left, low], [right, low], [right, high], [left, high], [left, low]]


def box_geometry(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """Return a box in degrees: a polygon, or two of them across the 180th meridian."""
    if west <= east:
        return {"type": "Polygon", "coordinates": [ring(west, south, east, north)]}
    parts = [[ring(west, south, 180.0, north)], [ring(-180.0, south, east, north)]]
    return {"type": "MultiPolygon", "coordinates": parts}
