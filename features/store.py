"""HDF5 files of this project: a table of named columns, how it was made, and a digest of it all.

Every HDF5 file that `ivr` writes has the same plain shape, whatever it holds:

* one contiguous, uncompressed dataset per column, all with the same number of rows; text columns
  are fixed-length UTF-8 bytes, so that a row never points elsewhere in the file;
* attributes ``kind`` (of table), ``config`` (JSON: everything that decided the values),
  ``sha256`` (of kind, config and, for each column, the sha256 of its chunks) and ``format``, all
  fixed-length UTF-8 bytes too. Chunks are digested in threads, while others are written or read;
* a user block of 512 bytes before all that, with the sha256 of what lies beside the columns, so
  that no byte of the file can change unnoticed.

A table is written beside its place, flushed to the disk and renamed, so that a killed writer leaves
either the old file or the new one. While rows are being made they live in shards beside the file
(:mod:`ivr.features.shards`).

A file that is not of this shape (links, external or virtual storage, filters, a dataset larger than
its file) is refused before a byte of its columns is read.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ivr.errors import IvrError

from .atomic_files import HDF5, InTheWayError, replaced, require_replaceable
from .digest import THREADS, ColumnDigest, chunks
from .hdf5_buffer import Hdf5Buffer
from .regular_files import UnreadableFileError, opened_regular

if TYPE_CHECKING:
    import h5py

# Each function that opens a file imports h5py itself: it takes 12 MB, which a service whose model
# and archive are other files does not need.

FLUSH_BYTES = 1 << 25  # least number of bytes between two flushes to the disk
FORMAT = "2"
USER_BLOCK = 512  # bytes before those of HDF5
MOST_BESIDE = 1 << 20  # bytes beside the columns that a file of this project may have
MAX_CONFIG_BYTES = 60_000  # an attribute of HDF5 holds 64 KiB with its header


class StoreError(IvrError):
    """A file that cannot be used, in one line that names it."""


@dataclass(frozen=True)
class Column:
    """Place of a column in its file.

    Attributes:
        dtype: type of the entries; text is ``S`` bytes.
        shape: lengths of the axes, rows first.
        offset: position of the first byte in the file.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Table:
    """An open HDF5 file in the format above; its columns are read on demand.

    Attributes:
        path: the file.
        kind: kind of table, e.g. ``"image features"``.
        config: everything that decided the values.
        sha256: digest of kind, config and columns, recorded when the file was written.
        columns: places of the columns by name.
        identity: device, inode, size and time of change of the file when it was opened.
    """

    path: Path
    kind: str
    config: Mapping[str, Any]
    sha256: str
    columns: Mapping[str, Column]
    identity: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return next(iter(self.columns.values())).shape[0]

    def map(self, name: str) -> np.ndarray:
        """Return column ``name`` as a read-only memory map: a row is read when it is touched."""
        column = self._column(name)
        if 0 in column.shape:
            return np.empty(column.shape, column.dtype)
        with self._opened() as file:
            return np.memmap(file, column.dtype, "r", column.offset, column.shape)

    def read(self, name: str) -> np.ndarray:
        """Return column ``name`` in memory."""
        column = self._column(name)
        count = math.prod(column.shape)
        with self._opened() as file:
            values = np.fromfile(file, column.dtype, count, offset=column.offset)
        return values.reshape(column.shape)

    def text(self, name: str) -> tuple[str, ...]:
        """Return the text column ``name``.

        Raises:
            StoreError: it is not text.
        """
        column = self._column(name)
        if column.dtype.kind != "S" or len(column.shape) != 1:
            raise StoreError(f"{self.path}: column {name} is not text; make the file again")
        try:
            return tuple(value.decode() for value in self.read(name).tolist())
        except UnicodeDecodeError as error:
            raise StoreError(f"{self.path}: damaged, column {name} is not UTF-8") from error

    def verify(self) -> None:
        """Read every byte and compare the content with the digest.

        Raises:
            StoreError: the content does not match the digest.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            digests = {name: self._digest(name, pool) for name in self.columns}
        with self._opened() as file:
            whole = file.read(USER_BLOCK) == _user_block(file, self.columns)
        if not whole or table_sha256(self.kind, self.config, self.columns, digests) != self.sha256:
            raise StoreError(f"{self.path}: damaged, its content does not match its sha256")

    def _digest(self, name: str, pool: ThreadPoolExecutor) -> str:
        digest = ColumnDigest(pool)
        for chunk in chunks(iter((self.map(name),))):
            digest.add(chunk)
        return digest.hexdigest()

    def _column(self, name: str) -> Column:
        if name not in self.columns:
            raise StoreError(f"{self.path}: has no column {name}; make the file again")
        return self.columns[name]

    def _opened(self) -> BinaryIO:
        """Open the file, which must still be the one that the table was opened from."""
        file = self.path.open("rb")
        if _identity(os.fstat(file.fileno())) != self.identity:
            file.close()
            raise StoreError(f"{self.path}: was written anew while it was in use; call again")
        return file


def has_columns(
    table: Table,
    columns: Mapping[str, tuple[str, int]],
    optional: Mapping[str, tuple[str, int]] | None = None,
) -> bool:
    """Return whether ``table`` has exactly these columns.

    Args:
        table: an open table.
        columns: kind of the dtype (``S``, ``u``, ``i`` or ``f``) and number of dimensions by name.
        optional: columns that may be missing.
    """
    found = {name: (column.dtype.kind, len(column.shape)) for name, column in table.columns.items()}
    allowed = {**columns, **(optional or {})}
    return set(columns) <= set(found) and all(
        allowed.get(name) == shape for name, shape in found.items()
    )


def text_column(values: Iterable[str]) -> np.ndarray:
    """Return ``values`` as fixed-length UTF-8 bytes [n]."""
    encoded = [value.encode() for value in values]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")


def write_table(
    path: Path, kind: str, config: Mapping[str, Any], columns: Mapping[str, np.ndarray]
) -> None:
    """Write a table to ``path``; an interrupted write leaves ``path`` as it was."""
    shapes = {name: (values.dtype, values.shape) for name, values in columns.items()}
    blocks = {name: iter((values,)) for name, values in columns.items()}
    write_table_blocks(path, kind, config, shapes, blocks)


def write_table_blocks(
    path: Path,
    kind: str,
    config: Mapping[str, Any],
    shapes: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
    blocks: Mapping[str, Iterator[np.ndarray]],
) -> None:
    """Write a table whose columns come in blocks of rows, one column after the other.

    Args:
        path: the file; an interrupted write leaves it as it was.
        kind: kind of table.
        config: JSON values that decided the rows.
        shapes: dtype and whole shape of each column.
        blocks: blocks of consecutive rows for each column.

    Raises:
        InTheWayError: ``path`` is something else than a table of this kind.
    """
    import h5py

    if len(canonical_json(config).encode()) > MAX_CONFIG_BYTES:
        raise StoreError(f"{path}: its config has more than {MAX_CONFIG_BYTES} bytes")
    require_place(path, kind)
    with replaced(path, HDF5) as target, ThreadPoolExecutor(THREADS) as pool:
        frame = Hdf5Buffer()
        with h5py.File(frame, "w", userblock_size=USER_BLOCK) as file:
            layout = {name: _allocated(file, name, *shapes[name]) for name in shapes}
            written = {
                name: _write_column(target, name, layout[name], blocks[name], pool)
                for name in shapes
            }
            target.flush()
            os.fsync(target.fileno())  # the disk works while the last digests are computed
            digests = {name: digest.hexdigest() for name, digest in written.items()}
            attributes = {
                "format": FORMAT,
                "kind": kind,
                "config": canonical_json(config),
                "sha256": table_sha256(kind, config, layout, digests),
            }
            for name, text in attributes.items():
                file.attrs[name] = np.bytes_(text.encode())
        frame.write_to(target)
        target.flush()
        block = _user_block(target, layout)
        target.seek(0)
        target.write(block)


def open_table(path: Path, kind: str) -> Table:
    """Return the table in ``path`` without reading its columns.

    Raises:
        StoreError: no such file, not HDF5, another kind, or not of the plain shape.
    """
    import h5py

    try:
        with opened_regular(path) as opened:
            identity = _identity(os.fstat(opened.fileno()))
    except UnreadableFileError as error:
        raise StoreError(f"{path}: {error}") from error
    try:
        with h5py.File(path, "r", locking=False) as file:
            columns = {name: _plain_column(path, file, name) for name in _members(path, file)}
            written, found, config, digest = (
                _attribute(path, file, n) for n in ("format", "kind", "config", "sha256")
            )
    except StoreError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: not a readable HDF5 file of ivr; make it again") from error
    if written != FORMAT:
        raise StoreError(f"{path}: written by another version of ivr; make it again")
    if found != kind:
        raise StoreError(f"{path}: holds {found[:40]!r}, not {kind!r}")
    if len({column.shape[:1] for column in columns.values()}) != 1:
        raise StoreError(f"{path}: its columns differ in length")
    return Table(path, found, _config(path, config), digest, columns, identity)


def require_place(path: Path, kind: str) -> None:
    """Refuse to write a table of ``kind`` to ``path`` where something else lies.

    Raises:
        InTheWayError: ``path`` is something else than a table of this kind.
    """
    require_replaceable(path, HDF5)
    found = _kind_in(path)
    if found not in ("", kind):
        raise InTheWayError(f"{path}: holds {found[:40]!r}, not {kind!r}; write elsewhere")


def _kind_in(path: Path) -> str:
    """Return the kind of the table in ``path``, ``""`` where there is none or it is damaged."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            return _attribute(path, file, "kind")
    except (StoreError, OSError, RuntimeError, KeyError, TypeError, ValueError):
        return ""


