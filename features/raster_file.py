"""TIFF, JPEG 2000 and deep PNG, opened by GDAL; runs in a process of its own.

GDAL decodes; :mod:`ivr.features.raster_bands` chooses bands, leaves out what holds no data, and
makes 8 bits of deeper values. Damaged and huge files can crash, stop or swell a C library, so
:mod:`ivr.features.raster_process` runs it apart.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from .image_bands import PixelConfig
from .media import MediaError, check_pixels
from .raster_bands import Bands, bands_of, held, painter_of, stretch_of

# What GDAL says of tags that are odd or unknown, which says nothing about the pixels.
_OF_TAGS = re.compile(r"TIFF(Read(Custom)?Directory|Fetch|Advance|SetField)\w*:")
_NAMES_IN_MESSAGES = re.compile(
    r"CPLE_\w+( in \w*)?:\s*|'?(GTIFF_DIR:\d+:)?"
    r"((/vsimem/[\w-]+/)?\bfile\b|/dev/fd/\d+|\b\d+(?=, band \d))'?(, band \d+)?:?\s*"
)


class _Warnings(logging.Handler):
    """What GDAL says while it reads pixels: a decoder that goes on after an error only warns."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not _OF_TAGS.search(record.getMessage()):
            self.texts.append(record.getMessage())


@dataclass(frozen=True)
class OpenedRaster:
    """A raster that GDAL has opened.

    Attributes:
        driver: GDAL's name of its kind.
        datasets: what rasterio opened, one per page.
    """

    driver: str
    datasets: Sequence[Any]
    _heard: _Warnings

    def check(self) -> None:
        """Refuse a file of which GDAL has said that something is wrong.

        Raises:
            MediaError: it is damaged, or of a kind that is not supported.
        """
        if self._heard.texts:
            raise _unreadable(self.driver, self._heard.texts[0])

    @contextmanager
    def about_place(self) -> Iterator[None]:
        """Forget what GDAL says in the block: coordinates are read there, and no pixels."""
        before = list(self._heard.texts)
        try:
            yield
        finally:
            self._heard.texts[:] = before


@contextmanager
def opened_raster(
    name: str, driver: str, pages: Sequence[int], threads: int = 1
) -> Iterator[OpenedRaster]:
    """Yield the file that GDAL calls ``name``.

    Args:
        name: name of the file.
        driver: GDAL's name of its kind: ``GTiff``, ``JP2OpenJPEG`` or ``PNG``.
        pages: pages of a TIFF, from 1: the one that holds the scene, or all whose bands are joined;
            empty for other kinds.
        threads: number of threads that decode.

    Raises:
        MediaError: GDAL cannot read it, while it is opened or inside the block.
    """
    heard = _Warnings()
    logger = logging.getLogger("rasterio")
    logger.propagate = False
    names = [f"GTIFF_DIR:{page}:{name}" if page > 1 or len(pages) > 1 else name
             for page in pages] or [name]  # fmt: skip
    try:
        with (
            gdal_errors(driver),
            rasterio.Env(GDAL_NUM_THREADS=threads),
            ExitStack() as opened,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            datasets = [opened.enter_context(rasterio.open(one, driver=driver)) for one in names]
            logger.addHandler(heard)
            yield OpenedRaster(driver, datasets, heard)
    finally:
        logger.removeHandler(heard)


@contextmanager
def gdal_errors(driver: str) -> Iterator[None]:
    """Turn errors of GDAL in the block into a :class:`MediaError` that says what it is about."""
    try:
        yield
    except RasterioError as error:
        raise _unreadable(driver, _first_cause(error)) from error


@contextmanager
def opened_raster_of(data: bytes, driver: str, pages: Sequence[int]) -> Iterator[OpenedRaster]:
    """Yield the file whose content is ``data``, see :func:`opened_raster`.

    It stands alone in GDAL's memory: no other file is looked at.

    Raises:
        MediaError: as there.
    """
    with (
        MemoryFile(data, filename="file") as file,
        opened_raster(file.name, driver, pages) as raster,
    ):
        yield raster


def read_raster(data: bytes, driver: str, pages: Sequence[int], config: PixelConfig) -> np.ndarray:
    """Return the picture in the file ``data``, uint8 [1 or 3, height, width].

    Args:
        data: content of the file.
        driver: as :func:`opened_raster` takes it.
        pages: as :func:`opened_raster` takes them.
        config: which bands are taken, and how deep values become 8 bits.

    Raises:
        MediaError: the file is damaged, too large, of a kind that is not read, without such bands,
            or without a valid pixel.
    """
    with opened_raster_of(data, driver, pages) as raster:
        for dataset in raster.datasets:
            check_pixels(dataset.width, dataset.height)
        picture = _picture(bands_of(raster.datasets, config), config)
        raster.check()
    return picture


def _picture(bands: Bands, config: PixelConfig) -> np.ndarray:
    pieces = held(bands)
    paint = painter_of(bands, config, stretch_of(bands, config, pieces))
    picture: np.ndarray | None = None
    any_valid = False
    for window, (values, valid) in pieces():
        pixels, shown = paint(values, valid)
        if picture is None:
            picture = np.zeros((len(pixels), *bands.shape), np.uint8)
        picture[:, *window.toslices()] = pixels
        any_valid |= shown is None or bool(shown.any())
    if picture is None or not any_valid:
        raise MediaError("holds no valid pixel")
    return picture


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
