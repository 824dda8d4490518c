"""Codes in batches of rows of the table: all of them into memory, or only what has changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .held_codes import HeldCodes, HeldCodesBuilder

ROW_ID = "_rowid"
CHANGED_IN = "_row_last_updated_at_version"
"""Column of Lance: the version that a row was added or changed in."""


def held_codes(
    batches: Iterable[pa.RecordBatch], modalities: Sequence[str], width: int
) -> dict[str, HeldCodes]:
    """Return the codes of all rows of some modalities, in one pass.

    Args:
        batches: rows with their modality, code and row id.
        modalities: modalities that are held.
        width: bytes per code.
    """
    builders = {modality: HeldCodesBuilder(width) for modality in modalities}
    for batch in batches:
        for modality, builder in builders.items():
            builder.add(*_of_modality(batch, modality, width))
    return {modality: builder.held() for modality, builder in builders.items()}


def followed(
    held: Mapping[str, HeldCodes],
    changed: Iterable[pa.RecordBatch],
    size: int,
    row_ids: Callable[[], Iterator[np.ndarray]],
) -> dict[str, HeldCodes]:
    """Return the codes of a later version; blocks without a change are those of ``held``.

    Args:
        held: codes of a version, of all modalities.
        changed: at least the rows that were added or changed since, with modality, code and row id.
        size: number of rows of the later version.
        row_ids: called if rows were removed; returns the row ids of the later version, in parts.
    """
    found = dict(held)
    fresh: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {modality: [] for modality in found}
    for batch in changed:
        for modality, before in found.items():
            codes, ids = _of_modality(batch, modality, before.width)
            there, old = before.codes_of(ids)
            other = (old != codes[there]).any(1)
            new = ~there
            new[there] = other
            found[modality] = before.without(ids[there][other])
            fresh[modality].append((codes[new], ids[new]))
    for modality, parts in fresh.items():
        if parts:
            codes, ids = (np.concatenate(some) for some in zip(*parts, strict=True))
            found[modality] = found[modality].with_rows(codes, ids)
    if sum(map(len, found.values())) == size:
        return found
    return _present(found, row_ids())


def _present(held: Mapping[str, HeldCodes], row_ids: Iterator[np.ndarray]) -> dict[str, HeldCodes]:
    """Return the codes without the rows that are not among ``row_ids``."""
    marks = {modality: codes.nothing_seen() for modality, codes in held.items()}
    for some in row_ids:
        for modality, codes in held.items():
            codes.see(some, marks[modality])
    return {modality: codes.only_seen(marks[modality]) for modality, codes in held.items()}


def _of_modality(batch: pa.RecordBatch, modality: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes [m, width] and row ids [m] of the rows of one modality."""
    chosen = pc.equal(batch.column("modality"), modality)
    if chosen.true_count == 0:
        return np.empty((0, width), np.uint8), np.empty(0, np.uint64)
    codes = batch.column("code").flatten().to_numpy().reshape(len(batch), width)
    row_ids = batch.column(ROW_ID).to_numpy()
    if chosen.true_count == len(batch):
        return codes, row_ids
    kept = chosen.to_numpy(zero_copy_only=False)
    return codes[kept], row_ids[kept]
