"""An archive opened for reading at one version, and written to: the table of items of LanceDB.

Row ids are the order of addition. Compaction, an update and a replacement keep the row id of an
item, so that the order of ties stays the same. Where two writers added one item at the same moment,
the row with the larger row id counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivr.hashing.ranking import top_k

from .code_batches import CHANGED_IN, ROW_ID, followed, held_codes
from .distances import SAMPLE, Confidence, confidence
from .held_codes import HeldCodes
from .item_columns import KEY, MODALITIES
from .lance_library import (
    ArchiveError,
    lance_errors,
    open_items,
    place_of,
    quoted,
    retried,
)
from .refused_condition import asked, times_of
from .settings import ArchiveSettings, from_metadata
from .table_columns import fit_columns, of_schema, require_unique
from .where import Bounds, joined, with_times

BATCH_ROWS = 1 << 16
INDEX = "code_idx"
"""Name of the index over the codes."""
PROBES = 32
"""Number of lists of the index that a query reads."""
_NO_IDS = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Nearest:
    """The rows nearest to a code.

    Attributes:
        row_ids: uint64 [k], nearest first; at equal distance in the order of addition.
        distances: uint16 [k], Hamming distances, bits.
        confidence: how clearly the first hit stands out, None where nothing was compared.
    """

    row_ids: np.ndarray
    distances: np.ndarray
    confidence: Confidence | None


class Archive:
    """The rows of one version of an archive.

    Attributes:
        place: the folder, or the address on an object store.
        settings: what decides the codes.
        table: the table of LanceDB, at the version that is read.
        commits: number of versions that were made through this object.
    """

    def __init__(self, place: str) -> None:
        """Open the latest version of the archive at ``place``; see :func:`open_archive`."""
        self.place = place
        self.table = open_items(place)
        with lance_errors(place):
            self.table.checkout(self.table.version)
            self.settings: ArchiveSettings = from_metadata(self.table.schema.metadata, place)
        self.commits = 0
        self._codes: dict[str, HeldCodes] = {}
        self._samples: dict[str, np.ndarray] = {}

    @property
    def version(self) -> int:
        """Number of the version that is read; every change of the archive makes another one."""
        version: int = self.table.version
        return version

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        found: pa.Schema = self.table.schema
        return found

    def refresh(self) -> bool:
        """Read the latest version from now on; return whether it is another one."""
        before = self.version
        with lance_errors(self.place):
            self.table.checkout_latest()
            latest = self.version
            self.table.checkout(latest)
        if latest != before:
            self._codes.clear()
            self._samples.clear()
        return latest != before

    def count(self, where: str | None = None, bbox: Bounds | None = None) -> int:
        """Return the number of rows, those that fulfil the conditions if any are given.

        Raises:
            ArchiveError: a condition that cannot be used.
        """
        with asked(self.table, self.place, where):
            return int(self.table.count_rows(self._condition(where, bbox)))

    def codes(self, modality: str) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of the codes of one modality and of their row ids; see :meth:`held`.

        Returns:
            Packed codes [n, bits / 8], uint8, and row ids [n], uint64, ascending.
        """
        return self.held(modality).arrays()

    def held(self, modality: str) -> HeldCodes:
        """Return the codes of one modality; they are read once per version and kept in memory.

        Args:
            modality: ``image`` or ``voice``.

        Raises:
            ArchiveError: no such modality, or the archive cannot be read.
        """
        if modality not in MODALITIES:
            raise ArchiveError(f"modality must be image or voice, got {modality!r}")
        held = self._codes.get(modality)
        if held is None:
            batches = self._code_batches(f"modality = {quoted(modality)}")
            held = held_codes(batches, [modality], self._width)[modality]
            self._codes[modality] = held
        return held

    def hold(self) -> None:
        """Read the codes of all modalities in one pass; they are kept in memory."""
        self._codes = held_codes(self._code_batches(None), MODALITIES, self._width)

    def newer(self) -> "Archive | None":
        """Return the latest version, None if it is this one.

        If :meth:`hold` was called, its codes are in memory, too. For that only rows that were added
        or changed since are read, and blocks of codes without a change are those of this version.
        An archive that was made anew at the same place is read as a whole. Other threads may search
        meanwhile.

        Raises:
            ArchiveError: the archive cannot be read, or its codes are those of another model now.
        """
        later = Archive(self.place)
        if (later.version, later.settings) == (self.version, self.settings):
            return None
        if later.settings.identity != self.settings.identity:
            raise ArchiveError(f"{self.place}: has codes of another model now; start again with it")
        if set(self._codes) != set(MODALITIES):
            return later
        if later.settings.made != self.settings.made or later.version < self.version:
            later.hold()
            return later
        with lance_errors(self.place):
            later._codes = followed(
                self._codes,
                later._code_batches(f"{CHANGED_IN} > {self.version}"),
                later.count(),
                later._row_ids,
            )
        return later

    def tidy(self) -> None:
        """Join and rewrite the blocks of the codes in memory, one after the other."""
        for modality in list(self._codes):
            # No variable may hold what was there before: its blocks are freed one by one.
            while (tidier := self._codes[modality].tidier()) is not None:
                self._codes[modality] = tidier

    def search(
        self,
        code: np.ndarray,
        *,
        modality: str,
        count: int,
        where: str | None = None,
        bbox: Bounds | None = None,
        within: int | None = None,
        index: bool = False,
    ) -> Nearest:
        """Return the rows nearest to ``code``, exactly unless ``index`` is set.

        Args:
            code: packed code [bits / 8], uint8.
            modality: modality of the rows: ``image`` or ``voice``.
            count: largest number of rows.
            where: SQL condition on the rows, e.g. ``"label = 'harbour'"``.
            bbox: only rows whose box touches this one.
            within: largest distance, bits.
            index: ask the index of the archive instead of comparing every code.

        Raises:
            ArchiveError: a code of another length, a condition that cannot be used, or no index.
        """
        code = np.asarray(code).reshape(-1)
        if code.dtype != np.uint8 or 8 * len(code) != self.settings.bits:
            raise ArchiveError(
                f"{self.place}: its codes have {self.settings.bits} bits, the query has "
                f"{code.dtype} [{len(code)}]"
            )
        if count < 1:
            raise ArchiveError(f"count must be 1 or more, got {count}")
        condition = self._condition(where, bbox)
        with asked(self.table, self.place, where):
            if index:
                nearest = self._by_index(code, modality, count, condition)
            else:
                nearest = self._by_all_codes(code, modality, count, condition)
        if within is not None:
            near = nearest.distances <= within
            nearest = Nearest(nearest.row_ids[near], nearest.distances[near], nearest.confidence)
        return nearest

    def rows(
        self, row_ids: Sequence[int] | np.ndarray, columns: Sequence[str] | None = None
    ) -> Any:
        """Return the rows with these ids as a ``pyarrow.Table``, in the order asked for.

        Args:
            row_ids: ids of rows of this version.
            columns: names of the columns; all if None.

        Raises:
            ArchiveError: an id or a column that this version does not have.
        """
        wanted = np.asarray(row_ids, np.uint64).reshape(-1)
        with lance_errors(self.place):
            query = self.table.take_row_ids(np.unique(wanted).tolist()).with_row_id()
            found = query.select(list(columns or self.schema.names)).to_arrow()
        held = found[ROW_ID].to_numpy()
        order = np.argsort(held)
        places = np.searchsorted(held[order], wanted)
        if len(held) != len(np.unique(wanted)):
            missing = np.setdiff1d(wanted, held)
            raise ArchiveError(f"{self.place}: version {self.version} has no row {missing[0]}")
        return found.take(pa.array(order[places])).drop_columns([ROW_ID])

    def batches(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        bbox: Bounds | None = None,
        *,
        with_row_id: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches; memory holds a few of them.

        Args:
            columns: names of the columns; all if None.
            where: SQL condition on the rows.
            bbox: only rows whose box touches this one.
            with_row_id: add the column ``_rowid``.

        Raises:
            ArchiveError: a column or a condition that cannot be used.
        """
        with asked(self.table, self.place, where):
            query = self.table.search().select(list(columns or self.schema.names))
            if with_row_id:
                query = query.with_row_id(True)
            condition = self._condition(where, bbox)
            if condition:
                query = query.where(condition)
            yield from query.to_batches(BATCH_ROWS)

    def write(self, table: pa.Table) -> int:
        """Add the rows of ``table``, in place of those of the same modality and name.

        One new version; this archive reads it from now on. Columns that the archive lacks are
        added to it, columns that ``table`` lacks are missing values. Another writer may commit at
        the same moment: the commit is tried again.

        Args:
            table: rows with unique names, of the archive's types.

        Returns:
            Number of rows written.

        Raises:
            ArchiveError: columns of other types, a name twice, or the archive cannot be written.
        """
        return self._commit(table, "write")

    def append(self, table: pa.Table) -> int:
        """Add the rows of ``table``, whose names the archive does not have; see :meth:`write`."""
        return self._commit(table, "append")

    def update(self, table: pa.Table) -> None:
        """Set the columns of ``table`` in the rows of its modalities and names; add no row.

        Columns that ``table`` lacks stay as they are; see :meth:`write` for the others.
        """
        self._commit(table, "update")

    def remove(self, condition: str, where: str | None = None) -> int:
        """Remove the rows that fulfil ``condition``, and ``where`` too; return their number.

        Raises:
            ConditionError: ``where`` cannot be used.
            ArchiveError: the archive cannot be written.
        """
        latest = open_items(self.place)

        chosen = with_times(str(joined(condition, where)), times_of(self.schema))

        def commit() -> int:
            latest.checkout_latest()
            # count_rows of LanceDB 0.40 fails on conditions on row ids.
            found = latest.search().where(chosen).select(["modality"]).to_batches()
            matching = sum(len(batch) for batch in found)
            if matching:
                latest.delete(chosen)
            return matching

        with asked(self.table, self.place, where):
            removed = retried(commit)
        self.commits += 1 if removed else 0
        self.refresh()
        return removed

    def _commit(self, table: pa.Table, how: Literal["write", "append", "update"]) -> int:
        if not len(table):
            return 0
        require_unique(table, self.place)
        latest = open_items(self.place)
        self.commits += fit_columns(latest, table.schema, self.place)
        schema = latest.schema
        if how == "update":
            schema = pa.schema([field for field in schema if field.name in table.column_names])
        rows = of_schema(table, schema, self.place)

        def commit() -> None:
            latest.checkout_latest()
            if how == "append":
                latest.add(rows)
                return
            merge = latest.merge_insert(list(KEY)).when_matched_update_all()
            if how == "write":
                merge = merge.when_not_matched_insert_all()
            merge.execute(rows)

        with lance_errors(self.place):
            retried(commit)
        self.commits += 1
        self.refresh()
        return len(rows)

    def _condition(self, where: str | None, bbox: Bounds | None) -> str | None:
        condition = joined(where, bbox.condition() if bbox else None)
        return with_times(condition, times_of(self.schema)) if condition else None

    @property
    def _width(self) -> int:
        return self.settings.bits // 8

    def _code_batches(self, where: str | None) -> Iterator[pa.RecordBatch]:
        return self.batches(["modality", "code"], where, with_row_id=True)

    def _row_ids(self) -> Iterator[np.ndarray]:
        for batch in self.batches([ROW_ID]):
            yield batch.column(ROW_ID).to_numpy()

    def _by_all_codes(
        self, code: np.ndarray, modality: str, count: int, condition: str | None
    ) -> Nearest:
        held = self.held(modality)
        if condition:
            row_ids = self._chosen(modality, condition)
            there, codes = held.codes_of(row_ids)
            row_ids = row_ids[there]
            if not len(row_ids):
                return Nearest(_NO_IDS, np.empty(0, np.uint16), None)
            places, found = top_k(code[None], codes, count)
            row_ids, distances = row_ids[places[0]], found[0]
        else:
            row_ids, distances = held.nearest(code, count)
            if not len(row_ids):
                return Nearest(row_ids, distances, None)
        return Nearest(row_ids, distances, confidence(code, held.sample, int(distances[0])))

    def _chosen(self, modality: str, condition: str) -> np.ndarray:
        """Return the ids of the rows that fulfil ``condition``, ascending."""
        both = f"modality = {quoted(modality)} AND ({condition})"
        found = [
            batch.column(ROW_ID).to_numpy()
            for batch in self.batches(["modality"], both, with_row_id=True)
        ]
        return np.sort(np.concatenate([_NO_IDS, *found]))

    def _by_index(
        self, code: np.ndarray, modality: str, count: int, condition: str | None
    ) -> Nearest:
        with lance_errors(self.place):
            if INDEX not in {one.name for one in self.table.list_indices()}:
                raise ArchiveError(f"{self.place}: has no index; make one with ivr archive index")
            query = self.table.search(code).distance_type("hamming").nprobes(PROBES).limit(count)
            both = joined(f"modality = {quoted(modality)}", condition)
            found = query.where(both, prefilter=True).select([ROW_ID, "_distance"]).to_arrow()
        row_ids = found[ROW_ID].to_numpy()
        distances = found["_distance"].to_numpy().astype(np.uint16)
        order = np.lexsort((row_ids, distances))
        clear = None
        if len(order):
            clear = confidence(code, self._some_codes(modality), int(distances[order[0]]))
        return Nearest(row_ids[order], distances[order], clear)

    def _some_codes(self, modality: str) -> np.ndarray:
        """Return codes of one modality from places all over the table, packed [n, bits / 8]."""
        held = self._codes.get(modality)
        if held is not None:
            return held.sample
        if modality not in self._samples:
            size = self.table.count_rows()
            places = np.unique(
                np.linspace(0, size - 1, min(size, SAMPLE // 4)).astype(int)
            ).tolist()
            rows = self.table.take_offsets(places).select(["modality", "code"]).to_arrow()
            kept = rows.filter(pc.equal(rows["modality"], modality))["code"].combine_chunks()
            flat = kept.flatten().to_numpy()
            some = flat.reshape(-1, self.settings.bits // 8)
            # A modality that is so rare that none of its rows was met has few codes.
            self._samples[modality] = some if len(some) else self.held(modality).sample
        return self._samples[modality]


def open_archive(place: str | Path) -> Archive:
    """Return the archive at ``place``, at its latest version; imports no torch.

    Args:
        place: a folder, or an address of an object store such as ``s3://bucket/archive``, whose
            keys and endpoint the usual variables give (``AWS_ACCESS_KEY_ID`` and so on).

    Raises:
        ArchiveError: there is no archive, it cannot be read, or LanceDB is not installed.
    """
    return Archive(place_of(place))
