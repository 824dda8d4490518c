"""Windows of a scene of any size: overlapping pictures of one size, read from left to right.

The scene is a GeoTIFF or JPEG 2000. GDAL reads it in a process of its own, through a handle of this
one file, in bands of rows: each stored part is decoded once, however much windows overlap, and
memory holds the rows of one window and of one read. The stretch of values deeper than 8 bits is
that of the whole scene, so that a surface looks the same in every window.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .image_bands import PixelConfig
from .media import MediaError
from .raster_place import Box, RasterPlace, place_from_json
from .raster_process import RasterReader
from .regular_files import UnreadableFileError, content_state, open_regular


@dataclass(frozen=True)
class WindowGrid:
    """Where the windows of a scene lie.

    Windows begin at multiples of ``stride``; the last one of a row or column is moved inwards, so
    that it ends with the scene. A scene smaller than a tile has windows of its own width or height.

    Attributes:
        width: width of the scene, pixels.
        height: height of the scene, pixels.
        tile: side of a window, pixels.
        stride: pixels from one window to the next.
    """

    width: int
    height: int
    tile: int
    stride: int

    @property
    def columns(self) -> tuple[int, ...]:
        """Left edges of the windows, ascending."""
        return _places(self.width, self.tile, self.stride)

    @property
    def rows(self) -> tuple[int, ...]:
        """Upper edges of the windows, ascending."""
        return _places(self.height, self.tile, self.stride)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a window."""
        return min(self.tile, self.width), min(self.tile, self.height)

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.columns) * len(self.rows)


@dataclass(frozen=True)
class SceneWindow:
    """One window of a scene.

    Attributes:
        x: first column, pixels of the scene.
        y: first row.
        width: pixels.
        height: pixels.
        pixels: uint8 [3, height, width]; 0 where there is no data.
        bounds: least x and y, largest x and y in the system of the scene; None if unknown.
        degrees: west, south, east and north in degrees of WGS 84; None if unknown.
    """

    x: int
    y: int
    width: int
    height: int
    pixels: np.ndarray
    bounds: Box | None
    degrees: Box | None


