"""Exports to files: Parquet, NumPy, FAISS, and what the loaders of Milvus and OpenSearch take."""

import json
from collections.abc import Iterator
from datetime import datetime
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ivr.features.atomic_files import TEXT, FileKind, replaced, replaced_text
from ivr.pipeline.datasets.parquet_table import PARQUET

from .export_columns import as_binary, as_integers, outlines, packed
from .exported_items import BOX, ExportedItems
from .item_columns import MODALITIES

NPY = FileKind("a NumPy array", lambda head: head.startswith(b"\x93NUMPY"))
FAISS = FileKind("a FAISS index", lambda head: head[:4] in (b"IBMp", b"IBM2", b"IBwF"))
FORMAT = "most significant bit first, 1 for +1"
LEAST_IVF = 39 * 16
"""Codes that an inverted index of FAISS is trained on at least."""
_GEOMETRY = "geometry"


def write_parquet(items: ExportedItems, path: Path) -> None:
    """Write one Parquet file; with geometry (GeoParquet 1.1) where items have a box.

    ``code`` is binary of fixed size, and codes of 64 bits also stand in ``code_uint64``.
    """
    placed = _has_boxes(items)

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in items.batches():
            codes = packed(batch.column("code"))
            columns = {name: batch.column(name) for name in batch.schema.names}
            columns["code"] = as_binary(codes)
            if items.bits == 64:
                columns["code_uint64"] = as_integers(codes)
            if placed:
                columns[_GEOMETRY] = outlines(batch)
            yield pa.RecordBatch.from_pydict(columns)

    notes = {"ivr": json.dumps({"bits": items.bits, "code": FORMAT, **items.made_by})}
    if placed:
        column = {"encoding": "WKB", "geometry_types": ["MultiPolygon", "Polygon"]}
        notes["geo"] = json.dumps(
            {"version": "1.1.0", "primary_column": _GEOMETRY, "columns": {_GEOMETRY: column}}
        )
    kinds = {field.name: field.type for field in items.schema} | {
        "code": pa.binary(items.bits // 8)
    }
    if items.bits == 64:
        kinds["code_uint64"] = pa.uint64()
    if placed:
        kinds[_GEOMETRY] = pa.binary()
    _write_rows(path, pa.schema(kinds.items(), metadata=notes), rows())


def write_milvus(items: ExportedItems, path: Path) -> None:
    """Write a Parquet file for the bulk import of Milvus: codes are lists of bytes.

    Times are text, and so are stamps, which go beyond the integers of Milvus.
    """
    kinds = {
        field.name: pa.string() if _is_text(field.type) else field.type for field in items.schema
    } | {"code": pa.list_(pa.uint8())}
    schema = pa.schema(kinds.items())
    rows = (
        pa.RecordBatch.from_arrays(
            [batch.column(field.name).cast(field.type) for field in schema], schema=schema
        )
        for batch in items.batches()
    )
    _write_rows(path, schema, rows)


def write_opensearch(items: ExportedItems, path: Path, index: str) -> None:
    """Write a file for the bulk API of OpenSearch: an action and a document per item.

    ``code`` is a list of signed bytes, as ``knn_vector`` of the type ``binary`` takes it. Stamps,
    which go beyond its integers, are text, and so are ``NaN``, ``Infinity`` and ``-Infinity``,
    which JSON does not have as numbers.
    """
    texts = {field.name for field in items.schema if _is_text(field.type)}
    with replaced_text(path, TEXT) as file:
        for batch in items.batches():
            codes = packed(batch.column("code")).view(np.int8).tolist()
            for row, code in zip(batch.drop_columns(["code"]).to_pylist(), codes, strict=True):
                action = {"index": {"_index": index, "_id": str(row["id"])}}
                document = {
                    name: str(value) if name in texts and isinstance(value, int) else _plain(value)
                    for name, value in row.items()
                    if value is not None
                }
                line = json.dumps(document | {"code": code}, allow_nan=False)
                file.write(f"{json.dumps(action)}\n{line}\n")


def write_npy(items: ExportedItems, folder: Path, form: str) -> None:
    """Write ``codes.npy`` [n, bits / 8] and, row for row, ``items.parquet`` or ``items.csv``.

    Args:
        items: the items.
        folder: an empty folder.
        form: ``parquet`` or ``csv``.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (items.count, items.bits // 8)}
    with replaced(folder / "codes.npy", NPY) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch in items.batches():
            file.write(packed(batch.column("code")).tobytes())
    if form == "csv":
        _write_csv(items, folder / "items.csv")
    else:
        _write_items(items, folder / "items.parquet")


def write_faiss(items: ExportedItems, folder: Path, *, ivf: bool) -> None:
    """Write ``image.faiss`` and ``voice.faiss``, whose ids are those of ``items.parquet``.

    Args:
        items: the items.
        folder: an empty folder.
        ivf: build an inverted index where there are at least :data:`LEAST_IVF` codes.
    """
    nothing = np.empty((0, items.bits // 8), np.uint8), np.empty(0, np.int64)
    held = {name: [nothing] for name in MODALITIES}
    for batch in items.batches():
        codes, ids = packed(batch.column("code")), batch.column("id").to_numpy()
        modality = np.array(batch.column("modality").to_pylist())
        for name, parts in held.items():
            parts.append((codes[modality == name], ids[modality == name]))
    for name, parts in held.items():
        codes, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        _write_index(folder / f"{name}.faiss", codes, ids, ivf=ivf)
    _write_items(items, folder / "items.parquet")


def _write_index(path: Path, codes: np.ndarray, ids: np.ndarray, *, ivf: bool) -> None:
    import faiss

    bits = 8 * codes.shape[1]
    flat: Any = faiss.IndexBinaryFlat(bits)
    if ivf and len(codes) >= LEAST_IVF:
        lists = min(len(codes) // 39, int(4 * len(codes) ** 0.5))
        index: Any = faiss.IndexBinaryIVF(flat, bits, lists)
        index.nprobe = max(1, lists // 16)
        index.train(codes)
    else:
        index = faiss.IndexBinaryIDMap(flat)
    index.add_with_ids(codes, ids)
    with replaced(path, FAISS) as file:
        file.write(faiss.serialize_index_binary(index).tobytes())


def _write_items(items: ExportedItems, path: Path) -> None:
    """Write all columns but the code."""
    schema = pa.schema([field for field in items.schema if field.name != "code"])
    _write_rows(path, schema, (batch.drop_columns(["code"]) for batch in items.batches()))


def _write_csv(items: ExportedItems, path: Path) -> None:
    names = [name for name in items.schema.names if name != "code"]
    schema = pa.schema([(name, csv_type(items.schema.field(name).type)) for name in names])
    with replaced(path, TEXT) as file, pyarrow.csv.CSVWriter(file, schema) as writer:
        for batch in items.batches():
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [csv_values(batch.column(name)) for name in names], schema=schema
                )
            )


def csv_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column has in CSV: text for lists, its own else."""
    return pa.string() if pa.types.is_fixed_size_list(kind) else kind


def csv_values(column: pa.Array) -> pa.Array:
    """Return values of a column as CSV takes them: lists as JSON."""
    if not pa.types.is_fixed_size_list(column.type):
        return column
    return pa.array([None if v is None else json.dumps(v) for v in column.to_pylist()], pa.string())


def _write_rows(path: Path, schema: pa.Schema, rows: Iterator[pa.RecordBatch]) -> None:
    with replaced(path, PARQUET) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for batch in rows:
            writer.write_batch(batch.select(schema.names).cast(schema))


def _has_boxes(items: ExportedItems) -> bool:
    if not set(BOX) <= set(items.schema.names):
        return False
    return any(batch.column("west").null_count < len(batch) for batch in items.batches())


def _is_text(kind: pa.DataType) -> bool:
    """Return whether values of a type are text where an engine has no such type."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_uint64(kind))


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
