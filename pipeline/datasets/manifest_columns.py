"""A manifest column by column, so that a million rows are read and checked in a second.

The known columns are text without nulls; further columns keep their types. A rule for rows is
:func:`~ivr.pipeline.datasets.manifest_row.check_row`; here fast tests over whole columns find the
rows that may break it, and only these are checked one by one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivr.features.regular_files import UnreadableFileError, read_regular

from .canonical_names import canonical_key
from .manifest_row import (
    COLUMNS,
    SPLITS,
    ManifestError,
    ManifestRow,
    check_row,
    plain_name,
    split_of,
)
from .parquet_table import is_parquet, read_parquet
from .spreadsheet import MOST_BYTES, read_csv
from .table import SPACES, Table, TableError, is_text, row_number

_PATHS, _ONE_LINE = ("image", "voice"), ("label", "speaker", "group")
_DOTTED = r"//|(?:^|/)\.|/$"
_HERE = r"^(?:\./+)+([^./])"
_SPACE = "[" + "".join(f"\\x{{{ord(space):x}}}" for space in SPACES) + "]"
_ODD_PATH = rf"[\x00-\x1f\x7f\\]|^/|(?:^|/)\.\.(?:/|$)|^{_SPACE}|{_SPACE}$"
_CONTROL = r"[\x00-\x1f\x7f]"

Place = Callable[[int], str]


def read_columns(path: Path, required: Sequence[str]) -> pa.Table:
    """Return the columns of the table in ``path``, whose names may have several spellings.

    Args:
        path: a CSV or Parquet file; its first bytes tell which.
        required: columns that must be there; the others are taken as empty.

    Raises:
        ManifestError: unreadable file, missing column, or a row that cannot be used; without the
            name of the file.
    """
    try:
        data = read_regular(path, MOST_BYTES)
        table = read_parquet(data) if is_parquet(data) else read_csv(data, required)
    except (UnreadableFileError, TableError) as error:
        raise ManifestError(str(error)) from error
    columns = _columns(table, required)
    check_columns(columns, table.place)
    return columns


def columns_of(rows: Sequence[ManifestRow]) -> pa.Table:
    """Return the columns of ``rows``; a further column that a row lacks is empty there.

    Raises:
        ManifestError: text that is not UTF-8.
    """
    others = dict.fromkeys(name for row in rows for name, _ in row.more)
    values = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    values |= {name: [dict(row.more).get(name, "") for row in rows] for name in others}
    try:
        return pa.table({name: pa.array(texts, pa.string()) for name, texts in values.items()})
    except UnicodeEncodeError as error:
        for number, row in enumerate(rows):
            check_row(row, row_number(number))
        text = error.object
        column, texts = next((name, texts) for name, texts in values.items() if text in texts)
        place = row_number(texts.index(text))
        raise ManifestError(f"{place}: {column} {text!r} is not in UTF-8") from error


def rows_of(columns: pa.Table) -> tuple[ManifestRow, ...]:
    """Return the rows of a manifest; values of further columns become text."""
    known = [columns[name].to_pylist() for name in COLUMNS]
    others = [
        [(name, text) for text in as_text(columns[name]).to_pylist()]
        for name in further_columns(columns)
    ]
    more: Iterable[tuple[tuple[str, str], ...]] = (
        zip(*others, strict=True) if others else repeat(())
    )
    return tuple(map(ManifestRow, *known, more))


def further_columns(columns: pa.Table) -> list[str]:
    """Return the names of the columns that are only kept."""
    return [name for name in columns.column_names if name not in COLUMNS]


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return typed values as text, ``""`` for null."""
    try:
        text = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes, lists and structures
        values = ["" if value is None else str(value) for value in column.to_pylist()]
        text = pa.chunked_array([values], pa.string())
    return pc.fill_null(text, "")


def check_columns(columns: pa.Table, place: Place = row_number) -> None:
    """Refuse rows that cannot be used, the first one in the words of ``check_row``.

    Args:
        columns: columns of a manifest.
        place: returns where a row stands, in words.

    Raises:
        ManifestError: see :func:`~ivr.pipeline.datasets.manifest_row.check_row`.
    """
    odd = pc.and_(pc.equal(columns["image"], ""), pc.equal(columns["voice"], ""))
    for name in _PATHS:
        odd = pc.or_(odd, pc.match_substring_regex(columns[name], _ODD_PATH))
    splits = pa.array(["", *SPLITS])
    odd = pc.or_(odd, pc.invert(pc.is_in(columns["split"], splits)))
    for name in _ONE_LINE:
        values = pc.unique(columns[name])
        broken = values.filter(pc.match_substring_regex(values, _CONTROL))
        if len(broken):
            odd = pc.or_(odd, pc.is_in(columns[name], broken))
    for row in np.flatnonzero(odd.to_numpy()).tolist():
        check_row(ManifestRow(*(columns[name][row].as_py() for name in COLUMNS)), place(row))