class Scene:
    """An open scene.

    Attributes:
        place: size, bounds, coordinate system and time.
        stretch: offset and gain that made 0 to 255 of its values, None for a palette.
        empty: number of windows without data that :meth:`windows` has left out so far.
    """

    def __init__(self, handle: int, reader: RasterReader, pixels: PixelConfig) -> None:
        """Take over an open file and a reader that has its handle; see :func:`open_scene`."""
        self._handle, self._reader, self._state = handle, reader, content_state(handle)
        reader.ask("scene", {"file": handle, "config": asdict(pixels)})
        about = self._reply()
        self.place: RasterPlace = place_from_json(about["place"])
        found = about["stretch"]
        self.stretch: tuple[float, float] | None = None if found is None else (found[0], found[1])
        self.empty = 0

    def grid(self, tile: int, overlap: float) -> WindowGrid:
        """Return where windows of ``tile`` pixels lie.

        Args:
            tile: side of a window, pixels.
            overlap: share of a window that the next one covers too, in [0, 1).
        """
        if tile < 1 or not 0 <= overlap < 1:
            raise ValueError(f"tile must be 1 or more and overlap in [0, 1), got {tile}, {overlap}")
        stride = max(1, round(tile * (1 - overlap)))
        return WindowGrid(self.place.width, self.place.height, tile, stride)

    def windows(self, grid: WindowGrid, first_row: int = 0) -> Iterator[SceneWindow]:
        """Yield the windows of ``grid`` that have data, row by row.

        Args:
            grid: from :meth:`grid`.
            first_row: first row of windows, from 0.

        Raises:
            MediaError: the file is damaged, or changed while it was read.
        """
        self.empty = 0
        width, height = grid.size
        for y, band, degrees in self._bands_of_rows(grid, grid.rows[first_row:]):
            for x, box in zip(grid.columns, degrees, strict=True):
                part = band[:, :, x : x + width]
                if not part[-1].any():
                    self.empty += 1
                    continue
                pixels = part[:3] if len(part) == 4 else np.repeat(part[:1], 3, 0)
                bounds = self.place.bounds_of(x, y, width, height)
                yield SceneWindow(x, y, width, height, pixels.copy(), bounds, box)

    def preview(self, step: int) -> np.ndarray:
        """Return every ``step``-th row and column, uint8 [3, rows, columns].

        Raises:
            MediaError: the file is damaged, or changed while it was read.
        """
        self._reader.ask("preview", {"step": step})
        picture: np.ndarray = self._reply()
        return picture if len(picture) == 3 else np.repeat(picture, 3, 0)

    def _bands_of_rows(
        self, grid: WindowGrid, rows: Sequence[int]
    ) -> Iterator[tuple[int, np.ndarray, list[Box | None]]]:
        """Yield y, pixels [planes + 1, height, scene width] and degrees of each row of windows.

        The last plane is 1 where pixels have data.
        """
        height, waiting = grid.size[1], list(rows)
        held: np.ndarray | None = None
        top = filled = rows[0] if rows else 0  # rows of the scene that are held: top to filled
        degrees = dict[int, list[Box | None]]()
        asked = False
        try:
            for y in rows:
                while filled < y + height:
                    if not asked:
                        self._reader.ask("rows", {"top": filled})
                    more, asked = self._reply(), False
                    held = more if held is None else np.concatenate([held[:, y - top :], more], 1)
                    top, filled = y, filled + more.shape[1]
                    while waiting and waiting[0] + height <= filled:
                        whole = waiting.pop(0)
                        degrees[whole] = self._degrees(grid, whole)
                if not asked and filled < rows[-1] + height:
                    self._reader.ask("rows", {"top": filled})  # read while these rows are used
                    asked = True
                assert held is not None
                yield y, held[:, y - top : y - top + height], degrees.pop(y)
        finally:
            if asked:  # it is in the middle of a reply
                self._reader.close()

    def _degrees(self, grid: WindowGrid, y: int) -> list[Box | None]:
        if self.place.crs is None:
            return [None] * len(grid.columns)
        windows = [[x, y, *grid.size] for x in grid.columns]
        self._reader.ask("degrees", {"windows": windows})
        return [None if box is None else tuple(box) for box in self._reply()]

    def _reply(self) -> Any:
        try:
            reply = self._reader.reply()
        except MediaError:
            self.require_unchanged()
            raise
        self.require_unchanged()
        return reply

    def require_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened.

        Raises:
            MediaError: it was.
        """
        if content_state(self._handle) != self._state:
            raise MediaError("changed while it was read; call again")


@contextmanager
def open_scene(path: Path, pixels: PixelConfig | None = None) -> Iterator[Scene]:
    """Yield the scene in ``path``, a TIFF or JPEG 2000 of any size.

    Nothing of it is held but what is being read. Values deeper than 8 bits are read once (16 bits),
    twice (32 bits) or four times (64 bits) before, for the exact stretch of the whole scene.

    Args:
        path: the file; others beside it are not looked at.
        pixels: which bands are taken, and how deep values become 8 bits; the defaults if None.

    Raises:
        MediaError: the file cannot be read, is of another kind or damaged, has no such bands, or
            changed while it was read.
        RasterReaderError: the reader does not start.
    """
    try:
        file = open_regular(path)
    except UnreadableFileError as error:
        raise MediaError(str(error)) from error
    with file:
        handle = file.fileno()
        if not os.fstat(handle).st_size:
            raise MediaError("empty file")
        reader = RasterReader((handle,))
        try:
            scene = Scene(handle, reader, pixels or PixelConfig())
            yield scene
            scene.require_unchanged()
        finally:
            reader.close()


def _places(length: int, tile: int, stride: int) -> tuple[int, ...]:
    last = max(0, length - tile)
    return (*range(0, last, stride), last)
