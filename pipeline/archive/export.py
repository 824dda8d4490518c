"""Stage: the codes of an archive or of a run, in the form that another engine takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ivr.config import OptionError
from ivr.features.atomic_files import require_writable
from ivr.names import unknown
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .export_config import ExportConfig, Target
from .export_files import (
    write_faiss,
    write_milvus,
    write_npy,
    write_opensearch,
    write_parquet,
)
from .export_folder import holds_files, write_together
from .export_postgres import write_postgres
from .exported_items import exported_items
from .lance_library import ArchiveError
from .postgres import is_address, shown


@dataclass(frozen=True, repr=False)
class ExportResult(Result):
    """What was exported.

    Attributes:
        source: the archive or the codes file.
        target: the form: ``parquet``, ``faiss``, ``postgres``, ``npy``, ``milvus`` or
            ``opensearch``.
        out: the file, folder or database, without its password.
        items: number of items.
        bits: bits per code.
    """

    source: str
    target: str
    out: str
    items: int
    bits: int

    def __repr__(self) -> str:
        """Return the line that ``ivr export`` prints."""
        return f"{self.out}: {counted(self.items, 'item')} with codes of {self.bits} bits"


def export(
    source: str | Path,
    out: str | Path,
    target: Target,
    config: ExportConfig | None = None,
    **options: Any,
) -> ExportResult:
    """Write the codes of ``source`` in the form that another engine takes.

    Args:
        source: an archive, a run folder or a codes file.
        out: for ``parquet``, ``milvus`` and ``opensearch`` a file, for ``npy`` and ``faiss`` a
            folder, for ``postgres`` the address ``postgres://user@host/database``.
        target: the form.
        config: what is exported and how; the defaults if None.
        **options: single values in place of those of ``config``.

    Raises:
        OptionError, UnknownNameError: no such option or form, or one that does not belong here.
        ArchiveError: the archive or a condition cannot be used, or ``out`` exists.
        StoreError: no codes that ``ivr encode`` writes.
        PostgresError: see :mod:`ivr.pipeline.archive.postgres`.
        InTheWayError: another kind of file lies at ``out``.
        UnwritableError: nothing can be written there.
        BusyError: another process writes to the folder ``out``.
    """
    config = with_options(config or ExportConfig(), options)
    if target not in get_args(Target):
        raise unknown("form", target, get_args(Target))
    items = exported_items(source, config.where, config.bbox)
    if target == "postgres":
        address = str(out)
        if not is_address(address):
            raise OptionError(f"{address}: give the database as postgres://USER@HOST/DATABASE")
        write_postgres(items, address, config.table, overwrite=config.overwrite)
        return ExportResult(items.place, target, shown(address), items.count, items.bits)
    path = Path(out)
    _require_free(path, config, folder=target in ("npy", "faiss"))
    if target == "parquet":
        write_parquet(items, path)
    elif target == "npy":
        write_together(path, lambda folder: write_npy(items, folder, config.items))
    elif target == "faiss":
        write_together(path, lambda folder: write_faiss(items, folder, ivf=config.ivf))
    elif target == "milvus":
        write_milvus(items, path)
    else:
        write_opensearch(items, path, config.table)
    return ExportResult(items.place, target, str(path), items.count, items.bits)


def _require_free(path: Path, config: ExportConfig, *, folder: bool) -> None:
    """Refuse to replace an earlier export unless that is asked for."""
    if not path.parent.is_dir():
        raise ArchiveError(f"{path.parent}: no such folder; create it first")
    there = holds_files(path) if folder and path.is_dir() else path.exists()
    if there and not config.overwrite:
        raise ArchiveError(f"{path}: exists; give another --out, or replace it with --overwrite")
    require_writable(path if folder else path.parent)