def first_rows(names: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return which name each row has, and in which row each name stands first.

    Args:
        names: text without nulls; ``""`` is no name.

    Returns:
        Numbers of the names by first appearance [rows], -1 for no name; and rows [names], rising.
    """
    encoded = names.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    first = np.empty(len(encoded.dictionary), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    empty = pc.index(encoded.dictionary, "").as_py()
    if empty < 0:
        return codes, first
    numbers = np.arange(len(first)) - (np.arange(len(first)) > empty)
    numbers[empty] = -1
    return numbers[codes], np.delete(first, empty)


def refuse_repeated_voices(columns: pa.Table) -> None:
    """Refuse a voice in two rows, and an image in two rows without a voice.

    Raises:
        ManifestError: there is one.
    """
    spoken = pc.not_equal(columns["voice"], "")
    voices, images = columns["voice"].filter(spoken), columns["image"].filter(pc.invert(spoken))
    if all(len(pc.unique(names)) == len(names) for names in (voices, images)):
        return
    pairs = zip(columns["voice"].to_pylist(), columns["image"].to_pylist(), strict=True)
    keys = Counter((voice or image, bool(voice)) for voice, image in pairs)
    (name, is_voice), count = keys.most_common(1)[0]
    if is_voice:
        raise ManifestError(f"duplicate row: voice {name} stands in {count} rows")
    name = next(name for (name, is_voice), count in keys.items() if not is_voice and count > 1)
    raise ManifestError(f"duplicate row: image {name} stands twice without a voice")


def refuse_conflicts(columns: pa.Table, numbers: np.ndarray, first: np.ndarray) -> None:
    """Refuse an image with two labels, splits or groups.

    Args:
        columns: columns of a manifest.
        numbers: which image each row has, [rows], -1 for none.
        first: row in which each image stands first, [images].

    Raises:
        ManifestError: there is one.
    """
    rows = np.flatnonzero(numbers >= 0)
    firsts = first[numbers[rows]]
    rows, firsts = rows[rows != firsts], firsts[rows != firsts]
    for name in ("label", "split", "group"):
        column = columns[name]
        other = np.flatnonzero(pc.not_equal(column.take(rows), column.take(firsts)).to_numpy())
        if len(other):
            row, before = int(rows[other[0]]), int(firsts[other[0]])
            raise ManifestError(
                f"image {columns['image'][row]} has two values of {name}: "
                f"{column[before].as_py()!r} and {column[row].as_py()!r}"
            )


def _columns(table: Table, required: Sequence[str]) -> pa.Table:
    """Return the known columns of ``table``, with names and splits as they are kept, and others."""
    places = _known_columns(table.columns, required)
    others = _other_columns(table)
    rows = len(table.cells[0])
    found = {
        name: _text(table.cells[places[name]], name)
        if name in places
        else pa.chunked_array([pa.repeat(pa.scalar(""), rows)])
        for name in COLUMNS
    }
    for name in _PATHS:
        found[name] = _plain_names(found[name])
    found["split"] = _splits(found["split"])
    return pa.table(found | {name: table.cells[place] for name, place in others.items()})


def _known_columns(columns: Sequence[str], required: Sequence[str]) -> dict[str, int]:
    """Return the place of each known column; the case of its name does not count."""
    names = [canonical_key(column) for column in columns]
    missing = [name for name in required if name not in names]
    if missing:
        raise ManifestError(
            f"no column {', '.join(missing)}; needed are {', '.join(required)}, "
            f"found {', '.join(columns) or 'none'}"
        )
    counts = Counter(name for name in names if name)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise ManifestError(f"column {', '.join(repeated)} stands twice")
    return {name: names.index(name) for name in COLUMNS if name in names}


def _other_columns(table: Table) -> dict[str, int]:
    """Return the place of each column that is only kept."""
    for place, column in enumerate(table.columns):
        if not column:
            filled = pc.index(pc.not_equal(as_text(table.cells[place]), ""), True).as_py()
            if filled >= 0:
                raise ManifestError(
                    f"{table.place(filled)}: column {place + 1} holds a value and has no name"
                )
    return {
        column: place
        for place, column in enumerate(table.columns)
        if column and canonical_key(column) not in COLUMNS
    }


def _text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return a known column as text without nulls."""
    kind = column.type
    tests = (is_text, pa.types.is_binary, pa.types.is_integer, pa.types.is_null)
    if not any(test(kind) for test in tests):
        raise ManifestError(f"column {name} holds {kind}, not text; write it as text")
    try:
        return pc.fill_null(column.cast(pa.string()), "")
    except pa.ArrowInvalid as error:
        raise ManifestError(f"column {name} is not text in UTF-8; write it as text") from error


def _plain_names(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return names without ``./`` and doubled slashes: one file has one name."""
    dotted = pc.match_substring_regex(names, _DOTTED)
    if not pc.any(dotted).as_py():
        return names
    names = pc.replace_substring_regex(names, _HERE, r"\1")
    dotted = pc.match_substring_regex(names, _DOTTED)
    plain = [plain_name(name) for name in names.filter(dotted).to_pylist()]
    whole = names.combine_chunks()
    return pa.chunked_array(
        [pc.replace_with_mask(whole, dotted.combine_chunks(), pa.array(plain, pa.string()))]
    )


def _splits(given: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return splits as :data:`SPLITS` names them; unknown names stay as they are."""
    encoded = given.combine_chunks().dictionary_encode()
    known = [split_of(name) or name for name in encoded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(known, pa.string()).take(encoded.indices)])
