"""What the printed forms of a table share: blocks that fit on a page, heads, marks and notes."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from .columns import DIFFERENCE, Column
from .escaped_text import shortened
from .row_heads import TOLD_ONCE
from .table import Spread, Table, TableRow

PAGE = 92
"""Characters side by side in a block: a terminal, or a page of A4 in small type."""
GAP = 2
"""Characters between columns."""
LONGEST_HEAD = 60
Form = Callable[[str], str]


def printed_heads(table: Table) -> tuple[str, ...]:
    """Return the head columns; what all measured rows share stands in the notes instead."""
    measured = [row for row in table.rows if row.kind == "measured"]
    return tuple(
        head
        for head in table.heads
        if head not in TOLD_ONCE or len({row.heads.get(head) for row in measured}) > 1
    )


def blocks(table: Table) -> list[list[Column]]:
    """Return the columns that stand side by side, in their order, as many as a page holds.

    Both directions of a metric stay together where they fit.
    """
    found: list[list[Column]] = []
    heads = [[head, *(_head(row, head) for row in table.rows)] for head in printed_heads(table)]
    left = sum(map(_width, heads))
    for name in dict.fromkeys(column.block for column in table.columns):
        block: list[Column] = []
        own = [column for column in table.columns if column.block == name]
        for unit in _units(own, PAGE - left, table):
            if block and left + _widths(table, [*block, *unit]) > PAGE + GAP:
                found.append(block)
                block = []
            block = [*block, *unit]
        found.append(block)
    return found


def rows_of(table: Table, columns: Sequence[Column]) -> list[TableRow]:
    """Return the rows of a block; published rows and chance only if they have a cell in it."""
    keys = {column.key for column in columns}
    differences = columns[0].block == f"{DIFFERENCE}s"
    return [
        row
        for row in table.rows
        if keys & set(row.cells) or (row.kind == "measured" and not differences)
    ]


def footnotes(table: Table) -> list[str]:
    """Return the notes of single rows, each once."""
    return list(dict.fromkeys(row.note for row in table.rows if row.note))


def cells(table: Table, row: TableRow, columns: Sequence[Column], escaped: Form) -> list[str]:
    """Return the texts of ``row``: its heads with the number of its footnote, then its cells.

    Args:
        table: the table.
        row: one of its rows.
        columns: the columns of the block.
        escaped: makes text of data harmless in the form that is printed.
    """
    heads = [escaped(_head(row, head)) for head in printed_heads(table)]
    if row.note:
        heads[0] += f" [{footnotes(table).index(row.note) + 1}]"
    found = [row.cells.get(column.key) for column in columns]
    return heads + ["" if cell is None else cell.text for cell in found]


def marks(table: Table, row: TableRow, columns: Sequence[Column]) -> list[str]:
    """Return for each cell of :func:`cells` ``best``, ``second`` or ``""``."""
    found = [row.cells.get(column.key) for column in columns]
    spreads = [cell if isinstance(cell, Spread) else Spread(0.0) for cell in found]
    own = ["best" if cell.best else "second" if cell.second else "" for cell in spreads]
    return [""] * len(printed_heads(table)) + own


def marked_by(table: Table) -> str:
    """Return the rule that marks the best value of a column, for the legend."""
    lowest = {column.lowest for column in table.columns if column.ranked}
    order = "least" if lowest == {True} else "greatest"
    where = ", or the least where less is better," if len(lowest) > 1 else ""
    value = "mean" if any(len(row.evaluations) > 1 for row in table.rows) else "value"
    return (
        f"the {order}{where} {value} of its column among the rows with as many bits, by values "
        "that are not rounded."
    )


def notes(table: Table, escaped: Form, legend: str) -> list[str]:
    """Return the notes below the table: on the whole, on its marks, and on single rows.

    Args:
        table: the table.
        escaped: makes text of data harmless in the form that is printed.
        legend: how the best and the second best value are marked.
    """
    rows = (cell for row in table.rows for cell in row.cells.values() if isinstance(cell, Spread))
    told = [legend] if any(cell.best for cell in rows) else []
    own = [f"[{number}] {escaped(note)}." for number, note in enumerate(footnotes(table), 1)]
    return [*map(escaped, table.notes), *told, *own]


def _head(row: TableRow, head: str) -> str:
    return shortened(row.heads.get(head, ""), LONGEST_HEAD)


def _units(columns: Sequence[Column], room: int, table: Table) -> list[list[Column]]:
    """Return the columns that stay together: those of one metric, or one where these do not fit."""
    units = [list(unit) for _, unit in groupby(columns, lambda column: column.name)]
    found: list[list[Column]] = []
    for unit in units:
        fits = _widths(table, unit) <= room + GAP
        found += [unit] if fits else [[column] for column in unit]
    return found


def _widths(table: Table, columns: Sequence[Column]) -> int:
    texts = (
        [column.head, *(cell.text for row in table.rows if (cell := row.cells.get(column.key)))]
        for column in columns
    )
    return sum(map(_width, texts))


def _width(texts: Iterable[str]) -> int:
    return max(map(len, texts)) + GAP
