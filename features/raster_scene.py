"""A scene of any size, read piece by piece; runs in the process of the worker.

The file is opened through a handle that this process was given, under a name beside which there
are no other files. No part of it is held but the rows that are asked for.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.windows import Window

from .image_bands import PixelConfig
from .image_kinds import image_kind
from .media import MediaError
from .raster_bands import Painter, Stretch, Values, bands_of, painter_of, stretch_of
from .raster_file import gdal_errors, opened_raster
from .raster_georeference import degrees_of, georeference, outlines_of
from .tiff_pages import Page, file_at, scene_pages

CHUNK_BYTES = 32 << 20
"""Size of the rows that are given at once, bytes of pixels."""
BAND_BYTES = 192 << 20
"""Largest size of the rows that are held because the file stores them together."""
JPEG_2000_THREADS = min(4, os.cpu_count() or 1)
"""Threads that decode the blocks of a JPEG 2000: its wavelets take several times as long as the
compressions of TIFF, of which GDAL misses some errors in threads."""
_CONVERTED = {5: "CMYK", 6: "YCbCr"}  # by libtiff, which then obeys the orientation


class SceneFile:
    """One scene that stays open."""

    def __init__(self, handle: int, config: PixelConfig, tick: Callable[[], None]) -> None:
        """Open the file.

        Args:
            handle: an open file.
            config: which bands are taken, and how deep values become 8 bits.
            tick: called before each piece that is read.

        Raises:
            MediaError: it is of another kind, damaged, or has no such bands.
        """
        self._stack, self._tick, self._config = ExitStack(), tick, config
        driver, pages = _driver_and_pages(handle, config)
        name = f"/dev/fd/{handle}"
        threads = JPEG_2000_THREADS if driver == "JP2OpenJPEG" else 1
        self._raster = self._stack.enter_context(opened_raster(name, driver, pages, threads))
        with gdal_errors(driver):
            self._bands = bands_of(self._raster.datasets, config)
            with self._raster.about_place():
                self._place = georeference(self._raster.datasets[0])
        height, width = self._bands.shape
        if width < 1 or height < 1:
            raise MediaError(f"damaged: {width} x {height} pixels")
        self._at_once = min(height, max(1, CHUNK_BYTES // (4 * width)))
        self._band_rows = self._rows_of_a_band()
        self._band = np.empty((0, 0, 0), np.uint8)
        self._band_top = -1
        self._stretch: Stretch | None = None
        self._paint: Painter | None = None

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def place(self) -> dict[str, Any]:
        """Return where and when the scene was taken, see :func:`georeference`."""
        return self._place

    def stretch(self) -> Stretch | None:
        """Return offset and gain that make 0 to 255 of the values; None for a palette.

        Values deeper than 8 bits are read for it, in one to four passes, at the first call.

        Raises:
            MediaError: there is no valid pixel, or the stretch does not take these values.
        """
        if self._paint is None:
            with gdal_errors(self._raster.driver):
                self._stretch = stretch_of(self._bands, self._config, self._pieces)
            self._raster.check()
            self._paint = painter_of(self._bands, self._config, self._stretch)
        return self._stretch

    def rows(self, top: int) -> np.ndarray:
        """Return some rows from ``top``, uint8 [planes + 1, rows, width].

        Returns:
            One plane if grey, three if RGB; the last one is 1 where a pixel has data, else 0.
        """
        band_top = top // self._band_rows * self._band_rows
        if band_top != self._band_top:
            self._band_top = -1  # not that of a band that is damaged half-way
            self._read_band(band_top)
            self._band_top = band_top
        first = top - band_top
        return self._band[:, first : first + self._at_once]

    def part(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a window of the scene, uint8 [1 or 3, height, width]."""
        return self._painted(Window(x, y, width, height))[0]

    def preview(self, step: int) -> np.ndarray:
        """Return every ``step``-th row and column, uint8 [1 or 3, rows, columns]."""
        height, width = self._bands.shape
        columns, parts = -(-width // step), []
        rows = max(1, self._at_once // step) * step
        for top in range(0, height, rows):
            window = Window(0, top, width, min(rows, height - top))
            parts.append(self._painted(window, (-(-int(window.height) // step), columns))[0])
        return np.concatenate(parts, axis=1)

    def degrees(self, windows: Sequence[Sequence[int]]) -> list[list[float] | None]:
        """Return west, south, east and north of ``windows``, see :func:`degrees_of`."""
        with self._raster.about_place():
            return degrees_of(self._crs(), self._place["transform"], windows)

    def outlines(self, windows: Sequence[Sequence[int]]) -> list[list[list[float]] | None]:
        """Return the corners of ``windows`` in degrees, see :func:`outlines_of`."""
        with self._raster.about_place():
            return outlines_of(self._crs(), self._place["transform"], windows)

    def _crs(self) -> CRS | None:
        crs = self._place["crs"]
        return CRS.from_string(crs) if crs else None

    def _pieces(self) -> Iterator[tuple[Window, Values]]:
        for window in self._bands.pieces(0, self._bands.shape[0]):
            self._tick()
            yield window, self._bands.read(window)

    def _painted(self, window: Window, shape: tuple[int, int] | None = None) -> Values:
        self.stretch()
        assert self._paint is not None
        self._tick()
        with gdal_errors(self._raster.driver):
            painted = self._paint(*self._bands.read(window, shape))
        self._raster.check()
        return painted

    def _read_band(self, top: int) -> None:
        height, width = self._bands.shape
        rows = min(self._band_rows, height - top)
        for window in self._bands.pieces(top, rows):
            pixels, shown = self._painted(window)
            if self._band.shape[1:] != (rows, width):
                self._band = np.empty((len(pixels) + 1, rows, width), np.uint8)
            place = Window(window.col_off, window.row_off - top, window.width, window.height)
            self._band[:-1, *place.toslices()] = pixels
            self._band[-1, *place.toslices()] = 1 if shown is None else shown

    def _rows_of_a_band(self) -> int:
        """Return how many rows are read together: whole blocks, unless these are too high.

        Of a block that is too high a band is an equal part, so that none begins in one block and
        ends in the next, both of which would be decoded for it.
        """
        width, block = self._bands.shape[1], self._bands.block[0]
        if block <= self._at_once:
            return self._at_once // block * block
        most = max(1, BAND_BYTES // (4 * width))
        parts = -(-block // most)
        fitting = (some for some in range(parts, 2 * parts) if block % some == 0)
        return -(-block // next(fitting, parts))


def _driver_and_pages(handle: int, config: PixelConfig) -> tuple[str, list[int]]:
    kind = image_kind(os.pread(handle, 16, 0))
    if kind == "JPEG 2000":
        return "JP2OpenJPEG", []
    if kind != "TIFF":
        raise MediaError("not a TIFF or JPEG 2000; convert it, e.g. with gdal_translate")
    pages = scene_pages(file_at(handle), join=config.join_pages)
    for page in pages:
        _refuse_turned_colours(page)
    return "GTiff", [page.number for page in pages]


def _refuse_turned_colours(page: Page) -> None:
    """Refuse a picture whose rows libtiff would turn around, strip by strip."""
    if page.orientation != 1 and page.photometric in _CONVERTED:
        raise MediaError(
            f"{_CONVERTED[page.photometric]} with an orientation other than the usual one; "
            "convert it to RGB, e.g. with gdal_translate"
        )
