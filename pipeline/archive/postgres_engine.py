"""Search in a table of PostgreSQL that ``ivr export --to postgres`` wrote."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np

from .distances import SAMPLE, Confidence
from .item_columns import MODALITIES
from .postgres import PostgresError, connected, quoted_name, read_notes, shown
from .where import Bounds, joined


class PostgresEngine:
    """The exported items of a database.

    Attributes:
        place: the address without its password.
        bits: bits per code.
        made_by: what decided the codes, see
            :class:`ivr.pipeline.archive.exported_items.ExportedItems`.
        columns: names of the columns.
    """

    def __init__(self, address: str, table: str, time_limit: float | None = None) -> None:
        """Look for the table.

        Args:
            address: ``postgres://USER@HOST/DATABASE``.
            table: name of the table.
            time_limit: seconds after which the database gives a query up, None for its own limit.

        Raises:
            PostgresError: no such database, or the table is none that ``ivr export`` made.
        """
        self._address, self._table = address, table
        self.place = shown(address)
        self._time_limit = time_limit
        with connected(address) as connection:
            notes = read_notes(connection, table)
            if notes:
                found = connection.execute(f"SELECT * FROM {quoted_name(table)} LIMIT 0")
                self.columns = tuple(column.name for column in found.description)
        if not notes:
            raise PostgresError(
                f"{self.place}: has no table {table} of ivr; make it with ivr export --to postgres"
            )
        self.bits: int = notes["bits"]
        self.made_by: dict[str, Any] = notes

    def nearest(
        self,
        code: np.ndarray,
        *,
        modality: str,
        count: int,
        where: str | None = None,
        bbox: Bounds | None = None,
        within: int | None = None,
        index: bool = False,
    ) -> tuple[list[dict[str, Any]], Confidence | None]:
        """Return the rows nearest to ``code`` with their ``distance``, and how clear the first is.

        Rows at equal distance come in the order of their ids, which is that of their addition.

        Args:
            code: packed code [bits / 8], uint8.
            modality: modality of the rows.
            count: largest number of rows.
            where: SQL condition on the rows, as PostgreSQL takes it.
            bbox: only rows whose box touches this one.
            within: largest distance, bits.
            index: ask the HNSW index, which may miss rows, instead of comparing every code.

        Raises:
            PostgresError: a condition that cannot be used, or a code of another length.
        """
        if 8 * code.size != self.bits:
            raise PostgresError(
                f"{self.place}: its codes have {self.bits} bits, the query has {8 * code.size}"
            )
        bits = "".join(f"{byte:08b}" for byte in code.reshape(-1).tolist())
        distance = f"(code <~> B'{bits}')::integer"
        conditions = joined(f"modality = '{modality}'", where, bbox.condition() if bbox else None)
        condition = (conditions or "true").replace("%", "%%")
        name = quoted_name(self._table)
        order = f"code <~> B'{bits}'" if index else f"{distance}, id"
        with self._reading() as connection:
            if index:
                connection.execute(f"SET LOCAL hnsw.ef_search = {min(1000, max(40, 2 * count))}")
                connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")
            # With a parameter the server takes one statement only.
            cursor = connection.execute(
                f"SELECT *, {distance} AS distance FROM {name} WHERE {condition} "
                f"ORDER BY {order} LIMIT %s",
                [count],
            )
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
            rows.sort(key=lambda row: (row["distance"], row["id"]))
            clear = self._confidence(connection, distance, modality, rows)
        near = [row for row in rows if within is None or row["distance"] <= within]
        return near, clear

    def counts(self) -> dict[str, int]:
        """Return the number of items of each modality."""
        with self._reading() as connection:
            cursor = connection.execute(
                f"SELECT modality, count(*) FROM {quoted_name(self._table)} GROUP BY modality"
            )
            found = dict(cursor.fetchall())
        return {modality: int(found.get(modality, 0)) for modality in MODALITIES}

    def row(self, item: int) -> dict[str, Any] | None:
        """Return the columns of the row with the id ``item``, None if there is none."""
        if not -(1 << 63) <= item < 1 << 63:
            return None
        with self._reading() as connection:
            name = quoted_name(self._table)
            cursor = connection.execute(f"SELECT * FROM {name} WHERE id = %s", [item])
            values = cursor.fetchone()
            names = [column.name for column in cursor.description]
        return None if values is None else dict(zip(names, values, strict=True))

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """Yield a connection that can change nothing."""
        with connected(self._address) as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute("SET LOCAL standard_conforming_strings = on")
            if self._time_limit is not None:
                limit = max(1, round(1000 * self._time_limit))
                connection.execute(f"SET LOCAL statement_timeout = {limit}")
            yield connection

    def _confidence(
        self, connection: Any, distance: str, modality: str, rows: Sequence[dict[str, Any]]
    ) -> Confidence | None:
        """Return how clearly the first row stands out among all rows of its modality.

        As in an archive conditions do not count, and of many rows a share is compared that is
        spread over all: those whose ids are at equal steps.
        """
        if not rows:
            return None
        name = quoted_name(self._table)
        distances = f"SELECT {distance} AS distance FROM {name} WHERE modality = '{modality}'"
        first_id, last_id = connection.execute(f"SELECT min(id), max(id) FROM {name}").fetchone()
        ids = np.unique(np.linspace(first_id, last_id, SAMPLE).astype(np.int64)).tolist()
        median = _median(connection, f"{distances} AND id = ANY(%s)", ids)
        if median is None:  # the modality is so rare that none of its rows was met
            median = _median(connection, f"{distances} LIMIT %s", SAMPLE)
        first, median = rows[0]["distance"], float(median)
        value = max(0.0, 1 - first / median) if median else 0.0
        return Confidence(value, first, median)


def _median(connection: Any, sample: str, value: Any) -> Any:
    """Return the median of the distances that the query ``sample`` returns, None without any."""
    middle = "percentile_cont(0.5) WITHIN GROUP (ORDER BY distance)"
    cursor = connection.execute(f"SELECT {middle} FROM ({sample}) AS sampled", [value])
    return cursor.fetchone()[0]


def columns_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that a hit shows beside its name, label and caption."""
    hidden = ("id", "code", "modality", "name", "label", "caption", "distance", "geometry")
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None and value != "" and name not in hidden
    }
