"""Tables as spreadsheets save them: CSV with commas, semicolons or tabs, in UTF-8 or UTF-16.

Nothing is guessed that could be wrong in silence. Bytes that are not Unicode are refused, because
the old code pages give other letters for the same bytes.
"""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ivr.errors import IvrError
from ivr.features.regular_files import read_regular

from .canonical_names import canonical_key

DELIMITERS = (",", ";", "\t", "|")
_NO_NAME = "".join(DELIMITERS) + ' "\ufeff'
MOST_BYTES = 1 << 30
SAVE = "save it as 'CSV UTF-8'"
_WORKBOOKS = {b"PK\x03\x04": "an Excel or other workbook", b"\xd0\xcf\x11\xe0": "an Excel workbook"}
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_FIRST_LINE = re.compile("(?i)\\ufeff?sep=([,;\t|])\\s*?(\r\n|\r|\n)")
"""The line in which Excel states the delimiter."""


class TableError(IvrError):
    """A table that cannot be read, in one line without the name of the file."""


@dataclass(frozen=True)
class Table:
    """The content of a table, cell by cell.

    Attributes:
        columns: names of the columns as they are written, without spaces around them.
        rows: number of the line in the file, and one cell per column, without spaces around it.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_table(path: Path, wanted: Sequence[str]) -> Table:
    """Return the table in ``path``, without empty rows and without unnamed empty columns.

    Args:
        path: a CSV file.
        wanted: names of columns; the delimiter that finds most of them is that of the file.

    Raises:
        TableError: another kind of file, another encoding, broken quotes, or cells outside the
            columns.
        UnreadableFileError: the file cannot be read, is a pipe or a device, or has more than
            :data:`MOST_BYTES`.
    """
    text, skipped = _text(read_regular(path, MOST_BYTES)), 0
    if said := _FIRST_LINE.match(text):
        text, skipped, delimiter = text[said.end() :], 1, said[1]
    else:
        delimiter = _delimiter(text, wanted)
    try:
        lines = _lines(text, delimiter)
        _, header = next(lines, (0, []))
        columns = [cell.strip() for cell in header]
        while columns and not columns[-1]:
            columns.pop()
        rows = tuple((line + skipped, _cells(row, columns, line + skipped)) for line, row in lines)
    except csv.Error as error:
        raise TableError(f"not a readable CSV file ({error})") from error
    return Table(tuple(columns), rows)


def may_have_columns(head: bytes, wanted: Collection[str]) -> bool:
    """Return whether ``head``, the first bytes of a file, begins a table with columns ``wanted``.

    Args:
        head: bytes of any file.
        wanted: keys of names of columns.
    """
    try:
        text = codecs.getincrementaldecoder(_encoding(head))().decode(head)  # may end in a letter
    except UnicodeDecodeError:
        return False
    if said := _FIRST_LINE.match(text):
        text = text[said.end() :]
    header = next((line for line in text.splitlines() if line.strip(_NO_NAME)), "")
    names = re.split(f"[{''.join(DELIMITERS)}]", header)
    return "\0" not in text and {canonical_key(name.strip(_NO_NAME)) for name in names} >= set(
        wanted
    )


def _text(data: bytes) -> str:
    """Return the text of a file.

    Raises:
        TableError: no text, or not in Unicode.
    """
    for mark, kind in _WORKBOOKS.items():
        if data.startswith(mark):
            raise TableError(f"{kind}, not a CSV file; {SAVE}")
    encoding = _encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise TableError(f"not readable as {encoding.upper()} ({error}); {SAVE}") from error
        line = data.count(b"\n", 0, error.start) + 1
        around = data[max(0, error.start - 8) : error.start + 8]
        word = re.split(rb"[\s,;|\"]", around[: min(8, error.start)])[-1]
        word += re.split(rb"[\s,;|\"]", around[min(8, error.start) :])[0]
        raise TableError(
            f"line {line} is not in UTF-8 ({word.decode('cp1252', 'replace')!r}, if that is "
            f"Windows-1252); {SAVE}, or convert it with iconv -f WINDOWS-1252 -t UTF-8"
        ) from error


def _encoding(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    head = data[:200]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) / 2:
            return encoding
    return "utf-8-sig"


def _delimiter(text: str, wanted: Sequence[str]) -> str:
    """Return the delimiter with which the header has most of the columns ``wanted``."""

    def found(delimiter: str) -> int:
        try:
            _, header = next(_lines(text, delimiter), (0, []))
        except csv.Error:
            return 0
        return len({canonical_key(cell) for cell in header} & set(wanted))

    return max(DELIMITERS, key=found)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line that holds anything."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def _cells(row: Sequence[str], columns: Sequence[str], line: int) -> tuple[str, ...]:
    """Return the cells of the named columns; spreadsheets append empty ones."""
    cells = [cell.strip() for cell in row]
    beyond = next((cell for cell in cells[len(columns) :] if cell), "")
    if beyond:
        raise TableError(
            f"line {line}: not as many fields as the header has columns ({beyond!r} is in none); "
            "name the column, or quote a text with a delimiter in it"
        )
    if len(cells) < len(columns):
        raise TableError(
            f"line {line}: not as many fields as the header has columns "
            f"({len(cells)} of {len(columns)})"
        )
    return tuple(cells[: len(columns)])
