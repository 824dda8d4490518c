"""Rows of batches of files: images through their encoder, voices through theirs."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ivr.features.encoder_batches import ImageBatches
from ivr.features.raster_process import raster_readers
from ivr.features.voice_blueprint import Encode, VoiceBlueprint
from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.words import counted

from .extract_config import ExtractConfig
from .other_voices import Others
from .parallel_readers import Readers, Rows
from .worker_tasks import FeatureRow, decode, listen


def _readers(config: ExtractConfig, work: Sequence[Sequence[str]]) -> Readers:
    most = max(map(len, work), default=1)
    return Readers(config.jobs, max(config.shard_rows, 2 * most), config.scheduler_address)


def image_rows(
    work: Sequence[Sequence[str]], root: Path, batches: ImageBatches, config: ExtractConfig
) -> Rows:
    """Yield the rows of ``work``; a GPU computes one batch while the host reads the next."""
    names = list(chain.from_iterable(work))
    behind = 1 if batches.device.type == "cuda" else 0
    started: list[tuple[list[Any], Callable[[], np.ndarray]]] = []
    readers = _readers(config, work)
    arguments = (root, batches.encoder.input, config.image.pixels)
    with (
        raster_readers(),
        closing(readers.read(decode, names, arguments, "threads")) as decoded,
    ):
        for batch in work:
            rows = list(islice(decoded, len(batch)))
            images = [row.vector for row in rows if isinstance(row, FeatureRow)]
            started.append((rows, batches.start(np.stack(images)) if images else _nothing))
            if len(started) > behind:
                yield from _with_vectors(*started.pop(0))
        for rows, wait in started:
            yield from _with_vectors(rows, wait)


def saying_blank(rows: Rows, encoder: str) -> Rows:
    """Yield ``rows`` of images, and say at the end how many vectors are zeros."""
    number, first = 0, ""
    try:
        for row in rows:
            if isinstance(row, FeatureRow) and not row.vector.any():
                number, first = number + 1, first or row.name
            yield row
    finally:
        rows.close()
        if number:
            warn(
                f"note: {counted(number, 'image')} with a vector of zeros, e.g. {first}: "
                f"{encoder} finds nothing in them"
            )


def _nothing() -> np.ndarray:
    return np.empty((0, 0), np.float32)


def _with_vectors(rows: Sequence[Any], wait: Callable[[], np.ndarray]) -> Rows:
    vectors = iter(wait())
    for row in rows:
        yield replace(row, vector=next(vectors)) if isinstance(row, FeatureRow) else row


def voice_rows(
    work: Sequence[Sequence[str]],
    root: Path,
    blueprint: VoiceBlueprint,
    encode: Encode,
    config: ExtractConfig,
    others: Others,
) -> Rows:
    """Yield the rows of ``work``: readers make the inputs of ``encode``, which takes batches.

    Readers that make whole sequences are processes; those that only prepare them are threads.
    """
    names = list(chain.from_iterable(work))
    arguments = (root, blueprint.reader, os.getpid())
    prefer: Literal["threads", "processes"] = "threads" if blueprint.load else "processes"
    readers = _readers(config, work)
    with closing(
        readers.read(listen, names, arguments, prefer, lambda name: (others(name),))
    ) as heard:
        for batch in work:
            rows = list(islice(heard, len(batch)))
            made = iter(encode([row.vector for row in rows if isinstance(row, FeatureRow)]))
            for row in rows:
                if isinstance(row, FeatureRow):
                    vectors = blueprint.of_fixed_length(next(made))
                    yield replace(row, vector=vectors.reshape(-1))
                else:
                    yield row
