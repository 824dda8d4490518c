"""Conditions that Lance refuses, told in the words of the user who typed them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ivr.names import suggestion

from .lance_library import ArchiveError, lance_errors
from .where import ConditionError, whole, with_times

_STATEMENT = re.compile(
    r"Error parsing statement: .*\(sql parser error: (?P<reason>.*)\)", re.DOTALL
)
_EXPRESSION = ("Error resolving filter expression ", "Error optimizing sql filter: ")
_NO_COLUMN = re.compile(r"No field named (?P<name>.+?)\.( |$)")
_KIND = re.compile(r"^(Invalid user input: |Schema error: |\(?LanceError\(\w+\): |\w+ error: )+")


@contextmanager
def asked(table: Any, place: str, where: str | None) -> Iterator[None]:
    """Turn errors of the library inside the block into one line, see :func:`lance_errors`.

    If the condition of the caller is the cause, the line quotes it as it was given, without the
    conditions that it was joined with.

    Args:
        table: the table of LanceDB that is asked.
        place: its archive, for messages.
        where: the condition of the caller, None without one.

    Raises:
        ConditionError: the library refuses ``where``.
        ArchiveError: it fails for another reason.
    """
    try:
        with lance_errors(place):
            yield
    except ArchiveError:
        if where:
            _require_condition(table, whole(where))
        raise


def times_of(schema: pa.Schema) -> set[str]:
    """Return the names of the columns that hold times."""
    return {field.name for field in schema if pa.types.is_timestamp(field.type)}


def _require_condition(table: Any, where: str) -> None:
    """Refuse a condition that Lance refuses, by itself or as a part of another one."""
    columns = table.schema.names
    for condition in (where, f"({where}) AND true"):
        sql = with_times(condition, times_of(table.schema))
        try:
            with lance_errors(""):
                table.search().where(sql).select(["modality"]).limit(1).to_arrow()
        except ArchiveError as error:
            reason = _reason(str(error).removeprefix(": "), sql, columns)
            raise ConditionError(f"the condition {where!r} cannot be used: {reason}") from error


def _reason(text: str, sql: str, columns: Sequence[str]) -> str:
    """Return what a message of Lance says of the condition ``sql``, without repeating it."""
    parsed = _STATEMENT.match(text)
    reason = parsed["reason"] if parsed else text
    for start in _EXPRESSION:
        reason = reason.removeprefix(start)
    reason = _KIND.sub("", reason.removeprefix(sql).lstrip(": "))
    column = _NO_COLUMN.match(reason)
    if column:
        name = column["name"].strip('"`')
        return f"there is no column {name!r}; {suggestion(name, columns)}"
    if reason.count(")") > reason.count("("):  # of the library's own brackets around it
        reason = reason.removesuffix(")")
    return reason.replace("found: EOF", "found: its end")
