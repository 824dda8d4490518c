"""What the service searches: the codes of an archive in memory, its index, or a database."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

from ivr.pipeline.archive.archive import Archive
from ivr.pipeline.archive.item_columns import MODALITIES, OWN
from ivr.pipeline.archive.lance_library import (
    ArchiveError,
    LostVersionError,
    is_archive,
    is_local,
    quoted,
)
from ivr.pipeline.archive.plain_condition import require_plain, with_quoted_names
from ivr.pipeline.archive.postgres import DatabaseDownError
from ivr.pipeline.archive.postgres_engine import PostgresEngine
from ivr.pipeline.archive.search import (
    ArchiveSearchResult,
    database_items,
    nearest_items,
    require_same_model,
)
from ivr.pipeline.archive.where import Bounds
from ivr.pipeline.packing.code_maker import CodeMaker
from ivr.pipeline.packing.search import EncodedQuery
from ivr.pipeline.runtime.memory import return_freed_memory

from .service_errors import UnknownItemError

Value = TypeVar("Value")
WINDOW = ("window_x", "window_y", "window_width", "window_height")
FILE = ("modality", "root", "file", *WINDOW)
"""Columns that say where the file of an item is."""
SHOWN_OWN = (
    *("speaker", "time", "pixel_size", "west", "south", "east", "north"),
    *WINDOW,
)
"""Own columns of an archive that a hit shows beside name, label and caption, where they are filled;
clients are not told where files lie."""
HIDDEN = ("code", "file", "root", "stamp")
"""Own columns that a client may neither see nor ask for."""


@dataclass(frozen=True)
class Asked:
    """What a client asks for.

    Attributes:
        count: largest number of hits.
        find: ``images`` or ``voices``; None for the other modality than the query's.
        where: SQL condition on the rows, None for all.
        bbox: ``WEST,SOUTH,EAST,NORTH`` in degrees, None for all places.
        within: largest distance, bits, None for any.
    """

    count: int = 10
    find: str | None = None
    where: str | None = None
    bbox: str | None = None
    within: int | None = None


class Gallery(Protocol):
    """Items that queries are answered from; any number of threads may ask.

    Attributes:
        place: the archive or the address of the database, which clients are not shown.
        name: name that clients are shown.
    """

    place: str
    name: str

    @property
    def version(self) -> int:
        """Version of the archive that is searched."""
        ...

    @property
    def bits(self) -> int:
        """Bits per code."""
        ...

    def counts(self) -> dict[str, int]:
        """Return the number of items of each modality."""
        ...

    def nearest(
        self, query: EncodedQuery, modality: str, asked: Asked, box: Bounds | None
    ) -> ArchiveSearchResult:
        """Return the items of ``modality`` nearest to ``query``.

        Raises:
            ArchiveError, PostgresError: what is asked for cannot be meant, or not be answered.
        """
        ...

    def file_row(self, item: int) -> dict[str, Any]:
        """Return the columns :data:`FILE` of the item with the id ``item``.

        Raises:
            UnknownItemError: there is none.
        """
        ...

    def refresh(self) -> None:
        """Search the newest version from now on.

        Raises:
            IvrError: it cannot be read.
        """
        ...

    def is_gone(self, error: Exception) -> bool:
        """Return whether ``error`` of :meth:`refresh` means that no query can be answered."""
        ...


@dataclass(frozen=True)
class _Shown:
    """A version, the columns of its hits (each takes about a millisecond), and its counts."""

    archive: Archive
    columns: tuple[str, ...]
    counts: dict[str, int]


class ArchiveGallery:
    """An archive, compared by its codes in memory, or asked by its index, which holds no codes."""

    def __init__(self, archive: Archive, *, index: bool) -> None:
        """Read the codes, unless the index is asked.

        Raises:
            ArchiveError: the archive cannot be read.
        """
        self.place, self.name = archive.place, Path(archive.place).name
        self._index = index
        self._refreshing = Lock()
        if not index:
            archive.hold()
            return_freed_memory()
        self._now = _shown(archive, held=not index)

    @property
    def archive(self) -> Archive:
        """The version that is searched now."""
        return self._now.archive

    @property
    def version(self) -> int:
        """Version of the archive that is searched."""
        return self.archive.version

    @property
    def bits(self) -> int:
        """Bits per code."""
        return self.archive.settings.bits

    def counts(self) -> dict[str, int]:
        """Return the number of items of each modality."""
        return dict(self._now.counts)

    def nearest(
        self, query: EncodedQuery, modality: str, asked: Asked, box: Bounds | None
    ) -> ArchiveSearchResult:
        """Return the items nearest to ``query``."""

        def nearest(now: _Shown) -> ArchiveSearchResult:
            names = _open(now.archive.schema.names)
            where = require_plain(asked.where, names) if asked.where else None
            return nearest_items(
                now.archive, query, modality=modality, count=asked.count, where=where, bbox=box,
                within=asked.within, index=self._index, columns=now.columns,
            )  # fmt: skip

        return self._of_version_there(nearest)

    def file_row(self, item: int) -> dict[str, Any]:
        """Return where the file of an item is."""
        try:
            (row,) = self._of_version_there(
                lambda now: now.archive.rows([item], list(FILE)).to_pylist()
            )
        except LostVersionError:
            raise
        except (ArchiveError, OverflowError, ValueError) as error:
            raise UnknownItemError(f"no item {item}") from error
        found: dict[str, Any] = row
        return found

    def refresh(self) -> None:
        """Read what has changed since, and search it from then on."""
        with self._refreshing:
            later = self.archive.newer()
            if later is not None:
                self._now = _shown(later, held=not self._index)
                later.tidy()
                return_freed_memory()

    def is_gone(self, error: Exception) -> bool:
        """Return whether there is no archive at its place any more, whatever ``error`` is."""
        return is_local(self.place) and not is_archive(self.place)

    def _of_version_there(self, answer: Callable[[_Shown], Value]) -> Value:
        """Return ``answer`` of the version that is searched; of the newest if it was dropped.

        ``ivr archive compact`` drops old versions, also under a service that searches one.
        """
        now = self._now
        try:
            return answer(now)
        except LostVersionError:
            if self._now is now:
                self.refresh()
            return answer(self._now)


def _open(columns: Iterable[str]) -> list[str]:
    """Return the names of ``columns`` that a client may ask for."""
    return [name for name in columns if name not in HIDDEN]


def _shown(archive: Archive, *, held: bool) -> _Shown:
    further = [name for name in archive.schema.names if name not in OWN]
    own = [name for name in SHOWN_OWN if archive.count(f"{name} IS NOT NULL")]
    counts = {
        one: len(archive.held(one)) if held else archive.count(f"modality = {quoted(one)}")
        for one in MODALITIES
    }
    return _Shown(archive, (*own, *further), counts)


class DatabaseGallery:
    """A table that ``ivr export --to postgres`` wrote; each query is a connection of its own."""

    def __init__(
        self, address: str, table: str, maker: CodeMaker, *, index: bool, time_limit: float
    ) -> None:
        """Look for the table.

        Args:
            address: ``postgres://USER@HOST/DATABASE``.
            table: name of the table.
            maker: the model that encodes queries.
            index: ask the HNSW index instead of comparing every code.
            time_limit: seconds after which the database gives a query up.

        Raises:
            PostgresError: no such database or table.
            ArchiveError: its codes come from another model.
        """
        self._address, self._table, self._index = address, table, index
        self._maker, self._time_limit = maker, time_limit
        self.name = table
        self._engine = self._opened()
        self._counts = self._engine.counts()
        self.place = self._engine.place

    @property
    def version(self) -> int:
        """Version of the archive that was exported."""
        return int(self._engine.made_by.get("version", 0))

    @property
    def bits(self) -> int:
        """Bits per code."""
        return self._engine.bits

    def counts(self) -> dict[str, int]:
        """Return the number of items of each modality, as they were at the last look."""
        return dict(self._counts)

    def nearest(
        self, query: EncodedQuery, modality: str, asked: Asked, box: Bounds | None
    ) -> ArchiveSearchResult:
        """Return the items nearest to ``query``; a condition may use columns and values only."""
        engine = self._engine
        where = with_quoted_names(asked.where, _open(engine.columns)) if asked.where else None
        found = database_items(
            engine, query, modality=modality, count=asked.count, where=where, bbox=box,
            within=asked.within, index=self._index,
        )  # fmt: skip
        hits = (
            replace(
                hit,
                columns={
                    name: value
                    for name, value in hit.columns.items()
                    if name in SHOWN_OWN or name not in OWN
                },
            )
            for hit in found.hits
        )
        return replace(found, hits=tuple(hits))

    def file_row(self, item: int) -> dict[str, Any]:
        """Return where the file of an item is."""
        row = self._engine.row(item)
        if row is None:
            raise UnknownItemError(f"no item {item}")
        return {name: row.get(name) for name in FILE}

    def refresh(self) -> None:
        """Notice a later export."""
        engine = self._opened()
        if engine.made_by != self._engine.made_by:
            self._engine = engine
        self._counts = engine.counts()

    def is_gone(self, error: Exception) -> bool:
        """Return whether ``error`` says that the database does not answer."""
        return isinstance(error, DatabaseDownError)

    def _opened(self) -> PostgresEngine:
        engine = PostgresEngine(self._address, self._table, self._time_limit)
        require_same_model(self._maker, engine, str(self._maker.source))
        return engine
