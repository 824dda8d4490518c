"""A table as text, Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import replaced_text
from ivr.pipeline.runtime.digests import rewriting
from ivr.pipeline.runtime.text_tables import aligned, markdown_table

from .columns import Column
from .table import Spread, Table, TableRow

WIDTH = 100
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "→": r"$\to$",
    "†": r"$\dagger$",
    "<": r"$<$",
    ">": r"$>$",
}


def as_text(table: Table) -> str:
    """Return ``table`` for a terminal, its blocks one below another."""
    footnotes = _footnotes(table)
    parts = [table.title]
    for columns in _blocks(table):
        rows = [[*table.heads, *(column.head for column in columns)]]
        rows += [_row(table, row, columns, footnotes, "[{}]".format) for row in _of(table, columns)]
        parts.append("\n".join(aligned(rows, len(table.heads))))
    parts.append("\n".join(_wrapped(note) for note in _notes(table, footnotes, "[{}]".format)))
    return "\n\n".join(parts)


def as_markdown(table: Table) -> str:
    """Return ``table`` in Markdown, the best values in bold."""
    footnotes = _footnotes(table)
    parts = [f"### {table.title}"]
    for columns in _blocks(table):
        heads = [*table.heads, *(column.head for column in columns)]
        rows = [
            _row(table, row, columns, footnotes, "[{}]".format, "**{}**".format)
            for row in _of(table, columns)
        ]
        parts.append(markdown_table(heads, rows))
    parts += _notes(table, footnotes, "[{}]".format)
    return "\n\n".join(parts) + "\n"


def as_latex(table: Table) -> str:
    """Return ``table`` in LaTeX for the package booktabs, the best values in bold."""
    footnotes = _footnotes(table)
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering"]
    lines += [f"\\caption{{{_escaped(table.title)}}}"]
    for columns in _blocks(table):
        heads = [*table.heads, *(column.head for column in columns)]
        lines += [f"\\begin{{tabular}}{{{'l' * len(table.heads)}{'r' * len(columns)}}}"]
        lines += [r"\toprule", _latex_row(map(_escaped, heads)), r"\midrule"]
        kind = "measured"
        for row in _of(table, columns):
            if row.kind == "published" != kind:
                lines.append(r"\midrule")
            kind = row.kind
            lines.append(_latex_row(_latex_cells(table, row, columns, footnotes)))
        lines += [r"\bottomrule", r"\end{tabular}", ""]
    notes = _notes(table, footnotes, "[{}]".format)
    lines += [r"\footnotesize", *(f"{_escaped(note)}\\par" for note in notes), r"\end{table}"]
    return "\n".join(lines) + "\n"


def as_csv(table: Table) -> str:
    """Return ``table`` as CSV, one line per row: heads, then every metric with its deviation."""
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
        "lines": [
            {"kind": row.kind, **row.heads, "figures": _values(row), "note": row.note}
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def write_table_files(folder: Path, name: str, table: Table) -> list[Path]:
    """Write ``table`` into ``folder`` in every format and return the files."""
    formats = {
        "csv": as_csv(table),
        "md": as_markdown(table),
        "tex": as_latex(table),
        "json": json.dumps(as_json(table), indent=2, ensure_ascii=False) + "\n",
    }
    paths = [folder / f"{name}.{ending}" for ending in formats]
    with rewriting(folder, [path.name for path in paths]):
        for path, text in zip(paths, formats.values(), strict=True):
            with replaced_text(path) as file:
                file.write(text)
    return paths


def _blocks(table: Table) -> list[list[Column]]:
    """Return the columns that stand side by side, in their order."""
    names = dict.fromkeys(column.block for column in table.columns)
    return [[column for column in table.columns if column.block == name] for name in names]


def _of(table: Table, columns: Sequence[Column]) -> list[TableRow]:
    """Return the rows of a block; published rows and chance only if they have a cell in it."""
    keys = {column.key for column in columns}
    differences = columns[0].block == "differences"
    return [
        row
        for row in table.rows
        if keys & set(row.cells) or (row.kind == "measured" and not differences)
    ]


def _footnotes(table: Table) -> list[str]:
    return list(dict.fromkeys(row.note for row in table.rows if row.note))


def _notes(table: Table, footnotes: Sequence[str], mark: Callable[[int], str]) -> list[str]:
    marked = [f"{mark(number)} {note}." for number, note in enumerate(footnotes, 1)]
    return [*table.notes, *marked]


def _row(
    table: Table,
    row: TableRow,
    columns: Sequence[Column],
    footnotes: Sequence[str],
    mark: Callable[[int], str],
    bold: Callable[[str], str] = str,
) -> list[str]:
    heads = [row.heads.get(head, "") for head in table.heads]
    if row.note:
        heads[0] += f" {mark(footnotes.index(row.note) + 1)}"
    cells = [row.cells.get(column.key) for column in columns]
    return heads + [
        "" if cell is None else bold(cell.text) if cell.best else cell.text for cell in cells
    ]


def _wrapped(note: str) -> str:
    return textwrap.fill(note, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _latex_cells(
    table: Table, row: TableRow, columns: Sequence[Column], footnotes: Sequence[str]
) -> list[str]:
    texts = _row(table, row, columns, footnotes, "[{}]".format)
    bold = [False] * len(table.heads)
    bold += [bool((cell := row.cells.get(column.key)) and cell.best) for column in columns]
    return [
        f"\\textbf{{{_escaped(text)}}}" if is_bold else _escaped(text)
        for text, is_bold in zip(texts, bold, strict=True)
    ]


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)


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
        return value
    return "" if value is None else f"{value:.6g}"