def canonical_json(config: Mapping[str, Any]) -> str:
    """Return ``config`` as JSON that is equal exactly when the configs are."""
    return json.dumps(config, sort_keys=True, ensure_ascii=False)


def _allocated(
    file: "h5py.File", name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Column:
    """Return the place of the new contiguous dataset ``name``, which libhdf5 does not write."""
    import h5py

    stored = h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype
    choices = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    choices.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    choices.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    dataset = file.create_dataset(name, shape, stored, dcpl=choices)
    return Column(dtype, shape, dataset.id.get_offset() or 0)


def _write_column(
    target: BinaryIO,
    name: str,
    column: Column,
    blocks: Iterator[np.ndarray],
    pool: ThreadPoolExecutor,
) -> ColumnDigest:
    """Write ``blocks`` to their place in ``target`` and return the digest of their bytes."""
    digest, row = ColumnDigest(pool), 0
    # The disk works while the next rows are digested and handed over.
    flushing: Future[Any] = pool.submit(int)
    unflushed = 0
    target.seek(column.offset)
    for chunk in chunks(blocks):
        values = np.ascontiguousarray(chunk, column.dtype)
        digest.add(values)
        if len(values):
            target.write(values.view(np.uint8).data)
        row += len(values)
        unflushed += values.nbytes
        if unflushed >= FLUSH_BYTES and flushing.done():
            flushing, unflushed = pool.submit(os.fsync, target.fileno()), 0
    flushing.result()
    if row != column.shape[0]:
        raise ValueError(f"column {name} got {row} rows of {column.shape[0]}")
    return digest


def table_sha256(
    kind: str,
    config: Mapping[str, Any],
    columns: Mapping[str, Column],
    digests: Mapping[str, str],
) -> str:
    """Return the sha256 of a table.

    Args:
        kind: kind of table.
        config: config of the table.
        columns: types and shapes of the columns.
        digests: sha256 of each column.
    """
    parts = {
        name: [column.dtype.str, list(column.shape), digests[name]]
        for name, column in columns.items()
    }
    content = json.dumps([kind, canonical_json(config), parts], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _user_block(file: BinaryIO, columns: Mapping[str, Column]) -> bytes:
    """Return the user block that ``file`` must have: the digest of everything beside the columns.

    Raises:
        StoreError: there is more beside the columns than a file of this project has.
    """
    taken = sorted(
        (column.offset, column.offset + math.prod(column.shape) * column.dtype.itemsize)
        for column in columns.values()
        if 0 not in column.shape
    )
    size = file.seek(0, os.SEEK_END)
    digest, place, beside = hashlib.sha256(), USER_BLOCK, 0
    for start, stop in [*taken, (size, size)]:
        length = max(0, start - place)
        beside += length
        if beside > MOST_BESIDE:
            raise StoreError(f"{file.name}: damaged, too much lies beside its columns")
        file.seek(place)
        digest.update(file.read(length))
        place = stop
    text = f"ivr table\nsha256 beside the columns: {digest.hexdigest()}\n"
    return text.encode().ljust(USER_BLOCK, b"\0")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _config(path: Path, text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5000 digits
        raise StoreError(f"{path}: its config is not JSON") from error
    if not isinstance(config, dict):
        raise StoreError(f"{path}: its config is not a JSON object")
    return config


def _members(path: Path, file: "h5py.File") -> list[str]:
    import h5py

    names = list(file)
    if not names:
        raise StoreError(f"{path}: holds no columns")
    for name in names:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise StoreError(f"{path}: {name} is a link; refused")
    return names


def _plain_column(path: Path, file: "h5py.File", name: str) -> Column:
    import h5py

    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise StoreError(f"{path}: {name} is not a column; refused")
    if dataset.is_virtual or dataset.external or dataset.chunks or dataset.dtype.kind not in "fiuS":
        raise StoreError(f"{path}: {name} is not stored plainly in this file; refused")
    if not dataset.shape:
        raise StoreError(f"{path}: {name} has no rows; refused")
    offset = dataset.id.get_offset()
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    held = dataset.id.get_storage_size()  # an offset is wrong where nothing was allocated
    if size and (offset is None or held != size or offset + size > path.stat().st_size):
        raise StoreError(f"{path}: {name} claims more bytes than the file has; refused")
    return Column(dataset.dtype, dataset.shape, offset or 0)


def _attribute(path: Path, file: "h5py.File", name: str) -> str:
    """Return a text attribute; only one of fixed length is read.

    libhdf5 (2.0) crashes or hangs on a damaged text of variable length.
    """
    attribute = file.attrs.get_id(name)
    if attribute.dtype.kind != "S" or attribute.shape:
        raise StoreError(f"{path}: attribute {name} is not plain text; make the file again")
    value: bytes = file.attrs[name]
    return value.decode()
