"""Bands of a raster that GDAL has opened, and the picture of 8 bits that they become.

Everything is read in pieces, so that memory stays bounded. Pixels without data (GDAL_NODATA, a
mask, alpha 0, NaN, infinity) have no part in the stretch and are 0 in the picture. Runs in the
process of :mod:`ivr.features.raster_worker`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from .exact_percentiles import exact_percentiles
from .image_bands import PixelConfig, chosen_bands, scale
from .media import MediaError

STRETCH_PERCENTILES = (2.0, 98.0)
"""Percentiles that become 0 and 255 in images deeper than 8 bits."""
HELD_BYTES = 64 << 20
"""Images of at most this size are decoded once and held, larger ones are decoded per pass."""
PIECE_BYTES = 16 << 20
"""Size of the pieces of larger images."""

_CMYK = {ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black}
Values = tuple[np.ndarray, np.ndarray | None]
"""Values [bands, rows, columns]; where they are valid, of the same shape, None: everywhere."""
Stretch = tuple[float, float]
"""Offset and gain: a pixel is the gain times the value less the offset, from 0 to 255."""
Painter = Callable[[np.ndarray, np.ndarray | None], Values]
"""Turns values into pixels uint8 [1 or 3, rows, columns], and says where any band is valid."""


@dataclass(frozen=True)
class Band:
    """One band of an opened file.

    Attributes:
        dataset: what rasterio opened.
        number: place of the band in it, from 1.
    """

    dataset: Any
    number: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.dataset.dtypes[self.number - 1])
        return dtype

    @property
    def bits(self) -> int:
        """Bits of a value that are used."""
        stated = self.dataset.tags(self.number, ns="IMAGE_STRUCTURE").get("NBITS")
        return int(stated) if stated else 8 * self.dtype.itemsize

    @property
    def inverted(self) -> bool:
        """Whether 0 is white."""
        return bool(self.dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES")

    def valid(self, window: Window, shape: tuple[int, int]) -> np.ndarray | None:
        """Return where GDAL says that the values are valid; None if everywhere."""
        dataset, options = self.dataset, {"window": window, "out_shape": shape}
        found = None
        if MaskFlags.all_valid not in dataset.mask_flag_enums[self.number - 1]:
            found = dataset.read_masks(self.number, **options) != 0
        # GDAL's own mask leaves alpha out if there is a value that means no data.
        for number, colour in enumerate(dataset.colorinterp, 1):
            if colour is ColorInterp.alpha and number != self.number:
                alpha = dataset.read(number, **options) != 0
                found = alpha if found is None else found & alpha
        return found


@dataclass(frozen=True)
class Bands:
    """Bands of one size and type."""

    bands: Sequence[Band]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.bands[0].dataset.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.bands[0].dtype

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of the parts in which the file stores its pixels, as GDAL reads them."""
        first = self.bands[0]
        rows, columns = first.dataset.block_shapes[first.number - 1]
        return min(rows, self.shape[0]), min(columns, self.shape[1])

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel in all bands."""
        return len(self.bands) * self.dtype.itemsize

    def pieces(self, top: int, rows: int) -> Iterator[Window]:
        """Yield windows that cover ``rows`` rows from ``top``, from the first row to the last.

        They consist of whole blocks where these are small enough, so that no block is decoded
        twice.
        """
        height, width = min(rows, self.shape[0] - top), self.shape[1]
        pixels = max(1, PIECE_BYTES // self.pixel_bytes)
        block_rows, block_columns = self.block
        columns = width
        if block_rows * width > pixels:  # not even one row of blocks: take some blocks of it
            columns = min(width, max(1, pixels // block_rows // block_columns) * block_columns)
        high = max(1, pixels // columns)
        high = max(1, high // block_rows) * block_rows if block_rows <= 4 * high else high
        for first in range(top, top + height, high):
            for left in range(0, width, columns):
                size = min(columns, width - left), min(high, top + height - first)
                yield Window(left, first, *size)

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Values:
        """Return the values of ``window``, the largest as white, and where they are valid.

        Args:
            window: part of the raster.
            shape: rows and columns to take of it, evenly spread; all if None.
        """
        shape = shape or (int(window.height), int(window.width))
        options = {"window": window, "out_shape": shape}
        if len({id(band.dataset) for band in self.bands}) == 1:
            numbers = [band.number for band in self.bands]
            options["out_shape"] = (len(numbers), *shape)
            values = self.bands[0].dataset.read(numbers, **options)
        else:
            values = np.stack([band.dataset.read(band.number, **options) for band in self.bands])
        valid = np.isfinite(values) if values.dtype.kind == "f" else None
        for number, band in enumerate(self.bands):
            stated = band.valid(window, shape)
            if stated is not None:
                valid = np.ones(values.shape, bool) if valid is None else valid
                valid[number] &= stated
        return _upright(values, self.bands[0]), valid


def held(bands: Bands) -> Callable[[], Iterator[tuple[Window, Values]]]:
    """Return a function that yields all pieces with their values; a small image is held."""
    height, width = bands.shape
    if height * width * bands.pixel_bytes <= HELD_BYTES:
        whole = Window(0, 0, width, height)
        kept = ((whole, bands.read(whole)),)
        return lambda: iter(kept)
    return lambda: ((window, bands.read(window)) for window in bands.pieces(0, height))


def bands_of(datasets: Sequence[Any], config: PixelConfig) -> Bands:
    """Return the bands that become the picture; the one of an image with a palette.

    Raises:
        MediaError: the pages do not fit together, or there are no such bands.
    """
    first = datasets[0]
    for dataset in datasets:
        if dataset.shape != first.shape:
            raise MediaError("pages of different sizes; save them with one size")
    bands = [Band(dataset, number) for dataset in datasets for number in dataset.indexes]
    colours = [colour for dataset in datasets for colour in dataset.colorinterp]
    if set(colours) & _CMYK:
        raise MediaError("CMYK of more than 8 bits; convert it to RGB")
    if len(datasets) == 1 and _palette(Bands(bands[:1])):
        return Bands(bands[:1])
    descriptions = [text or "" for dataset in datasets for text in dataset.descriptions]
    names = [colour.name for colour in colours]
    if len(datasets) > 1:
        names = []  # every page calls its band grey
    chosen = Bands([bands[band] for band in chosen_bands(config.bands, descriptions, names)])
    if len({(band.dtype, band.bits, band.inverted) for band in chosen.bands}) > 1:
        raise MediaError("bands of different types; choose others with --bands")
    if chosen.dtype.kind == "c":
        raise MediaError("complex numbers; save their magnitudes")
    return chosen


def stretch_of(
    bands: Bands, config: PixelConfig, pieces: Callable[[], Iterator[tuple[Window, Values]]]
) -> Stretch | None:
    """Return offset and gain that make 0 to 255 of the values; None for indices into a palette.

    Args:
        bands: bands of :func:`bands_of`.
        config: what the user chose.
        pieces: yields all pieces with their values, at each call; read only for values deeper
            than 8 bits whose stretch depends on them.

    Raises:
        MediaError: there is no valid pixel, or the stretch does not take these values.
    """
    if _palette(bands):
        return None
    if bands.dtype == np.uint8:
        return 0.0, 255 / ((1 << min(bands.bands[0].bits, 8)) - 1)
    return _stretch_of_values(pieces, bands.dtype, config.stretch)


def painter_of(bands: Bands, config: PixelConfig, stretch: Stretch | None) -> Painter:
    """Return the function that makes pixels of the values of ``bands`` with their ``stretch``."""
    if stretch is None:
        return _colouring(bands.bands[0], config)
    pixels_of = _conversion(bands.dtype, *stretch)

    def paint(values: np.ndarray, valid: np.ndarray | None) -> Values:
        if valid is None:
            return pixels_of(values), None
        pixels = np.where(valid, pixels_of(np.where(valid, values, 0)), 0)
        return pixels.astype(np.uint8, copy=False), np.asarray(valid.any(0))

    return paint


def _palette(bands: Bands) -> bool:
    first = bands.bands[0]
    colour = first.dataset.colorinterp[first.number - 1]
    return len(bands.bands) == 1 and colour is ColorInterp.palette and not first.inverted


def _colouring(band: Band, config: PixelConfig) -> Painter:
    """Return the function that makes pixels of indices into the palette of ``band``."""
    palette = np.zeros((1 << 8 * band.dtype.itemsize, 4), np.uint8)
    for index, colour in band.dataset.colormap(band.number).items():
        palette[index] = colour
    chosen = chosen_bands(config.bands, ["red", "green", "blue"])

    def paint(values: np.ndarray, valid: np.ndarray | None) -> Values:
        colours = palette[values[0]]
        shown: np.ndarray = colours[..., 3] > 0
        if valid is not None:
            shown = shown & valid[0]
        return np.where(shown, colours[..., chosen].transpose(2, 0, 1), 0), shown

    return paint


def _stretch_of_values(
    pieces: Callable[[], Iterator[tuple[Window, Values]]], dtype: np.dtype[Any], stretch: str
) -> Stretch:
    """Return offset and gain that map values of ``dtype`` to 0 to 255."""

    def blocks() -> Iterator[np.ndarray]:
        for _, (values, valid) in pieces():
            yield values.ravel() if valid is None else values[valid]

    if stretch.startswith("scale:"):
        return scale(stretch)
    percents = STRETCH_PERCENTILES if stretch == "percentile" else (0.0, 100.0)
    try:
        low, high = exact_percentiles(blocks, dtype, percents)
    except ValueError as error:
        if isinstance(error, MediaError):  # of the pieces
            raise
        raise MediaError("holds no valid pixel") from error
    if stretch == "none":
        if low < 0 or high > 255:
            raise MediaError(
                f"values from {low:g} to {high:g}, which --stretch none does not take; "
                "take percentile, minmax or scale:OFFSET,GAIN"
            )
        return 0.0, 1.0
    # If both are equal, larger values become white and all others black.
    return low, 255 / max(high - low, 1e-30)


def _conversion(
    dtype: np.dtype[Any], offset: float, gain: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that makes pixels of values of ``dtype``."""
    if dtype == np.uint8 and gain == 1:
        return lambda values: values
    if dtype.kind == "f" or dtype.itemsize > 2:
        return lambda values: _scaled(values, offset, gain)
    bits = f"u{dtype.itemsize}"
    table = _scaled(np.arange(1 << 8 * dtype.itemsize).astype(bits).view(dtype), offset, gain)
    return lambda values: table[values.astype(dtype, copy=False).view(bits)]


def _scaled(values: np.ndarray, offset: float, gain: float) -> np.ndarray:
    numbers = (values.astype(np.float64) - offset) * gain
    return np.rint(np.clip(numbers, 0, 255)).astype(np.uint8)


def _upright(values: np.ndarray, band: Band) -> np.ndarray:
    """Return ``values`` with the largest as white, as TIFF's WhiteIsZero does not have them."""
    if not band.inverted:
        return values
    if values.dtype.kind != "u":
        raise MediaError(f"white is 0 in values of type {values.dtype}; save it with black as 0")
    upright: np.ndarray = np.array((1 << band.bits) - 1, values.dtype) - values
    return upright
