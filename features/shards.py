"""Rows on their way into one table: shards, and the table assembled from them.

While rows are being made they live in shards beside the file: small tables whose names carry the
sha256 of their own bytes. Once all rows are there, :func:`assemble` writes one table of them.
"""

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .atomic_files import file_digest, flush, is_partial
from .digest import THREADS, ColumnDigest, chunk_rows, chunks
from .store import (
    Column,
    StoreError,
    Table,
    open_table,
    table_sha256,
    text_column,
    write_table,
    write_table_blocks,
)

Shapes = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
Blocks = dict[str, Iterator[np.ndarray]]
MAPS = 64  # files that are mapped at a time
SHARD = re.compile(r"[0-9]{6}-[0-9a-f]{64}\.h5")


class Shards:
    """Finished rows on their way into one table, in small files that verify themselves.

    A shard is a table named ``<number>-<sha256 of the file>.h5`` in ``folder``. A file whose bytes
    do not match its name was damaged and is not used.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        """Use ``folder`` for shards of ``kind``; it is created when needed."""
        self.folder = folder
        self.kind = kind

    def write(self, config: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> Path:
        """Write a shard and return its path; when this returns, the rows survive a power cut."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(path.name[:6]) for path in self._files()), default=0)
        beside = self.folder / f".{secrets.token_hex(8)}.shard"
        write_table(beside, self.kind, config, columns)
        path = self.folder / f"{number:06d}-{file_digest(beside)}.h5"
        os.replace(beside, path)
        flush(self.folder)
        return path

    def tables(self) -> list[Table]:
        """Return the shards that verify, in order."""
        whole = [path for path in self._files() if file_digest(path) == path.stem[7:]]
        return [open_table(path, self.kind) for path in whole]

    def clear(self) -> None:
        """Remove the shards and their folder."""
        left = [path for path in self.folder.glob(".*") if _is_half_written(path.name)]
        for path in [*self._files(), *left]:
            path.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.h5") if SHARD.fullmatch(path.name))


def _is_half_written(name: str) -> bool:
    return is_partial(name) or ".shard" in name


def assemble(
    path: Path,
    kind: str,
    config: Mapping[str, Any],
    sources: Sequence[Table],
    names: Sequence[str],
) -> int:
    """Write to ``path`` the rows of ``sources`` named in ``names``, in that order.

    The result depends on the rows alone, not on their distribution over the sources. Memory does
    not grow with the number of rows beyond their names.

    Returns:
        Number of rows written; a name that no source holds is left out.

    Raises:
        StoreError: the sources have different columns.
    """
    kept, shapes, blocks = _chosen(sources, names)
    write_table_blocks(path, kind, config, shapes, blocks)
    return kept


def rows_digest(table: Table, names: Sequence[str]) -> str:
    """Return the sha256 that ``table`` would have with its rows ``names`` alone, in that order."""
    _, shapes, blocks = _chosen([table], names)
    digests = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for name, (dtype, _) in shapes.items():
            digest = ColumnDigest(pool)
            for chunk in chunks(blocks[name]):
                digest.add(np.ascontiguousarray(chunk, dtype))
            digests[name] = digest.hexdigest()
    columns = {name: Column(dtype, shape, 0) for name, (dtype, shape) in shapes.items()}
    return table_sha256(table.kind, table.config, columns, digests)


def _chosen(sources: Sequence[Table], names: Sequence[str]) -> tuple[int, Shapes, Blocks]:
    """Return how many rows ``sources`` have of ``names``, and the columns of these rows."""
    place: dict[str, tuple[int, int]] = {}
    for number, source in enumerate(sources):
        place |= {name: (number, row) for row, name in enumerate(source.text("names"))}
    kept = [name for name in dict.fromkeys(names) if name in place]
    where = np.array([place[name] for name in kept], np.int64).reshape(-1, 2)
    shapes: Shapes = {}
    blocks: Blocks = {}
    name_column = text_column(kept)
    shapes["names"], blocks["names"] = (name_column.dtype, name_column.shape), iter((name_column,))
    for name in sources[0].columns:
        if name != "names":
            dtype, row_shape = _joint_type(sources, name)
            if dtype.kind == "S":
                dtype = _narrowest(_gather(sources, name, where, dtype, row_shape))
            shapes[name] = dtype, (len(kept), *row_shape)
            blocks[name] = _gather(sources, name, where, dtype, row_shape)
    return len(kept), shapes, blocks


def _joint_type(sources: Sequence[Table], name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return a type that holds every value of column ``name``, and the shape of one row.

    Text columns are as wide as their longest value, which differs between sources.
    """
    found = [source.columns[name] for source in sources if name in source.columns]
    first = found[0]
    for source, column in zip(sources, found, strict=False):
        text = column.dtype.kind == first.dtype.kind == "S"
        if column.shape[1:] != first.shape[1:] or not (text or column.dtype == first.dtype):
            raise StoreError(
                f"{source.path}: column {name} has another type or shape than in {sources[0].path}"
            )
    if len(found) < len(sources):
        raise StoreError(f"{sources[0].path}: not all files to join have a column {name}")
    widest = max((column.dtype for column in found), key=lambda dtype: dtype.itemsize)
    return widest, first.shape[1:]


def _narrowest(blocks: Iterator[np.ndarray]) -> np.dtype[Any]:
    """Return the type of a text column with exactly the values of ``blocks``."""
    widths = [int(np.strings.str_len(block).max()) for block in blocks if block.size]
    return np.dtype(f"S{max([1, *widths])}")


def _gather(
    sources: Sequence[Table],
    name: str,
    where: np.ndarray,
    dtype: np.dtype[Any],
    row_shape: tuple[int, ...],
) -> Iterator[np.ndarray]:
    """Yield chunks of column ``name`` as ``dtype``, the rows ``where`` [n, (source, row)]."""
    # Each map holds a file open, and a system allows some hundreds.
    mapped = lru_cache(MAPS)(lambda number: sources[number].map(name))
    step = chunk_rows(dtype, (len(where), *row_shape))
    for start in range(0, len(where), step):
        block = where[start : start + step]
        values = np.empty((len(block), *row_shape), dtype)
        follows = (np.diff(block[:, 0]) == 0) & (np.diff(block[:, 1]) == 1)
        cuts = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(block)]
        for first, last in pairwise(cuts):
            number, row = block[first].tolist()
            values[first:last] = mapped(number)[row : row + last - first]
        yield values
