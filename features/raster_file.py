"""TIFF, JPEG 2000 and deep PNG, read by GDAL; runs in a process of its own.

GDAL decodes; this module chooses bands, leaves out what holds no data, and makes 8 bits of deeper
values, in strips, so that memory stays bounded. Pixels without data (GDAL_NODATA, a mask, alpha 0,
NaN, infinity) have no part in the stretch and are 0 in the picture. Damaged and huge files can
crash, stop or swell a C library, so :mod:`ivr.features.raster_process` runs it apart.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from .exact_percentiles import exact_percentiles
from .image_bands import PixelConfig, chosen_bands, scale
from .media import MediaError, check_pixels

STRETCH_PERCENTILES = (2.0, 98.0)
"""Percentiles that become 0 and 255 in images deeper than 8 bits."""
HELD_BYTES = 64 << 20
"""Images of at most this size are decoded once and held, larger ones are decoded per pass."""
STRIP_BYTES = 16 << 20
"""Size of the strips of larger images."""

_CMYK = {ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black}
# What GDAL says of tags that are odd or unknown, which says nothing about the pixels.
_OF_TAGS = re.compile(r"TIFF(Read(Custom)?Directory|Fetch|Advance|SetField)\w*:")
_NAMES_IN_MESSAGES = re.compile(
    r"CPLE_\w+( in \w*)?:\s*|'?(GTIFF_DIR:\d+:)?(/vsimem/[\w-]+/)?\bfile\b'?(, band \d+)?:?\s*"
)
Strip = tuple[slice, np.ndarray, np.ndarray | None]
"""Rows; values [bands, rows, width]; where they are valid, of the same shape, None: everywhere."""


class _Warnings(logging.Handler):
    """What GDAL says while it reads pixels: a decoder that goes on after an error only warns."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not _OF_TAGS.search(record.getMessage()):
            self.texts.append(record.getMessage())


