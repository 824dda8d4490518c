"""Files of a search in a scene: GeoTIFF of the heat maps, picture over the scene, GeoJSON."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.atomic_files import HEAT_MAP, PNG, TEXT, replaced, replaced_text
from ivr.features.raster_place import RasterPlace
from ivr.features.raster_process import geotiff_apart
from ivr.features.scene_windows import Scene, WindowGrid

from .geojson import box_geometry, ring
from .locate_result import FoundPlace, LocatedQuery

OVERLAY_SIDE = 1600
"""Longest side of the picture of one query, pixels."""
_MOST_OPAQUE = 0.65
_FRAME = (0, 255, 255)
_RANK_SIZE = 22


def write_heat(
    path: Path,
    place: RasterPlace,
    grid: WindowGrid,
    heats: Sequence[np.ndarray],
    queries: Sequence[LocatedQuery],
) -> None:
    """Write the heat maps as a GeoTIFF: one band per query, one pixel per cell.

    Without coordinates in the scene, those of the map are the columns and rows of the scene.
    """
    a, b, c, d, e, f = place.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    side = grid.stride
    tags = {"UNIT": "bits", "TILE": str(grid.tile), "STRIDE": str(side)}
    content = geotiff_apart(
        np.stack(heats),
        crs=place.crs,
        transform=[a * side, b * side, c, d * side, e * side, f],
        descriptions=[str(query.query) for query in queries],
        tags=tags,
    )
    with replaced(path, HEAT_MAP) as file:
        file.write(content)


def write_places(path: Path, scene: Scene, name: str, queries: Sequence[LocatedQuery]) -> None:
    """Write the best places as GeoJSON, one feature per place and query.

    Coordinates are longitude and latitude of WGS 84, as RFC 7946 has it. A scene whose place on
    the globe is unknown has columns and rows of its pixels in their stead, as the member
    ``coordinates`` says.
    """
    found = [(query, one) for query in queries for one in query.places]
    outlines = scene.outlines([(one.x, one.y, one.width, one.height) for _, one in found])
    placed = all(one.degrees is not None for _, one in found)
    features = [
        {
            "type": "Feature",
            "geometry": _geometry(one, outline) if placed else _pixels(one),
            "properties": {
                "query": str(query.query),
                "rank": one.rank,
                "distance": one.distance,
                "x": one.x,
                "y": one.y,
                "width": one.width,
                "height": one.height,
                "bounds": one.bounds,
            },
        }
        for (query, one), outline in zip(found, outlines, strict=True)
    ]
    whole: dict[str, Any] = {
        "type": "FeatureCollection",
        "coordinates": "degrees of WGS 84" if placed else "pixels of the scene",
        "scene": name,
        "crs_of_bounds": scene.place.crs,
        "features": features,
    }
    with replaced_text(path, TEXT) as file:
        json.dump(whole, file, indent=1)
        file.write("\n")


def _geometry(place: FoundPlace, outline: list[list[float]] | None) -> dict[str, Any]:
    if outline is not None:
        return {"type": "Polygon", "coordinates": [outline]}
    assert place.degrees is not None
    return box_geometry(*place.degrees)


def _pixels(place: FoundPlace) -> dict[str, Any]:
    outline = ring(place.x, place.y, place.x + place.width, place.y + place.height)
    return {"type": "Polygon", "coordinates": [outline]}


def write_overlay(
    path: Path,
    scene: Scene,
    grid: WindowGrid,
    heats: Sequence[np.ndarray],
    queries: Sequence[LocatedQuery],
) -> None:
    """Write a picture of the scene for each query, from left to right, as one PNG.

    The nearer a cell is, the redder and the more opaque; cells farther than the mean stay clear.
    Frames are the best places, with their ranks.
    """
    from PIL import Image, ImageDraw, ImageFont

    step = max(1, -(-max(grid.width, grid.height) // OVERLAY_SIDE))
    picture = scene.preview(step).transpose(1, 2, 0)
    font, parts = ImageFont.load_default(size=_RANK_SIZE), []
    for heat, query in zip(heats, queries, strict=True):
        image = Image.fromarray(_tinted(picture, heat, step / grid.stride))
        draw = ImageDraw.Draw(image)
        for one in query.places:
            left, top = one.x // step, one.y // step
            right, low = (one.x + one.width - 1) // step, (one.y + one.height - 1) // step
            draw.rectangle((left, top, right, low), outline=_FRAME, width=2)
            draw.text((left + 4, top + 1), str(one.rank), fill=_FRAME, font=font)
        parts.append(np.asarray(image))
    buffer = BytesIO()
    Image.fromarray(np.concatenate(parts, axis=1)).save(buffer, "PNG")
    with replaced(path, PNG) as file:
        file.write(buffer.getvalue())


def _tinted(picture: np.ndarray, heat: np.ndarray, cells: float) -> np.ndarray:
    """Return ``picture`` [rows, columns, 3] with colours for ``heat``; ``cells`` per pixel."""
    rows, columns = (
        np.minimum((np.arange(length) * cells).astype(int), most - 1)
        for length, most in zip(picture.shape[:2], heat.shape, strict=True)
    )
    known = np.isfinite(heat)
    if not known.any():
        return picture
    low, mean = float(heat[known].min()), float(heat[known].mean())
    near = np.clip((mean - np.where(known, heat, mean)) / max(mean - low, 1e-9), 0, 1)
    near = near[rows][:, columns, None]
    colour = np.concatenate([np.full_like(near, 255), 230 * (1 - near), np.zeros_like(near)], 2)
    opaque = _MOST_OPAQUE * near
    tinted: np.ndarray = np.rint(picture * (1 - opaque) + colour * opaque).astype(np.uint8)
    return tinted
