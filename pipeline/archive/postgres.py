"""The one door to PostgreSQL with pgvector: its address, its errors in one line, its types.

Only this module imports ``psycopg``.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ivr.errors import IvrError

ADDRESSES = ("postgres://", "postgresql://")
"""Beginnings of the addresses of a database."""
# Up to the last @: a password that holds a slash or an @ is refused by the server, and not shown.
_PASSWORD = re.compile(r"(://[^/@:]*):.*@|([?&](?:ssl)?password=)[^&]*")
_TYPES = {
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.int16(): "smallint",
    pa.float64(): "double precision",
    pa.float32(): "real",
    pa.bool_(): "boolean",
    pa.string(): "text",
    pa.uint64(): "numeric(20)",
    pa.date32(): "date",
}


class PostgresError(IvrError):
    """A database that cannot be used as asked, in one line."""


class DatabaseDownError(PostgresError):
    """A database that does not answer, or gave a query up, in one line."""


def is_address(text: str) -> bool:
    """Return whether ``text`` is the address of a database."""
    return text.startswith(ADDRESSES)


def shown(address: str) -> str:
    """Return an address without its password."""
    return _PASSWORD.sub(
        lambda found: f"{found[1] or ''}@" if found[1] else f"{found[2]}...", address
    )


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield a connection inside one transaction, which is undone if the block fails.

    Raises:
        PostgresError: psycopg is not installed, there is no such database, or it refuses.
        DatabaseDownError: it cannot be reached, or takes too long.
    """
    try:
        import psycopg
    except ImportError as error:
        raise PostgresError(
            f"PostgreSQL needs psycopg ({error}): pip install 'image-voice-hashing[postgres]'"
        ) from error
    try:
        with psycopg.connect(address) as connection:
            yield connection
    except psycopg.Error as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        down = isinstance(error, psycopg.OperationalError)
        kind = DatabaseDownError if down else PostgresError
        raise kind(f"{shown(address)}: {reason}") from error


def sql_type(kind: pa.DataType, column: str) -> str:
    """Return the type of a column in PostgreSQL.

    Raises:
        PostgresError: a type that is not exported.
    """
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float32():
        return "real[]"
    if kind not in _TYPES:
        raise PostgresError(f"column {column}: PostgreSQL has no type for {kind}; leave it out")
    return _TYPES[kind]


def quoted_name(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def read_notes(connection: Any, table: str) -> dict[str, Any] | None:
    """Return what ``ivr export`` noted of ``table``, ``{}`` for another table, None for none."""
    found = connection.execute(
        "SELECT obj_description(to_regclass(%s), 'pg_class'), to_regclass(%s)",
        [quoted_name(table)] * 2,
    ).fetchone()
    if found[1] is None:
        return None
    try:
        notes = json.loads(found[0] or "")["ivr"]
    except (ValueError, TypeError, KeyError):
        return {}
    return notes if isinstance(notes, dict) else {}
