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

Window = tuple[int, int, int, int]
"""First column, first row, width and height, pixels of a scene."""
Outline = list[list[float]]
"""Points of a closed line: longitude and latitude, degrees."""
_BLOCK = 1 << 20


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
class WindowPlace:
    """Where a window lies.

    Attributes:
        x: first column, pixels of the scene.
        y: first row.
        width: pixels.
        height: pixels.
        bounds: least x and y, largest x and y in the system of the scene; None if unknown.
        degrees: west, south, east and north in degrees of WGS 84; None if unknown.
    """

    x: int
    y: int
    width: int
    height: int
    bounds: Box | None
    degrees: Box | None


@dataclass(frozen=True)
class SceneWindow:
    """One window of a scene.

    Attributes:
        place: where it lies.
        pixels: uint8 [3, height, width]; 0 where there is no data.
    """

    place: WindowPlace
    pixels: np.ndarray


class Scene:
    """An open scene.

    Attributes:
        place: size, bounds, coordinate system and time.
    """

    def __init__(self, handle: int, reader: RasterReader, pixels: PixelConfig) -> None:
        """Take over an open file and a reader that has its handle; see :func:`open_scene`."""
        self._handle, self._reader, self._state = handle, reader, content_state(handle)
        reader.ask("scene", {"file": handle, "config": asdict(pixels)})
        self.place: RasterPlace = place_from_json(self._reply())

    @property
    def stretch(self) -> tuple[float, float] | None:
        """Offset and gain that make 0 to 255 of all its values; None for a palette.

        Values deeper than 8 bits are read for it before the first window: once (16 bits), twice
        (32 bits) or four times (64 bits).
        """
        self._reader.ask("stretch", {})
        found = self._reply()
        return None if found is None else (found[0], found[1])

    def content(self) -> Iterator[bytes]:
        """Yield the bytes of the file, block by block."""
        place = 0
        while block := os.pread(self._handle, _BLOCK, place):
            yield block
            place += len(block)
        self.require_unchanged()

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

    def every_window(self, grid: WindowGrid, rows: Sequence[int]) -> Iterator[SceneWindow | None]:
        """Yield each window of some rows of windows; None for one without data.

        Args:
            grid: from :meth:`grid`.
            rows: places among the rows of ``grid``, ascending.

        Raises:
            MediaError: the file is damaged, or changed while it was read.
        """
        width, height = grid.size
        for y, band, degrees in self._bands_of_rows(grid, [grid.rows[row] for row in rows]):
            for x, box in zip(grid.columns, degrees, strict=True):
                part = band[:, :, x : x + width]
                if not part[-1].any():
                    yield None
                    continue
                pixels = _in_colour(part[:-1])
                bounds = self.place.bounds_of(x, y, width, height)
                yield SceneWindow(WindowPlace(x, y, width, height, bounds, box), pixels.copy())

    def degrees(self, windows: Sequence[Window]) -> list[Box | None]:
        """Return west, south, east and north of windows in degrees of WGS 84; None if unknown."""
        if self.place.crs is None or not windows:
            return [None] * len(windows)
        self._reader.ask("degrees", {"windows": [list(window) for window in windows]})
        return [None if box is None else tuple(box) for box in self._reply()]

    def outlines(self, windows: Sequence[Window]) -> list[Outline | None]:
        """Return the corners of windows in degrees, longitude first, anticlockwise and closed.

        Returns:
            None where they are not known, or where a window crosses the 180th meridian.
        """
        self._reader.ask("outlines", {"windows": [list(window) for window in windows]})
        found: list[Outline | None] = self._reply()
        return found

    def part(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return the pixels of one window, uint8 [3, height, width]; 0 where there is no data.

        Args:
            x: first column, pixels of the scene.
            y: first row.
            width: columns.
            height: rows.

        Raises:
            MediaError: the window is not inside the scene, or the file is damaged.
        """
        inside = 0 <= x < x + width <= self.place.width and 0 <= y < y + height <= self.place.height
        if not inside:
            raise MediaError(f"has no window {x},{y},{width},{height}; it is another scene now")
        self._reader.ask("part", {"x": x, "y": y, "width": width, "height": height})
        return _in_colour(self._reply())

    def preview(self, step: int) -> np.ndarray:
        """Return every ``step``-th row and column, uint8 [3, rows, columns].

        Raises:
            MediaError: the file is damaged, or changed while it was read.
        """
        self._reader.ask("preview", {"step": step})
        return _in_colour(self._reply())

    def _bands_of_rows(
        self, grid: WindowGrid, rows: Sequence[int]
    ) -> Iterator[tuple[int, np.ndarray, list[Box | None]]]:
        """Yield y, pixels [planes + 1, height, scene width] and degrees of each row of windows.

        The last plane is 1 where pixels have data.
        """
        height, waiting = grid.size[1], list(rows)
        held: np.ndarray | None = None
        top = filled = 0  # rows of the scene that are held: top to filled
        degrees = dict[int, list[Box | None]]()
        asked: int | None = None  # first row of the request whose reply was not taken
        try:
            for y, following in zip(rows, (*rows[1:], None), strict=False):
                while filled < y + height:
                    if asked is None:
                        asked = max(filled, y)
                        self._reader.ask("rows", {"top": asked})
                    more = self._reply()
                    if held is None or asked > filled:  # rows between are in no window
                        held, top = more, asked
                    else:
                        held, top = np.concatenate([held[:, y - top :], more], 1), y
                    filled, asked = asked + more.shape[1], None
                    while waiting and waiting[0] + height <= filled:
                        whole = waiting.pop(0)
                        boxes = self.degrees([(x, whole, *grid.size) for x in grid.columns])
                        degrees[whole] = boxes
                if asked is None and following is not None and filled < following + height:
                    asked = max(filled, following)  # read while the windows of y are used
                    self._reader.ask("rows", {"top": asked})
                assert held is not None
                yield y, held[:, y - top : y - top + height], degrees.pop(y)
        finally:
            if asked is not None:  # it is in the middle of a reply
                self._reader.close()

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

    Nothing of it is held but what is being read.

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


def _in_colour(picture: np.ndarray) -> np.ndarray:
    return picture if len(picture) == 3 else np.repeat(picture, 3, 0)


def _places(length: int, tile: int, stride: int) -> tuple[int, ...]:
    last = max(0, length - tile)
    return (*range(0, last, stride), last)