@dataclass(frozen=True)
class _Band:
    dataset: Any
    number: int

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.dataset.dtypes[self.number - 1])
        return dtype

    @property
    def bits(self) -> int:
        stated = self.dataset.tags(self.number, ns="IMAGE_STRUCTURE").get("NBITS")
        return int(stated) if stated else 8 * self.dtype.itemsize

    @property
    def inverted(self) -> bool:
        return bool(self.dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES")

    def valid(self, window: Window) -> np.ndarray | None:
        """Return where GDAL says that the values are valid; None if everywhere."""
        dataset = self.dataset
        found = None
        if MaskFlags.all_valid not in dataset.mask_flag_enums[self.number - 1]:
            found = dataset.read_masks(self.number, window=window) != 0
        # GDAL's own mask leaves alpha out if there is a value that means no data.
        for number, colour in enumerate(dataset.colorinterp, 1):
            if colour is ColorInterp.alpha and number != self.number:
                alpha = dataset.read(number, window=window) != 0
                found = alpha if found is None else found & alpha
        return found


@dataclass(frozen=True)
class _Bands:
    """Bands of one size and type, read in strips of whole rows."""

    bands: Sequence[_Band]

    @property
    def shape(self) -> tuple[int, int]:
        return self.bands[0].dataset.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.bands[0].dtype

    def strips(self) -> Callable[[], Iterator[Strip]]:
        """Return a function that yields the strips, at each call from the first to the last."""
        height, width = self.shape
        row = len(self.bands) * width * self.dtype.itemsize
        if height * row <= HELD_BYTES:
            held = (self._strip(0, height),)
            return lambda: iter(held)
        block = min(self.bands[0].dataset.block_shapes[self.bands[0].number - 1][0], height)
        rows = max(1, STRIP_BYTES // row)
        if block * row <= 4 * STRIP_BYTES:
            rows = max(1, rows // block) * block
        return lambda: (self._strip(top, min(rows, height - top)) for top in range(0, height, rows))

    def _values(self, window: Window) -> np.ndarray:
        values: np.ndarray
        if len({id(band.dataset) for band in self.bands}) == 1:
            numbers = [band.number for band in self.bands]
            values = self.bands[0].dataset.read(numbers, window=window)
        else:
            parts = [band.dataset.read(band.number, window=window) for band in self.bands]
            values = np.stack(parts)
        return values

    def _strip(self, top: int, rows: int) -> Strip:
        window = Window(0, top, self.shape[1], rows)
        values = self._values(window)
        valid = np.isfinite(values) if values.dtype.kind == "f" else None
        for number, band in enumerate(self.bands):
            stated = band.valid(window)
            if stated is not None:
                valid = np.ones(values.shape, bool) if valid is None else valid
                valid[number] &= stated
        return slice(top, top + rows), _upright(values, self.bands[0]), valid


def read_raster(data: bytes, driver: str, pages: Sequence[int], config: PixelConfig) -> np.ndarray:
    """Return the picture in the file ``data``, uint8 [1 or 3, height, width].

    Args:
        data: content of the file.
        driver: GDAL's name of its kind: ``GTiff``, ``JP2OpenJPEG`` or ``PNG``.
        pages: pages of a TIFF, from 1: the one that holds the scene, or all whose bands are joined;
            empty for other kinds.
        config: which bands are taken, and how deep values become 8 bits.

    Raises:
        MediaError: the file is damaged, too large, of a kind that is not read, without such bands,
            or without a valid pixel.
    """
    heard = _Warnings()
    logger = logging.getLogger("rasterio")
    logger.propagate = False
    try:
        # The file stands alone in GDAL's memory: no other file is looked at.
        with rasterio.Env(), ExitStack() as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            file = opened.enter_context(MemoryFile(data, filename="file"))
            names = [f"GTIFF_DIR:{page}:{file.name}" if page > 1 or len(pages) > 1 else file.name
                     for page in pages] or [file.name]  # fmt: skip
            datasets = [opened.enter_context(rasterio.open(name, driver=driver)) for name in names]
            logger.addHandler(heard)
            pixels = _picture(datasets, config)
    except RasterioError as error:
        raise _unreadable(driver, _first_cause(error)) from error
    finally:
        logger.removeHandler(heard)
    if heard.texts:
        raise _unreadable(driver, heard.texts[0])
    return pixels


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _unreadable(driver: str, message: str) -> MediaError:
    kind = {"GTiff": "TIFF", "JP2OpenJPEG": "JPEG 2000"}.get(driver, driver)
    codec = re.search(r"missing codec of code (\d+)", message)
    if codec:
        return MediaError(
            f"TIFF compression {codec[1]}, which is not read; save it with another, e.g. deflate"
        )
    text = _NAMES_IN_MESSAGES.sub("", " ".join(message.split())).strip(" .")
    return MediaError(
        f"damaged, cut short, or a kind of {kind} that is not supported (GDAL: {text})"
    )


def _picture(datasets: Sequence[Any], config: PixelConfig) -> np.ndarray:
    first = datasets[0]
    for dataset in datasets:
        check_pixels(dataset.width, dataset.height)
        if dataset.shape != first.shape:
            raise MediaError("pages of different sizes; save them with one size")
    bands = [_Band(dataset, number) for dataset in datasets for number in dataset.indexes]
    colours = [colour for dataset in datasets for colour in dataset.colorinterp]
    if set(colours) & _CMYK:
        raise MediaError("CMYK of more than 8 bits; convert it to RGB")
    if len(datasets) == 1 and colours[0] is ColorInterp.palette and not bands[0].inverted:
        return _coloured(bands[0], config)
    descriptions = [text or "" for dataset in datasets for text in dataset.descriptions]
    names = [colour.name for colour in colours]
    if len(datasets) > 1:
        names = []  # every page calls its band grey
    chosen = _Bands([bands[band] for band in chosen_bands(config.bands, descriptions, names)])
    if len({(band.dtype, band.bits, band.inverted) for band in chosen.bands}) > 1:
        raise MediaError("bands of different types; choose others with --bands")
    if chosen.dtype.kind == "c":
        raise MediaError("complex numbers; save their magnitudes")
    return _eight_bits(chosen, config.stretch)


def _upright(values: np.ndarray, band: _Band) -> np.ndarray:
    """Return ``values`` with the largest as white, as TIFF's WhiteIsZero does not have them."""
    if not band.inverted:
        return values
    if values.dtype.kind != "u":
        raise MediaError(f"white is 0 in values of type {values.dtype}; save it with black as 0")
    upright: np.ndarray = np.array((1 << band.bits) - 1, values.dtype) - values
    return upright


def _coloured(band: _Band, config: PixelConfig) -> np.ndarray:
    """Return the colours of an image of indices into a palette."""
    palette = np.zeros((1 << 8 * band.dtype.itemsize, 4), np.uint8)
    for index, colour in band.dataset.colormap(band.number).items():
        palette[index] = colour
    chosen = chosen_bands(config.bands, ["red", "green", "blue"])
    picture = np.zeros((len(chosen), *band.dataset.shape), np.uint8)
    any_valid = False
    for rows, values, valid in _Bands([band]).strips()():
        colours = palette[values[0]]
        shown = colours[..., 3] > 0
        if valid is not None:
            shown &= valid[0]
        any_valid |= bool(shown.any())
        picture[:, rows] = np.where(shown, colours[..., chosen].transpose(2, 0, 1), 0)
    return _with_data(picture, any_valid)


def _eight_bits(bands: _Bands, stretch: str) -> np.ndarray:
    strips = bands.strips()
    if bands.dtype != np.uint8:
        offset, gain = _stretch(strips, bands.dtype, stretch)
    else:
        levels = (1 << min(bands.bands[0].bits, 8)) - 1
        offset, gain = 0.0, 255 / levels
    pixels_of = _conversion(bands.dtype, offset, gain)
    picture = np.zeros((len(bands.bands), *bands.shape), np.uint8)
    any_valid = False
    for rows, values, valid in strips():
        if valid is None:
            picture[:, rows] = pixels_of(values)
        else:
            picture[:, rows] = np.where(valid, pixels_of(np.where(valid, values, 0)), 0)
        any_valid |= valid is None or bool(valid.any())
    return _with_data(picture, any_valid)


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


def _with_data(picture: np.ndarray, any_valid: bool) -> np.ndarray:
    if not any_valid:
        raise MediaError("holds no valid pixel")
    return picture


def _stretch(
    strips: Callable[[], Iterator[Strip]], dtype: np.dtype[Any], stretch: str
) -> tuple[float, float]:
    """Return offset and gain that map values of ``dtype`` to 0 to 255."""

    def blocks() -> Iterator[np.ndarray]:
        return (values.ravel() if ok is None else values[ok] for _, values, ok in strips())

    if stretch.startswith("scale:"):
        return scale(stretch)
    percents = STRETCH_PERCENTILES if stretch == "percentile" else (0.0, 100.0)
    try:
        low, high = exact_percentiles(blocks, dtype, percents)
    except ValueError as error:
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
