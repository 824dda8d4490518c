"""A table that a user gives, column by column, whatever kind of file it comes from."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ivr.errors import IvrError

SPACES = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680))) + "".join(
    map(chr, (*range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)
"""The characters that :meth:`str.strip` takes away."""


class TableError(IvrError):
    """A table that cannot be read, in one line without the name of the file."""


@dataclass(frozen=True)
class Table:
    """The content of a table.

    Attributes:
        columns: names of the columns as they are written, without spaces around them.
        cells: the values of each column; text has no spaces around it.
        place: returns where a row stands in the file, in words; rows are counted from 0.
    """

    columns: tuple[str, ...]
    cells: tuple[pa.ChunkedArray, ...]
    place: Callable[[int], str]


def row_number(row: int) -> str:
    """Return where ``row`` stands in a table without lines, in words."""
    return f"row {row + 1}"


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of this type are text."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text without spaces around it; nulls stay."""
    cut = pc.utf8_trim(column, SPACES)
    return cut if pc.any(pc.not_equal(cut, column)).as_py() else column  # one copy less
