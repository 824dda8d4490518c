"""Codes of files: read by parallel readers, computed in batches by a model."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ivr.features.raster_place import RasterPlace
from ivr.features.raster_process import raster_readers
from ivr.pipeline.extraction.parallel_readers import Readers
from ivr.pipeline.extraction.worker_tasks import FeatureRow, SkippedFile, listen
from ivr.pipeline.packing.code_maker import CodeMaker

from .add_config import AddConfig
from .read_tasks import PlacedRow, decode_placed
from .sources import SourceItems

BATCH = 128
FEW = 16  # recordings that are not worth starting processes for


@dataclass(frozen=True)
class CodedFile:
    """The code of one file.

    Attributes:
        row: the file as the reader returned it, without its vector.
        code: packed code [bits / 8], uint8.
    """

    row: FeatureRow
    code: np.ndarray

    @property
    def place(self) -> RasterPlace | None:
        """Where and when an image was taken, None for voices and files that do not say."""
        return self.row.place if isinstance(self.row, PlacedRow) else None


Coded = Generator[CodedFile | SkippedFile, None, None]


def coded_files(items: SourceItems, maker: CodeMaker, config: AddConfig) -> Coded:
    """Yield the code of each item, or why its file cannot be used, in the order of ``items``.

    Raises:
        ReadersError, LostReadersError: see :mod:`ivr.pipeline.extraction.parallel_readers`.
    """
    size = config.batch_size or BATCH
    readers = Readers(config.jobs, 4 * size, config.scheduler_address)
    if items.modality == "image":
        read = readers.read(
            decode_placed, items.files, (items.root, maker.input, maker.pixels_config), "threads"
        )
    else:
        prefer = "processes" if len(items.files) > FEW else "threads"
        arguments = (items.root, maker.voices.reader, os.getpid())
        read = readers.read(listen, items.files, arguments, prefer)  # type: ignore[arg-type]
    with closing(read), raster_readers():
        while batch := list(islice(read, size)):
            yield from _coded(batch, items.modality, maker)


def _coded(batch: Sequence[FeatureRow | SkippedFile], modality: str, maker: CodeMaker) -> Coded:
    rows = [row for row in batch if isinstance(row, FeatureRow)]
    codes = iter(()) if not rows else iter(_codes(rows, modality, maker))
    for row in batch:
        yield CodedFile(row, next(codes)) if isinstance(row, FeatureRow) else row


def _codes(rows: Sequence[FeatureRow], modality: str, maker: CodeMaker) -> np.ndarray:
    if modality == "image":
        return maker.codes_of_pixels(np.stack([row.vector for row in rows]))
    streams = maker.voices.of_inputs([row.vector for row in rows])
    return maker.codes_of_streams(streams, np.array([row.frames for row in rows]))
