"""Tables in Parquet files: typed columns, compressed, written by most data tools."""

import pyarrow as pa
import pyarrow.parquet

from ivr.features.atomic_files import FileKind

from .spreadsheet import MOST_BYTES
from .table import Table, TableError, is_text, row_number, trimmed

_MARK = b"PAR1"  # first and last bytes of every such file
PARQUET = FileKind("a Parquet file", lambda head: head.startswith(_MARK))


def is_parquet(data: bytes) -> bool:
    """Return whether ``data``, the content of a file, is Parquet, as its first bytes tell."""
    return PARQUET.matches(data)


def read_parquet(data: bytes) -> Table:
    """Return the table in a Parquet file; its columns have their types, text no spaces around it.

    Args:
        data: content of the file.

    Raises:
        TableError: the file is damaged, encrypted, or unpacks to more than
            :data:`~ivr.pipeline.datasets.spreadsheet.MOST_BYTES`.
    """
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if size > MOST_BYTES:
            raise TableError(f"unpacks to {size} bytes, more than the {MOST_BYTES} that are read")
        content = file.read()
        content.validate(full=True)
    except (pa.ArrowException, OSError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TableError(f"not a readable Parquet file ({reason}); write it again") from error
    names = tuple(name.strip() for name in content.column_names)
    cells = (
        trimmed(column.cast(pa.string())) if is_text(column.type) else column
        for column in content.columns
    )
    return Table(names, tuple(cells), row_number)
