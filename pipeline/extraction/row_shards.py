"""Rows of one modality made and written to shards, and the feature file assembled from them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice

import numpy as np

from ivr.features.shards import assemble
from ivr.features.store import text_column
from ivr.features.waveform_augmentation import change_of, file_of
from ivr.pipeline.runtime.progress import progress, warn
from ivr.pipeline.runtime.stop import Stop

from .extract_config import ExtractConfig
from .feature_schema import VOICES, held_tables, joint_config, shards_of
from .finished_rows import finished_rows
from .modality import Modality
from .parallel_readers import LostReadersError
from .target import ExtractError
from .worker_tasks import FeatureRow, SkippedFile


def write_shards(
    modality: Modality, batches: Sequence[Sequence[str]], config: ExtractConfig, stop: Stop
) -> tuple[int, list[str]]:
    """Make the rows of ``batches`` and write them to shards.

    Whatever ends this early, the rows of the batches that were finished are kept. A file that
    cannot be read is named once, not once per change.

    Returns:
        Number of rows made, and the names that were skipped.

    Raises:
        ExtractError: a damaged file with ``strict``, or a vector that cannot be stored.
    """
    pending, skipped, new, opened = list[FeatureRow](), dict[str, str](), 0, time.monotonic()
    try:
        for batch in _made(modality, batches, stop):
            rows = [row for row in batch if isinstance(row, FeatureRow)]
            pending += rows
            for made in rows:
                modality.files.note(file_of(made.name), made.stamp, made.state)
            new += len(rows)
            for row in batch:
                if isinstance(row, SkippedFile):
                    _skip(row, skipped, config)
            late = time.monotonic() - opened > config.shard_seconds
            if pending and (len(pending) >= config.shard_rows or late):
                _write_shard(modality, pending)
                pending, opened = [], time.monotonic()
    finally:
        if pending:
            _write_shard(modality, pending)
    return new, list(skipped)


def assemble_file(modality: Modality) -> set[str]:
    """Write the feature file from its predecessor and the shards; return the names of its rows.

    Raises:
        StoreError: the predecessor is damaged.
    """
    sources, finished = finished_rows(modality, held_tables(modality.path, modality.kind))
    # The order of rows does not depend on which call made the changed voices.
    recorded = [name for name in modality.names if not change_of(name)]
    others = sorted(finished - set(recorded))
    for table in sources:
        if table.path == modality.path:
            table.verify()  # its rows get a new digest, which must not bless a flipped byte
    # Without the row of a file that was replaced by one that cannot be used.
    names = [*(name for name in recorded if name in finished), *others]
    config = joint_config(sources, modality.config["settings"])
    assemble(modality.path, modality.kind, config, sources, names)
    return finished


def _skip(file: SkippedFile, skipped: dict[str, str], config: ExtractConfig) -> None:
    """Note ``file`` in ``skipped`` and say so, unless it was said of another change of it."""
    if config.strict:
        raise ExtractError(f"{file.name}: {file.reason} (stopped by --strict)")
    if not change_of(file.name) or file_of(file.name) not in skipped:
        warn(f"skipped {file.name}: {file.reason}")
    skipped[file.name] = file.reason


def _made(
    modality: Modality, batches: Sequence[Sequence[str]], stop: Stop
) -> Iterator[list[FeatureRow | SkippedFile]]:
    """Yield the rows of one batch after the other, until it is time to stop.

    A time limit is obeyed only after a row was made, so that repeated calls make progress however
    short the limit is and however many damaged files come first.
    """
    total, any_row = sum(map(len, batches)), False
    with (
        stop.ending(LostReadersError),
        closing(modality.vectorise(batches)) as made,
        closing(progress(made, total, modality.what)) as rows,
    ):
        for batch in batches:
            some = list(islice(rows, len(batch)))
            any_row = any_row or any(isinstance(row, FeatureRow) for row in some)
            yield some
            if stop and (any_row or stop.signalled):
                stop.acted_on = True
                return
        next(rows, None)  # lets the progress end, with its last line


def _write_shard(modality: Modality, rows: Sequence[FeatureRow]) -> None:
    vectors = np.stack([row.vector for row in rows])
    kind = modality.config["settings"]["stored"]
    with np.errstate(over="ignore"):
        stored = vectors.astype(kind)
    finite = np.isfinite(stored).all(axis=1)
    if not finite.all():
        name = rows[int(np.argmin(finite))].name
        raise ExtractError(
            f"{name}: its vector holds values beyond {kind}; "
            "take --stored float32 and --precision float32"
        )
    columns = {
        "names": text_column(row.name for row in rows),
        "stamps": np.array([row.joint_stamp for row in rows], np.uint64),
        "vectors": stored,
    }
    if modality.kind == VOICES:
        columns["frames"] = np.array([row.frames for row in rows], np.int32)
    shards_of(modality.path, modality.kind).write(modality.config, columns)
