"""Tables as spreadsheets save them: CSV with commas, semicolons or tabs, in UTF-8 or UTF-16.

Nothing is guessed that could be wrong in silence. Bytes that are not Unicode are refused, because
the old code pages give other letters for the same bytes.

A plain table is read by pyarrow, a million rows per second. One that is odd in any way (a row of
another length, broken quotes, a value beyond the last column) is read row by row by Python's csv,
whose rules decide what is refused and in which words. Both give the same cells.
"""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .canonical_names import canonical_key
from .table import Table, TableError, trimmed

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


_HEAD = 4096


@dataclass(frozen=True)
class _Text:
    """The text of a table.

    Attributes:
        data: in UTF-8, without a byte order mark and without a line that states the delimiter.
        skipped: number of lines before ``data``.
        delimiter: what separates cells.
    """

    data: bytes
    skipped: int
    delimiter: str

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and cells of each line that holds anything.

        Raises:
            csv.Error: broken quotes.
        """
        # StringIO would hold four bytes per character of the whole table.
        text = io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", newline="")
        reader = csv.reader(text, delimiter=self.delimiter, strict=True)
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num + self.skipped, row

    def place(self, row: int) -> str:
        """Return the number of the line in which ``row`` ends; the header is not counted."""
        line, _ = next(islice(self.lines(), row + 1, None))
        return f"line {line}"


def read_csv(data: bytes, wanted: Sequence[str]) -> Table:
    """Return the table in a CSV file, without empty rows and without unnamed empty columns.

    Args:
        data: content of the file.
        wanted: names of columns; the delimiter that finds most of them is that of the file.

    Raises:
        TableError: another kind of file, another encoding, broken quotes, or cells outside the
            columns.
    """
    text = _text(data, wanted)
    try:
        _, header = next(text.lines(), (0, []))
        columns = [cell.strip() for cell in header]
        while columns and not columns[-1]:
            columns.pop()
        cells = _plain_cells(text, header, len(columns)) or _odd_cells(text, columns)
    except csv.Error as error:
        raise TableError(f"not a readable CSV file ({error})") from error
    return Table(tuple(columns), tuple(cells), text.place)


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


def _text(data: bytes, wanted: Sequence[str]) -> _Text:
    """Return the text of a file.

    Raises:
        TableError: no text, or not in Unicode.
    """
    for mark, kind in _WORKBOOKS.items():
        if data.startswith(mark):
            raise TableError(f"{kind}, not a CSV file; {SAVE}")
    data = _utf_8(data)
    if said := _FIRST_LINE.match(data[:_HEAD].decode(errors="ignore")):
        return _Text(data[len(said[0].encode()) :], 1, said[1])
    return _Text(data, 0, _delimiter(data, wanted))


def _utf_8(data: bytes) -> bytes:
    """Return the content of a file in UTF-8, without its byte order mark.

    Raises:
        TableError: not in Unicode.
    """
    encoding = _encoding(data)
    try:
        if encoding != "utf-8-sig":
            return data.decode(encoding).encode()
        if not _is_utf_8(data):
            data.decode(encoding)
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
    return data.removeprefix(codecs.BOM_UTF8)


def _is_utf_8(data: bytes) -> bool:
    """Return whether ``data`` is UTF-8, without decoding it into another copy."""
    try:
        _one_value(data, pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _one_value(data: bytes, kind: pa.DataType) -> pa.Array:
    """Return an array whose one value is ``data``, which is not copied."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    return pa.Array.from_buffers(kind, 1, [None, ends, pa.py_buffer(data)])


def _encoding(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    head = data[:200]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) / 2:
            return encoding
    return "utf-8-sig"


def _delimiter(data: bytes, wanted: Sequence[str]) -> str:
    """Return the delimiter with which the header has most of the columns ``wanted``."""

    def found(delimiter: str) -> int:
        try:
            _, header = next(_Text(data, 0, delimiter).lines(), (0, []))
        except csv.Error:
            return 0
        return len({canonical_key(cell) for cell in header} & set(wanted))

    return max(DELIMITERS, key=found)


def _plain_cells(
    text: _Text, header: Sequence[str], named: int
) -> tuple[pa.ChunkedArray, ...] | None:
    """Return the cells of each of the ``named`` columns, None if the table is odd in any way.

    Args:
        text: the table.
        header: all cells of its header.
        named: number of columns without the empty ones at the end.
    """
    quotes = _quotes(text)
    if quotes == "odd" or len(header) < 2:
        return None
    names = [str(place) for place in range(len(header))]
    try:
        parsed = pyarrow.csv.read_csv(
            pa.BufferReader(text.data),
            pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            pyarrow.csv.ParseOptions(
                delimiter=text.delimiter, newlines_in_values=quotes == "around lines"
            ),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        return None
    if any(_longest(column) > csv.field_size_limit() for column in parsed.columns):
        return None
    cells = _without_empty_rows([trimmed(column) for column in parsed.columns])
    if any(pc.any(pc.not_equal(column[1:], "")).as_py() for column in cells[named:]):
        return None
    return tuple(column[1:] for column in cells[:named])


def _quotes(text: _Text) -> str:
    """Return ``plain``, ``around lines`` if a quoted cell has several, or ``odd``.

    pyarrow takes quotes that Python's csv refuses, such as those in ``"a"b``; a table with such
    quotes is odd.
    """
    end = f"\\x{ord(text.delimiter):02x}"
    bare = f'(?:[^"{end}\\n\\r][^{end}\\n\\r]*)?'
    for words, inner in (("plain", '[^"\\n\\r]'), ("around lines", '[^"]')):
        cell = f'(?:"(?:{inner}|"")*"|{bare})'
        if _matches(text.data, f"(?s)^{cell}(?:[{end}\\n\\r]{cell})*$"):
            return words
    return "odd"


def _matches(data: bytes, pattern: str) -> bool:
    return bool(pc.match_substring_regex(_one_value(data, pa.binary()), pattern)[0].as_py())


def _longest(column: pa.ChunkedArray) -> int:
    return int(pc.max(pc.binary_length(column)).as_py() or 0)


def _without_empty_rows(columns: Sequence[pa.ChunkedArray]) -> list[pa.ChunkedArray]:
    filled = pc.not_equal(columns[0], "")
    for column in columns[1:]:
        if pc.all(filled).as_py():
            return list(columns)
        filled = pc.or_(filled, pc.not_equal(column, ""))
    return [column.filter(filled) for column in columns]


def _odd_cells(text: _Text, columns: Sequence[str]) -> tuple[pa.ChunkedArray, ...]:
    """Return the cells of each column, read row by row.

    Raises:
        TableError: cells outside the columns.
        csv.Error: broken quotes.
    """
    rows = [_cells(row, columns, line) for line, row in islice(text.lines(), 1, None)]
    return tuple(
        pa.chunked_array([[row[place] for row in rows]], pa.string())
        for place in range(len(columns))
    )


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
