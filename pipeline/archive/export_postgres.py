"""Export to a table of PostgreSQL: codes as ``bit(n)`` of pgvector, places as PostGIS geometry."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.csv

from .export_columns import SRID, as_bit_text, outlines, packed
from .exported_items import BOX, ExportedItems
from .item_columns import MODALITIES
from .postgres import PostgresError, connected, quoted_name, read_notes, shown, sql_type

_GEOMETRY = "geometry"


def write_postgres(items: ExportedItems, address: str, table: str, *, overwrite: bool) -> None:
    """Write the items to ``table`` in one transaction, with an HNSW index per modality.

    Args:
        items: the items.
        address: ``postgres://user@host/database``.
        table: name of the table.
        overwrite: replace a table of that name that an earlier export made.

    Raises:
        PostgresError: the database cannot be used or lacks pgvector, or the table exists.
    """
    with connected(address) as connection:
        _require_free(connection, shown(address), table, overwrite=overwrite)
        _require_vector(connection, shown(address))
        placed = set(BOX) <= set(items.schema.names) and _has_geometry(connection)
        kinds = {
            field.name: sql_type(field.type, field.name)
            for field in items.schema
            if field.name != "code"
        }
        kinds["code"] = f"bit({items.bits}) NOT NULL"
        kinds["id"] += " PRIMARY KEY"
        if placed:
            kinds[_GEOMETRY] = "geometry"
        name = quoted_name(table)
        listed = ", ".join(f"{quoted_name(column)} {kind}" for column, kind in kinds.items())
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} ({listed})")
        _copy(connection, items, name, list(kinds))
        _index(connection, table, placed=placed)
        notes = {"ivr": {"bits": items.bits, **items.made_by}}
        text = json.dumps(notes).replace("'", "''")
        connection.execute(f"COMMENT ON TABLE {name} IS '{text}'")


def _require_free(connection: Any, place: str, table: str, *, overwrite: bool) -> None:
    notes = read_notes(connection, table)
    if notes == {}:
        raise PostgresError(
            f"{place}: table {table} is none that ivr export made; give another name with --table"
        )
    if notes and not overwrite:
        raise PostgresError(
            f"{place}: table {table} exists; replace it with --overwrite, or give --table"
        )


def _require_vector(connection: Any, place: str) -> None:
    found = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
    if not found.fetchone():
        raise PostgresError(f"{place}: lacks the extension pgvector; install it on the server")
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


def _has_geometry(connection: Any) -> bool:
    """Return whether the database has the type of PostGIS."""
    found = connection.execute("SELECT to_regtype('geometry') IS NOT NULL").fetchone()
    return bool(found[0])


def _copy(connection: Any, items: ExportedItems, name: str, columns: list[str]) -> None:
    listed = ", ".join(map(quoted_name, columns))
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {name} ({listed}) FROM STDIN (FORMAT csv)") as copy,
    ):
        for batch in items.batches():
            texts = {
                column: batch.column(column) for column in columns if column in batch.schema.names
            }
            texts["code"] = as_bit_text(packed(batch.column("code")))
            if _GEOMETRY in columns:
                values = outlines(batch, srid=SRID).to_pylist()
                texts[_GEOMETRY] = pa.array([v.hex() if v else None for v in values], pa.string())
            made = pa.table({column: _as_csv(texts[column]) for column in columns})
            file = io.BytesIO()
            pyarrow.csv.write_csv(made, file, options)
            copy.write(file.getvalue())


def _as_csv(column: pa.Array) -> pa.Array:
    """Return values as COPY reads them: a list of numbers is ``{1.5,2}``."""
    if not pa.types.is_fixed_size_list(column.type):
        return column
    texts = [
        None if values is None else "{" + ",".join(map(repr, values)) + "}"
        for values in column.to_pylist()
    ]
    return pa.array(texts, pa.string())


def _index(connection: Any, table: str, *, placed: bool) -> None:
    name = quoted_name(table)
    for modality in MODALITIES:
        connection.execute(
            f"CREATE INDEX ON {name} USING hnsw (code bit_hamming_ops) "
            f"WHERE modality = '{modality}'"
        )
    postgis = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'postgis'").fetchone()
    if placed and postgis:
        connection.execute(f"CREATE INDEX ON {name} USING gist ({_GEOMETRY})")
