"""Stage: one voice or image in, the nearest items of an archive or of a run out.

Answering with a packed model imports no torch, and for codes of a run no library of archives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivr.config import OptionError
from ivr.pipeline.datasets.voice_warnings import VoiceWarning
from ivr.pipeline.packing.code_maker import CodeMaker, open_model
from ivr.pipeline.packing.search import (
    EncodedQuery,
    Hit,
    SearchResult,
    encoded_query,
    require_one_query,
)
from ivr.pipeline.packing.search import search as search_codes
from ivr.pipeline.runtime.near_paths import instead
from ivr.pipeline.runtime.progress import say
from ivr.pipeline.runtime.results import json_value
from ivr.pipeline.runtime.visible_text import visible

from .distances import UNCLEAR, Confidence, against_known
from .export_config import ExportConfig
from .geojson import box_geometry
from .lance_library import ArchiveError, is_archive
from .where import Bounds, parse_bounds

if TYPE_CHECKING:
    import pyarrow as pa

    from .archive import Archive, Nearest
    from .postgres_engine import PostgresEngine

FIND = {"images": "image", "voices": "voice"}
"""What is searched for, and the modality of its rows."""
SHOWN = ("name", "label", "caption")
_LEFT_OUT = ("code", "modality", *SHOWN)


@dataclass(frozen=True)
class ArchiveHit(Hit):
    """One item of an archive.

    Attributes:
        name: name of the item.
        distance: Hamming distance to the query, bits.
        label: class name, ``""`` where unknown.
        caption: caption, ``""`` where unknown.
        columns: the other columns of its row that have a value, by name.
        row_id: id of its row, which stays the same in later versions and in a database.
        modality: ``image`` or ``voice``.
    """

    columns: Mapping[str, Any]
    row_id: int
    modality: str


@dataclass(frozen=True, repr=False)
class ArchiveSearchResult(SearchResult):
    """The items of an archive nearest to a query.

    Attributes:
        query: the file that was searched with; ``-`` for content that was given.
        hits: nearest first; at equal distance in the order of addition.
        archive: the archive.
        version: the version that was searched.
        confidence: how clearly the first hit stands out, None without a hit.
        warnings: what is odd about the voice that was searched with, problems first.
        lacks: ``images`` or ``voices`` if these were searched for and there are none at all, else
            ``""``.
    """

    hits: tuple[ArchiveHit, ...]
    archive: str
    version: int
    confidence: Confidence | None
    warnings: tuple[VoiceWarning, ...]
    lacks: str = ""

    def __repr__(self) -> str:
        """Return the lines that ``ivr search`` prints: the hits, then how clear the first is."""
        if self.lacks:
            return f"{self.archive}: holds no {self.lacks}, so that there is nothing to find"
        if self.confidence is None:
            return f"{self.archive}: no item fulfils the conditions"
        return "\n".join([super().__repr__(), visible(repr(self.confidence))]).lstrip("\n")

    def to_json(self) -> Any:
        """Return what ``ivr search --json`` prints: all attributes."""
        return self.to_dict()


def search(
    place: str | Path,
    *,
    voice: str | Path | bytes | None = None,
    image: str | Path | bytes | None = None,
    count: int = 10,
    find: str | None = None,
    where: str | None = None,
    bbox: str | None = None,
    within: int | None = None,
    index: bool = False,
    engine: str | None = None,
    table: str | None = None,
    model: str | Path | None = None,
    codes: str | Path | None = None,
    weights: str | None = None,
    device: str = "auto",
) -> SearchResult:
    """Return the items nearest to a voice or an image: of an archive, or of the codes of a run.

    An archive answers with an :class:`ArchiveSearchResult`. Every code is compared unless ``index``
    is set; items at equal distance come in the order of their addition.

    Args:
        place: an archive, a run folder or a packed model.
        voice: recording to search with, or the content of one; give this or ``image``.
        image: image file to search with, or the content of one.
        count: largest number of hits.
        find: ``images`` or ``voices``, by default those of the other modality than the query.
            Archives and databases only, as the four that follow.
        where: SQL condition on the rows, e.g. ``"time > '2026-01-01' and label = 'harbour'"``.
        bbox: ``WEST,SOUTH,EAST,NORTH`` in degrees; only items whose box touches it.
        within: largest distance of a hit, bits.
        index: ask the index of the archive instead of comparing every code.
        engine: address of a database that ``ivr export`` wrote, ``postgres://user@host/database``;
            it is searched, and ``place`` only encodes the query.
        table: its table, by default ``items``.
        model: a packed model or a run, by default the one that the archive was created with.
        codes: codes file of a run or of a packed model, ``RUN/codes.h5`` by default.
        weights: weights of the image encoder of a run, if the features were made with a file that
            has moved.
        device: device that encodes the query: auto, cpu, cuda or cuda:N.

    Raises:
        ArchiveError: the archive or its model cannot be used.
        ConditionError: a condition or a box cannot be used.
        OptionError: an option does not belong to ``place``.
        SearchError: there is not exactly one query, no codes, or codes of another model.
        RunError, PackError, StoreError, WeightsError, MediaError: see their modules.
    """
    if engine is not None:
        _refuse({"codes": codes}, place, "a search without engine")
        return _search_engine(
            place, engine, table, voice=voice, image=image, count=count, find=find, where=where,
            bbox=bbox, within=within, index=index, model=model, weights=weights, device=device,
        )  # fmt: skip
    of_archives = {"find": find, "where": where, "bbox": bbox, "within": within,
                   "index": index or None, "model": model}  # fmt: skip
    if not is_archive(place):
        if found := instead(Path(place)):
            raise ArchiveError(f"{place}: {found}; name an archive, a run or a packed model")
        _refuse({**of_archives, "table": table}, place, "an archive")
        return search_codes(
            place, voice=voice, image=image, count=count, codes=codes, weights=weights,
            device=device,
        )  # fmt: skip
    require_one_query(voice, image)
    _refuse({"codes": codes, "weights": weights}, place, "a run")
    if table is not None:
        raise OptionError(f"{place}: --table is of a database; name the database with --engine")
    box = None if bbox is None else parse_bounds(bbox)
    # Here, since a search in the codes of a run needs none of it.
    from .archive import open_archive
    from .archive_model import open_code_maker

    archive = open_archive(place)
    maker = open_code_maker(archive, model, device)
    if not maker.calibrations:
        say(
            f"note: the confidence is not calibrated, {UNCLEAR:g} is the limit; ivr archive info "
            f"{place} says how to calibrate it"
        )
    query = encoded_query(maker, voice=voice, image=image)
    wanted = modality_of(find, is_voice=voice is not None)
    return nearest_items(
        archive, query, modality=wanted, count=count, where=where, bbox=box, within=within,
        index=index,
    )  # fmt: skip


def _search_engine(
    place: str | Path,
    address: str,
    table: str | None,
    *,
    voice: str | Path | bytes | None,
    image: str | Path | bytes | None,
    find: str | None,
    bbox: str | None,
    model: str | Path | None,
    weights: str | None,
    device: str,
    **how: Any,
) -> ArchiveSearchResult:
    """Return the items of a database nearest to a query that the model of ``place`` encodes."""
    from .postgres import is_address
    from .postgres_engine import PostgresEngine

    if not is_address(address):
        raise OptionError(f"{address}: give the engine as postgres://USER@HOST/DATABASE")
    require_one_query(voice, image)
    box = None if bbox is None else parse_bounds(bbox)
    if is_archive(place):
        from .archive import open_archive
        from .archive_model import open_code_maker

        maker = open_code_maker(open_archive(place), model, device)
    else:
        maker = open_model(Path(model or place), device=device, weights=weights)
    engine = PostgresEngine(address, table or ExportConfig.table)
    require_same_model(maker, engine, str(place))
    query = encoded_query(maker, voice=voice, image=image)
    wanted = modality_of(find, is_voice=voice is not None)
    return database_items(engine, query, modality=wanted, bbox=box, **how)


def require_same_model(maker: CodeMaker, engine: "PostgresEngine", place: str) -> None:
    """Refuse a database whose codes come from another model than ``maker``.

    Raises:
        ArchiveError: they do; ``place`` names the model in the message.
    """
    if maker.identity != engine.made_by.get("identity", maker.identity) or (
        maker.model_sha256 != engine.made_by.get("model", maker.model_sha256)
    ):
        raise ArchiveError(
            f"{engine.place}: its codes come from another model than that of {place}; export again"
        )


def database_items(
    engine: "PostgresEngine", query: EncodedQuery, *, modality: str, **how: Any
) -> ArchiveSearchResult:
    """Return the items of a database nearest to ``query``.

    Args:
        engine: the database.
        query: a query and its code.
        modality: modality of the items.
        **how: see :meth:`ivr.pipeline.archive.postgres_engine.PostgresEngine.nearest`.

    Raises:
        PostgresError: as there.
    """
    from .postgres_engine import columns_of

    rows, found = engine.nearest(query.code, modality=modality, **how)
    clear = against_known(found, query)
    hits = tuple(
        ArchiveHit(
            row["name"], row["distance"], row.get("label") or "", row.get("caption") or "",
            columns_of(row), row["id"], row["modality"],
        )
        for row in rows
    )  # fmt: skip
    version = int(engine.made_by.get("version", 0))
    lacks = "" if clear or engine.counts()[modality] else f"{modality}s"
    return ArchiveSearchResult(
        query.name, hits, engine.place, version, clear, query.warnings, lacks
    )


def nearest_items(
    archive: "Archive",
    query: EncodedQuery,
    *,
    modality: str,
    count: int,
    where: str | None = None,
    bbox: Bounds | None = None,
    within: int | None = None,
    index: bool = False,
    columns: Sequence[str] | None = None,
) -> ArchiveSearchResult:
    """Return the items of ``archive`` nearest to ``query``, with their columns.

    Of two hits with one name, which two writers can leave for a moment, the later row is shown.

    Args:
        archive: an archive.
        query: a query and its code.
        modality: modality of the items, ``image`` or ``voice``.
        count: largest number of items.
        where: SQL condition on the rows.
        bbox: only items whose box touches this one.
        within: largest distance, bits.
        index: ask the index of the archive.
        columns: columns of the hits beside name, label and caption, all if None; each takes about a
            millisecond.

    Raises:
        ArchiveError: as there.
    """
    wanted = count
    shown = None if columns is None else list(dict.fromkeys([*SHOWN, *columns]))
    while True:
        nearest = archive.search(
            query.code, modality=modality, count=wanted, where=where, bbox=bbox, within=within,
            index=index,
        )  # fmt: skip
        rows = archive.rows(nearest.row_ids, shown) if len(nearest.row_ids) else None
        kept = _last_of_each_name(rows, nearest)
        if len(kept) >= count or len(nearest.row_ids) < wanted:
            break
        wanted += count
    hits = _hits(rows, nearest, kept[:count], modality)
    clear, lacks = against_known(nearest.confidence, query), ""
    if clear is None and not archive.count(f"modality = '{modality}'"):
        lacks = f"{modality}s"
    return ArchiveSearchResult(
        query.name, hits, archive.place, archive.version, clear, query.warnings, lacks
    )


def modality_of(find: str | None, *, is_voice: bool) -> str:
    """Return the modality that is searched for.

    Args:
        find: ``images`` or ``voices``, None for the other modality than the query's.
        is_voice: the query is a voice.

    Raises:
        OptionError: another word.
    """
    if find is None:
        return FIND["images" if is_voice else "voices"]
    if find not in FIND:
        raise OptionError(f"find must be images or voices, got {find!r}")
    return FIND[find]


def _refuse(options: Mapping[str, object], place: str | Path, what: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise OptionError(f"{place}: {given[0]} belongs to {what}, which this is not")


def _last_of_each_name(rows: "pa.Table | None", nearest: "Nearest") -> list[int]:
    """Return the places of the rows that count."""
    if rows is None:
        return []
    names = rows["name"].to_pylist()
    last: dict[str, int] = {}
    for name, row_id in zip(names, nearest.row_ids.tolist(), strict=True):
        last[name] = max(last.get(name, 0), row_id)
    pairs = zip(names, nearest.row_ids.tolist(), strict=True)
    return [place for place, (name, row_id) in enumerate(pairs) if last[name] == row_id]


def _hits(
    rows: "pa.Table | None", nearest: "Nearest", places: Sequence[int], modality: str
) -> tuple[ArchiveHit, ...]:
    if rows is None:
        return ()
    found = rows.take(np.array(places, np.int64)).to_pylist()
    return tuple(
        ArchiveHit(
            row["name"],
            int(nearest.distances[place]),
            row["label"] or "",
            row["caption"] or "",
            {
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in row.items()
                if value is not None and name not in _LEFT_OUT
            },
            int(nearest.row_ids[place]),
            modality,
        )
        for place, row in zip(places, found, strict=True)
    )


def geojson_of(found: SearchResult) -> dict[str, Any]:
    """Return the hits as a GeoJSON FeatureCollection (RFC 7946).

    The geometry is the box of the row in degrees, null where it is not known; a box across the
    180th meridian is two polygons. Columns that are named as a property of every hit get an
    underscore. Version of the archive, confidence and warnings are members of the collection.

    Args:
        found: answer of an archive.

    Raises:
        OptionError: the answer of a run, whose items have no place.
    """
    if not isinstance(found, ArchiveSearchResult):
        raise OptionError("GeoJSON is for archives, whose items have a place; take --json")
    from .item_columns import beside

    features = []
    for rank, hit in enumerate(found.hits, 1):
        own = {
            "rank": rank,
            "name": hit.name,
            "distance": hit.distance,
            "label": hit.label,
            "caption": hit.caption,
        }
        further = zip(beside(list(hit.columns), own), hit.columns.values(), strict=True)
        properties = json_value(own | dict(further))
        features.append(
            {"type": "Feature", "geometry": _geometry(hit.columns), "properties": properties}
        )
    return {
        "type": "FeatureCollection",
        "version": found.version,
        "confidence": json_value(found.confidence),
        "warnings": json_value(found.warnings),
        "features": features,
    }


def _geometry(columns: Mapping[str, Any]) -> dict[str, Any] | None:
    if any(name not in columns for name in ("west", "south", "east", "north")):
        return None
    return box_geometry(*(columns[name] for name in ("west", "south", "east", "north")))
