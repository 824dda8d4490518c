"""Where and when a raster was taken: bounds, coordinate system, size of a pixel, time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .image_kinds import image_kind
from .raster_process import place_apart
from .tiff_pages import bytes_at, scene_pages

Box = tuple[float, float, float, float]
"""Bounds: least x and y, largest x and y; in degrees west, south, east, north."""


@dataclass(frozen=True)
class RasterPlace:
    """Where and when a raster was taken, as its file says.

    Attributes:
        width: pixels.
        height: pixels.
        crs: system of the coordinates, ``EPSG:`` and its number if it has one, else WKT; None if
            the file names none.
        transform: six numbers a to f that make coordinates of a place in the picture:
            x = a column + b row + c, y = d column + e row + f; None if the file has none.
        degrees: bounds in degrees of WGS 84; west is larger than east across the 180th meridian;
            None if they are not known.
        time: time of acquisition, else of the file; UTC where the file names no zone; None if the
            file has none.
    """

    width: int
    height: int
    crs: str | None
    transform: tuple[float, float, float, float, float, float] | None
    degrees: Box | None
    time: datetime | None

    @property
    def bounds(self) -> Box | None:
        """Bounds of the whole raster in units of ``crs``."""
        return self.bounds_of(0, 0, self.width, self.height)

    @property
    def pixel_size(self) -> float | None:
        """Side of a square of the area of one pixel, in units of ``crs``."""
        if self.transform is None:
            return None
        a, b, _, d, e, _ = self.transform
        return abs(a * e - b * d) ** 0.5  # type: ignore[no-any-return]

    def bounds_of(self, x: int, y: int, width: int, height: int) -> Box | None:
        """Return the bounds of a window, given in pixels, in units of ``crs``."""
        if self.transform is None:
            return None
        a, b, c, d, e, f = self.transform
        corners = [(x, y), (x + width, y), (x, y + height), (x + width, y + height)]
        across = [a * column + b * row + c for column, row in corners]
        down = [d * column + e * row + f for column, row in corners]
        return min(across), min(down), max(across), max(down)

    def part(self, x: int, y: int, width: int, height: int, degrees: Box | None) -> "RasterPlace":
        """Return the place of a window, given in pixels, whose bounds in degrees are known."""
        affine = self.transform
        if affine is not None:
            a, b, c, d, e, f = affine
            affine = (a, b, a * x + b * y + c, d, e, d * x + e * y + f)
        return replace(self, width=width, height=height, transform=affine, degrees=degrees)


def raster_place(data: bytes) -> RasterPlace | None:
    """Return where and when the image file ``data`` was taken; None for JPEG, PNG and others.

    Files beside it (``.aux.xml``, world files) are not looked at.

    Args:
        data: content of the file.

    Raises:
        MediaError: a TIFF or JPEG 2000 that cannot be opened.
        RasterReaderError: the reader of TIFF and JPEG 2000 does not start.
    """
    kind = image_kind(data)
    if kind == "TIFF":
        page = scene_pages(bytes_at(data), join=True)[0].number
        return place_from_json(place_apart(data, "GTiff", (page,)))
    if kind == "JPEG 2000":
        return place_from_json(place_apart(data, "JP2OpenJPEG", ()))
    return None


def place_from_json(value: Mapping[str, Any]) -> RasterPlace:
    """Return the place in a reply of the reader of rasters."""
    made: dict[str, Any] = {
        name: tuple(found) if isinstance(found, list) else found for name, found in value.items()
    }
    if made["time"] is not None:
        made["time"] = datetime.fromisoformat(made["time"])
    return RasterPlace(**made)
