"""A manifest read row by row in plain Python: what the reader by columns must agree with."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ivr.pipeline.datasets.canonical_names import canonical_key, find_spellings, visible
from ivr.pipeline.datasets.manifest_row import (
    COLUMNS,
    ManifestError,
    ManifestRow,
    check_row,
    plain_name,
    split_of,
)

REQUIRED = ("image", "voice", "label")
SPELLED = ("label", "speaker", "group")


def lines_of(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def found_with(text: str, delimiter: str) -> int:
    try:
        _, header = next(lines_of(text, delimiter), (0, []))
    except csv.Error:
        return 0
    return len({canonical_key(cell) for cell in header} & set(REQUIRED))


def cells_of(row: Sequence[str], width: int, line: int) -> list[str]:
    cells = [cell.strip() for cell in row]
    beyond = next((cell for cell in cells[width:] if cell), "")
    if beyond or len(cells) < width:
        which = f"{beyond!r} is in none" if beyond else f"{len(cells)} of {width}"
        advice = "; name the column, or quote a text with a delimiter in it" if beyond else ""
        raise ManifestError(
            f"line {line}: not as many fields as the header has columns ({which}){advice}"
        )
    return cells[:width]


def rows_of_text(text: str, *, accept: bool) -> tuple[ManifestRow, ...]:
    """Return the rows of a manifest, or raise what its reader must raise."""
    skipped = 0
    if said := re.match("(?i)\\ufeff?sep=([,;\t|])\\s*?(\r\n|\r|\n)", text):
        text, skipped, delimiter = text[said.end() :], 1, said[1]
    else:
        delimiter = max((",", ";", "\t", "|"), key=lambda one: found_with(text, one))
    try:
        lines = lines_of(text, delimiter)
        _, header = next(lines, (0, []))
        columns = [cell.strip() for cell in header]
        while columns and not columns[-1]:
            columns.pop()
        table = [
            (line + skipped, cells_of(row, len(columns), line + skipped)) for line, row in lines
        ]
    except csv.Error as error:
        raise ManifestError(f"not a readable CSV file ({error})") from error
    return of_one_spelling(rows_of_cells(columns, table), accept)


def rows_of_cells(
    columns: Sequence[str], table: Sequence[tuple[int, list[str]]]
) -> list[ManifestRow]:
    keys = [canonical_key(column) for column in columns]
    missing = [name for name in REQUIRED if name not in keys]
    if missing:
        raise ManifestError(
            f"no column {', '.join(missing)}; needed are {', '.join(REQUIRED)}, "
            f"found {', '.join(columns) or 'none'}"
        )
    repeated = [key for key, count in Counter(filter(None, keys)).items() if count > 1]
    if repeated:
        raise ManifestError(f"column {', '.join(repeated)} stands twice")
    for place, column in enumerate(columns):
        filled = next((line for line, cells in table if cells[place]), 0)
        if not column and filled:
            raise ManifestError(f"line {filled}: column {place + 1} holds a value and has no name")
    rows = []
    for line, cells in table:
        values = {key: cell for key, cell in zip(keys, cells, strict=True) if key in COLUMNS}
        more = tuple(
            (column, cell)
            for column, key, cell in zip(columns, keys, cells, strict=True)
            if column and key not in COLUMNS
        )
        values["image"], values["voice"] = plain_name(values["image"]), plain_name(values["voice"])
        given = values.get("split", "")
        row = ManifestRow(**{**values, "split": split_of(given) or given}, more=more)
        check_row(row, f"line {line}")
        rows.append(row)
    return rows


def of_one_spelling(rows: Sequence[ManifestRow], accept: bool) -> tuple[ManifestRow, ...]:
    names = {column: Counter(getattr(row, column) for row in rows) for column in SPELLED}
    found = [one for column in SPELLED for one in find_spellings(column, names[column])]
    if found and not accept:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ManifestError(
            f"several spellings of one name: {found[0]}{more}; write each name in one way, "
            "or merge them with --accept-spellings of ivr prepare or ivr extract"
        )
    kept = {(one.column, name): one.kept for one in found for name, _ in one.counts}
    spelled = []
    for row in rows:
        parts = {column: getattr(row, column) for column in SPELLED}
        parts = {
            column: kept.get((column, name), name) if visible(name) else ""
            for column, name in parts.items()
        }
        spelled.append(replace(row, **parts))
    require_consistent(spelled)
    return tuple(spelled)


def require_consistent(rows: Sequence[ManifestRow]) -> None:
    if not rows:
        raise ManifestError("the manifest has no rows")
    keys = Counter((row.voice or row.image, bool(row.voice)) for row in rows)
    (name, is_voice), count = keys.most_common(1)[0]
    if is_voice and count > 1:
        raise ManifestError(f"duplicate row: voice {name} stands in {count} rows")
    for (name, is_voice), count in keys.items():
        if not is_voice and count > 1:
            raise ManifestError(f"duplicate row: image {name} stands twice without a voice")
    for column in ("label", "split", "group"):
        seen: dict[str, str] = {}
        for row in rows:
            value = getattr(row, column)
            if row.image and seen.setdefault(row.image, value) != value:
                raise ManifestError(
                    f"image {row.image} has two values of {column}: "
                    f"{seen[row.image]!r} and {value!r}"
                )
