"""The items that are exported, of an archive or of the codes of a run, batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivr.config import OptionError
from ivr.pipeline.runs.codes_file import CodedItems, read_codes
from ivr.pipeline.runtime.near_paths import instead

from .archive import Archive, open_archive
from .code_batches import ROW_ID
from .item_columns import beside, code_type
from .lance_library import ArchiveError, is_archive
from .where import parse_bounds

ID = "id"
TAKEN = (ID, "code_uint64", "geometry", "distance")
"""Columns that an export or a database adds; others that are named so get an underscore."""
BOX = ("west", "south", "east", "north")
"""Columns of the box of an item, degrees."""


@dataclass(frozen=True)
class ExportedItems:
    """Items with their codes.

    Attributes:
        place: the archive or the codes file.
        bits: bits per code.
        made_by: what decided the codes, as JSON values: ``identity`` of the model of an archive, or
            ``model``, the sha256 of the model of a run, and others.
        schema: columns of the batches: ``id`` (int64; the order of ties), ``name``, ``modality``,
            ``code`` (uint8 [bits / 8]), and others with their types.
        count: number of rows.
        batches: returns the rows, batch by batch.
    """

    place: str
    bits: int
    made_by: dict[str, Any]
    schema: pa.Schema
    count: int
    batches: Callable[[], Iterator[pa.RecordBatch]]


def exported_items(
    place: str | Path, where: str | None = None, bbox: str | None = None
) -> ExportedItems:
    """Return the items of ``place``.

    Args:
        place: an archive, a run folder or a codes file.
        where: SQL condition on the rows of an archive.
        bbox: ``WEST,SOUTH,EAST,NORTH`` in degrees; only rows of an archive whose box touches it.

    Raises:
        ConditionError: a condition or a box that cannot be used.
        OptionError: a condition for a run.
        ArchiveError: an archive that cannot be read.
        StoreError: no codes that ``ivr encode`` writes.
    """
    if is_archive(place):
        return _of_archive(open_archive(place), where, bbox)
    if where or bbox:
        raise OptionError(f"{place}: --where and --bbox belong to an archive, which this is not")
    path = Path(place)
    if not path.exists():
        raise ArchiveError(f"{path}: {instead(path)}; name an archive, a run or a codes file")
    return _of_codes(path / "codes.h5" if path.is_dir() else path)


def _of_archive(archive: Archive, where: str | None, bbox: str | None) -> ExportedItems:
    bounds = parse_bounds(bbox) if bbox else None
    superseded = _superseded(archive)
    names = [name for name in archive.schema.names if name not in ("name", "modality", "code")]
    names = ["name", "modality", "code", *names]
    fields = [
        archive.schema.field(name).with_name(shown)
        for name, shown in zip(names, beside(names, TAKEN), strict=True)
    ]
    schema = pa.schema([(ID, pa.int64()), *fields])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in archive.batches(names, where, bounds, with_row_id=True):
            ids = batch.column(ROW_ID).cast(pa.int64())
            columns = [ids, *(batch.column(name) for name in names)]
            made = pa.RecordBatch.from_arrays(columns, schema=schema)
            if len(superseded):
                made = made.filter(pc.invert(pc.is_in(ids, pa.array(superseded))))
            if len(made):
                yield made

    settings = archive.settings
    count = archive.count(where, bounds)
    if len(superseded):
        count = sum(map(len, batches()))
    made_by = {
        "identity": settings.identity,
        "method": settings.method,
        "classes": list(settings.classes),
        "version": archive.version,
    }
    return ExportedItems(archive.place, settings.bits, made_by, schema, count, batches)


def _superseded(archive: Archive) -> np.ndarray:
    """Return the ids of rows whose modality and name stand in a later row too, int64."""
    parts = [pa.Table.from_batches([batch]) for batch in
             archive.batches(["modality", "name"], with_row_id=True)]  # fmt: skip
    if not parts:
        return np.empty(0, np.int64)
    rows = pa.concat_tables(parts)
    last = rows.group_by(["modality", "name"]).aggregate([(ROW_ID, "max")])
    ids = rows[ROW_ID].to_numpy()
    return np.setdiff1d(ids, last[f"{ROW_ID}_max"].to_numpy()).astype(np.int64)


def _of_codes(path: Path) -> ExportedItems:
    codes = read_codes(path)
    parts = [
        _coded(items, modality)
        for items, modality in ((codes.images, "image"), (codes.voices, "voice"))
    ]
    table = pa.concat_tables(parts)
    table = table.add_column(0, ID, pa.array(np.arange(len(table))))
    made_by = {"model": codes.config["model"]}
    bits = 8 * codes.images.codes.shape[1]
    batches = table.combine_chunks().to_batches
    return ExportedItems(
        str(path), bits, made_by, table.schema, len(table), lambda: iter(batches(1 << 16))
    )


def _coded(items: CodedItems, modality: str) -> pa.Table:
    codes = np.ascontiguousarray(items.codes)
    columns: dict[str, Any] = {
        "name": pa.array(items.names, pa.string()),
        "modality": pa.array([modality] * len(items.names), pa.string()),
        "code": pa.FixedSizeListArray.from_arrays(
            pa.array(codes.reshape(-1)), type=code_type(8 * codes.shape[1])
        ),
    }
    texts = {
        "label": items.labels,
        "split": items.splits,
        "image": items.images,
        "speaker": items.speakers,
        "caption": items.captions,
    }
    columns |= {name: pa.array(values, pa.string()) for name, values in texts.items()}
    if items.stamps is not None:
        columns["stamp"] = pa.array(items.stamps)
    if items.outputs is not None:
        outputs = np.ascontiguousarray(items.outputs)
        kind = pa.list_(pa.float32(), outputs.shape[1])
        columns["outputs"] = pa.FixedSizeListArray.from_arrays(
            pa.array(outputs.reshape(-1)), type=kind
        )
    return pa.table(columns)
