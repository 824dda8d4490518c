"""Rows on their way into the table of an archive: unique keys, and columns as the table has."""

from collections import Counter
from typing import Any

import pyarrow as pa

from .item_columns import KEY
from .lance_library import ArchiveError, lance_errors, retried
from .wider_columns import widen_columns


def fit_columns(latest: Any, schema: pa.Schema, place: str) -> int:
    """Add the columns of ``schema`` that the table lacks, and widen those that it needs wider.

    Returns:
        Number of versions made.
    """

    def commit() -> int:
        latest.checkout_latest()
        lacking = [field for field in schema if field.name not in latest.schema.names]
        if lacking:
            latest.add_columns(pa.schema([field.with_nullable(True) for field in lacking]))
        return 1 if lacking else 0

    with lance_errors(place):
        added = retried(commit)
    return added + widen_columns(latest, schema, place)


def require_unique(table: pa.Table, place: str) -> None:
    """Refuse rows without a name, or with one name twice."""
    lacking = [name for name in KEY if name not in table.column_names]
    if lacking:
        raise ArchiveError(f"{place}: rows need the column {lacking[0]}")
    keys = Counter(zip(*(table[name].to_pylist() for name in KEY), strict=True))
    (first, times), *_ = keys.most_common(1)
    if times > 1:
        raise ArchiveError(f"{place}: {first[0]} {first[1]} stands in {times} of the rows; once")


def of_schema(table: pa.Table, schema: pa.Schema, place: str) -> pa.Table:
    """Return ``table`` with the columns of ``schema`` in their order and of their types."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            if not field.nullable:
                raise ArchiveError(f"{place}: rows need the column {field.name}")
            columns.append(pa.nulls(len(table), field.type))
            continue
        given = table.schema.field(field.name).type
        wider = (given, field.type) == (pa.int64(), pa.float64())
        if given != field.type and not wider and not pa.types.is_null(given):
            raise ArchiveError(
                f"{place}: column {field.name} is {field.type} in the archive, got {given}; "
                "convert it, or rename the column"
            )
        try:
            columns.append(table[field.name].cast(field.type))
        except pa.ArrowInvalid as error:
            raise ArchiveError(
                f"{place}: column {field.name}: {str(error).splitlines()[0]}; rename the column"
            ) from error
    return pa.table(columns, schema=schema)
