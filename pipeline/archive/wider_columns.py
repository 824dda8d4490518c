"""A column of whole numbers becomes one of floats, since a later source has fractions.

Lance does not cast a column from one to the other. The floats are a new column, which takes the
name of the old one in one commit, so that readers always have one column of this name. Row ids
and the versions in which rows were changed stay.
"""

from secrets import token_hex
from typing import Any

import pyarrow as pa

from .code_batches import CHANGED_IN
from .lance_library import ArchiveError, lance_errors, one_of, retried

EXACT = 1 << 53
"""Whole numbers up to this one are floats without loss."""
_WIDER, _NARROW = "_wider_", "_narrow_"
"""Beginnings of columns that exist while a column is widened, then eight digits and its name."""


def to_widen(held: pa.Schema, given: pa.Schema) -> list[str]:
    """Return the columns of ``held`` that are whole numbers and floats in ``given``."""
    return [
        field.name
        for field in given
        if field.type == pa.float64()
        and field.name in held.names
        and held.field(field.name).type == pa.int64()
    ]


def require_exact(table: Any, given: pa.Schema, place: str) -> None:
    """Refuse to widen a column that holds a number which no float holds.

    Args:
        table: the table of the archive.
        given: columns of the rows that are to be added.
        place: the archive.

    Raises:
        ArchiveError: there is one.
    """
    for name in to_widen(table.schema, given):
        beyond = f"{_quoted(name)} > {EXACT} OR {_quoted(name)} < -{EXACT}"
        with lance_errors(place):
            many = table.count_rows(beyond)
        if many:
            raise ArchiveError(
                f"column {name}: the archive has it as integer, with numbers beyond {EXACT} that "
                "no float holds exactly; rename the column of this source"
            )


def widen_columns(latest: Any, given: pa.Schema, place: str) -> int:
    """Turn columns of whole numbers that ``given`` has as floats into floats.

    Returns:
        Number of versions made.

    Raises:
        ArchiveError: a column holds a number that no float holds, or the archive cannot be written.
    """
    latest.checkout_latest()
    require_exact(latest, given, place)
    with lance_errors(place):
        return sum(_widen(latest, name) for name in to_widen(latest.schema, given))


def finish_widening(latest: Any) -> int:
    """Remove what a killed call left of its columns; return the number of versions made."""
    latest.checkout_latest()
    made = 0
    for name in latest.schema.names:
        if name.startswith(_NARROW):
            own = name.removeprefix(_NARROW)[9:]
            made += _bring(latest, own, name, f"{_quoted(own)} IS NULL")
        if name.startswith((_NARROW, _WIDER)):
            latest.drop_columns([name])
            made += 1
    return made


def _widen(latest: Any, name: str) -> int:
    """Widen one column; return the number of versions made."""
    key = f"{token_hex(4)}_{name}"
    wider, narrow = _WIDER + key, _NARROW + key

    def copy() -> int:
        latest.checkout_latest()
        latest.add_columns({wider: f"CAST({_quoted(name)} AS DOUBLE)"})
        return int(latest.version)

    def swap() -> int:
        latest.checkout_latest()
        if latest.schema.field(name).type != pa.int64():  # another writer was faster
            return 0
        latest.alter_columns(
            {"path": name, "rename": narrow}, {"path": wider, "rename": name}
        )  # fmt: skip
        return int(latest.version)

    copied, swapped = retried(copy), retried(swap)
    if not swapped:
        retried(lambda: latest.drop_columns([wider]))
        return 2
    made = 3
    if swapped > copied + 1:
        # Rows that others wrote in between have whole numbers in the old column only.
        between = f"{CHANGED_IN} > {copied} AND {CHANGED_IN} < {swapped}"
        names = latest.search().where(between).select(["name"]).to_arrow()["name"].to_pylist()
        made += _bring(latest, name, narrow, one_of("name", names))
    retried(lambda: latest.drop_columns([narrow]))
    return made


def _bring(latest: Any, name: str, narrow: str, condition: str) -> int:
    """Copy whole numbers to the column of floats; return the number of versions made."""
    chosen = f"({condition}) AND {_quoted(narrow)} IS NOT NULL"
    values = {name: f"CAST({_quoted(narrow)} AS DOUBLE)"}
    before = int(latest.version)
    found = latest.search().where(chosen).select(["modality"]).to_arrow()
    if len(found):
        retried(lambda: latest.update(where=chosen, values_sql=values))
    return 1 if latest.version > before else 0


def _quoted(name: str) -> str:
    """Return the name of a column as the conditions of Lance take it."""
    return f"`{name}`"
