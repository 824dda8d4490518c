"""A table as text, Markdown, CSV and JSON, and the files of all its forms."""

import csv
import io
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import replaced_text
from ivr.pipeline.runtime.digests import rewriting
from ivr.pipeline.runtime.text_tables import aligned, markdown_table
from ivr.pipeline.runtime.visible_text import visible

from .escaped_text import markdown, spreadsheet
from .latex_table import as_latex
from .printed_table import blocks, cells, marked_by, marks, notes, printed_heads, rows_of
from .table import Spread, Table, TableRow

WIDTH = 100
TEXT_MARKS = {"best": "*", "second": "+"}
MARKDOWN_MARKS = {"best": "**{}**", "second": "*{}*", "": "{}"}


def as_text(table: Table) -> str:
    """Return ``table`` for a terminal, its blocks one below another."""
    parts = [visible(table.title)]
    for columns in blocks(table):
        heads = [*printed_heads(table), *(column.head for column in columns)]
        found = rows_of(table, columns)
        marked = [marks(table, row, columns) for row in found]
        has_marks = [any(column) for column in zip(*marked, strict=True)]
        rows = [[f"{head}{' ' * has}" for head, has in zip(heads, has_marks, strict=True)]]
        for row, own in zip(found, marked, strict=True):
            texts = zip(cells(table, row, columns, visible), own, has_marks, strict=True)
            rows.append([text + TEXT_MARKS.get(mark, " " * has) for text, mark, has in texts])
        parts.append("\n".join(aligned(rows, len(printed_heads(table)))))
    legend = f"* best, + second best: {marked_by(table)}"
    parts.append("\n".join(map(_wrapped, notes(table, visible, legend))))
    return "\n\n".join(parts)


def as_markdown(table: Table) -> str:
    """Return ``table`` in Markdown, the best values in bold, the second best ones in italics."""
    parts = [f"### {markdown(table.title)}"]
    for columns in blocks(table):
        heads = [*printed_heads(table), *(column.head for column in columns)]
        rows = [
            [
                MARKDOWN_MARKS[mark if text else ""].format(text)
                for text, mark in zip(
                    cells(table, row, columns, markdown), marks(table, row, columns), strict=True
                )
            ]
            for row in rows_of(table, columns)
        ]
        parts.append(markdown_table(heads, rows))
    parts += notes(table, markdown, f"Bold: best; italics: second best: {marked_by(table)}")
    return "\n\n".join(parts) + "\n"


def as_csv(table: Table) -> str:
    """Return ``table`` as CSV, one line per row: heads, then every metric with its deviation.

    Values have all their digits. Text that a spreadsheet would calculate begins with a quote.
    """
    file = io.StringIO()
    names = ["kind", *table.heads, *_value_names(table), "note"]
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for row in table_rows(table):
        writer.writerow({name: _plain(value) for name, value in row.items()})
    return file.getvalue()


def table_rows(table: Table) -> list[dict[str, Any]]:
    """Return one dictionary per row, all with the same keys; unknown values are ``None``."""
    names = dict.fromkeys(_value_names(table))
    return [
        {
            "kind": row.kind,
            **{head: row.heads.get(head, "") for head in table.heads},
            **names,
            **_values(row),
            "note": row.note,
        }
        for row in table.rows
    ]


def as_json(table: Table) -> dict[str, Any]:
    """Return ``table`` as JSON values."""
    return {
        "title": table.title,
        "heads": list(table.heads),
        "columns": [column.key for column in table.columns],
        "lines": [
            {
                "kind": row.kind,
                **row.heads,
                "figures": _values(row),
                "best": [
                    k for k, cell in row.cells.items() if isinstance(cell, Spread) and cell.best
                ],
                "note": row.note,
                "evaluations": {str(seed): place for seed, place in row.evaluations.items()},
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
        "choices": dict(table.choices),
    }


def write_table_files(folder: Path, name: str, table: Table) -> list[Path]:
    """Write ``table`` into ``folder`` in every format and return the files."""
    formats = {
        "csv": as_csv(table),
        "md": as_markdown(table),
        "tex": as_latex(table),
        "json": json.dumps(as_json(table), indent=2, ensure_ascii=False) + "\n",
    }
    paths = {ending: folder / f"{name}.{ending}" for ending in formats}
    with rewriting(folder, [path.name for path in paths.values()]):
        # First the file that says whose the others are, should the process be killed between them.
        for ending in sorted(formats, key=lambda ending: ending != "json"):
            with replaced_text(paths[ending]) as file:
                file.write(formats[ending])
    return list(paths.values())


def _wrapped(note: str) -> str:
    return textwrap.fill(note, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _values(row: TableRow) -> dict[str, float | None]:
    return {
        f"{key}{end}": value
        for key, cell in row.cells.items()
        for end, value in cell.values().items()
        if not (isinstance(cell, Spread) and end and value is None)
    }


def _value_names(table: Table) -> list[str]:
    """Return the names of all values, those of one column together."""
    names = dict.fromkeys(name for row in table.rows for name in _values(row))
    order = {column.key: place for place, column in enumerate(table.columns)}
    return sorted(names, key=lambda name: order[_column_of(name, order)])


def _column_of(name: str, keys: Iterable[str]) -> str:
    return max((key for key in keys if name == key or name.startswith(f"{key}.")), key=len)


def _plain(value: str | float | None) -> str:
    if isinstance(value, str):
        return spreadsheet(value)
    return "" if value is None else str(value).removesuffix(".0")
