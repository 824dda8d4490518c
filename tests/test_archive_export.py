"""What is exported is read by the engines themselves: same items, same distances, ties included."""

import json
import os
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from postgres_server import postgres
from tiny_world import World

import ivr
from ivr.cli import main
from ivr.config import OptionError
from ivr.features.atomic_files import InTheWayError
from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.create import make_table
from ivr.pipeline.archive.export_columns import as_bit_text, as_integers
from ivr.pipeline.archive.item_columns import code_type
from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.archive.postgres import PostgresError, shown
from ivr.pipeline.archive.postgres_engine import PostgresEngine
from ivr.pipeline.archive.settings import FORMAT, ArchiveSettings
from ivr.pipeline.archive.where import parse_bounds
from ivr.pipeline.runs.codes_file import read_codes

SETTINGS = ArchiveSettings(FORMAT, 64, "made up", "csq", ("forest", "pond"))
IMAGES, VOICES = 900, 40
DOCS = Path(__file__).parents[1] / "docs" / "how-to" / "export.md"


def rows(count: int, modality: str, rng: np.random.Generator) -> pa.Table:
    """Rows whose codes differ from one of two centres in few bits, so that distances tie."""
    names = [f"{modality}/{number}, \u00fc.tif" for number in range(count)]
    centres = np.array([[0] * 8, [255] * 8], np.uint8)
    flips = np.uint8(1) << rng.integers(0, 8, (count, 8), dtype=np.uint8)
    codes = centres[rng.integers(0, 2, count)] ^ (flips * (rng.random((count, 8)) < 0.3))
    flat = pa.array(codes.astype(np.uint8).reshape(-1))
    west = rng.uniform(-170, 170, count).round(3)
    placed = rng.random(count) < 0.8
    return pa.table(
        {
            "name": names,
            "modality": [modality] * count,
            "code": pa.FixedSizeListArray.from_arrays(flat, type=code_type(64)),
            "label": [("forest", "pond", None, "")[number % 4] for number in range(count)],
            "caption": [("a pond", 'said "so", twice\nover', None)[n % 3] for n in range(count)],
            "file": names,
            "root": ["/nowhere"] * count,
            "stamp": pa.array([2**64 - 1 - number for number in range(count)], pa.uint64()),
            "added": pa.array(
                [datetime(2026, 1, 1, 12, 0, 0, number, UTC) for number in range(count)],
                pa.timestamp("us", "UTC"),
            ),
            "west": pa.array(west, mask=~placed),
            "south": pa.array(np.full(count, -1.5), mask=~placed),
            "east": pa.array(np.where(np.arange(count) == 3, -179.0, west + 0.5), mask=~placed),
            "north": pa.array(np.full(count, 2.0), mask=~placed),
            "cloud": [None if number % 5 == 0 else number / 7 for number in range(count)],
            "seen": [None if number % 7 == 0 else number % 2 == 0 for number in range(count)],
        }
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    place, rng = tmp_path_factory.mktemp("archives") / "tiles", np.random.default_rng(0)
    make_table(str(place), SETTINGS)
    held = open_archive(place)
    for count, modality in ((IMAGES, "image"), (VOICES, "voice")):
        held.write(rows(count, modality, rng))
    return held


@pytest.fixture(scope="module")
def database(archive: Archive) -> Iterator[str]:
    with postgres() as address:
        ivr.export(archive.place, address, "postgres")
        yield address


def whole(archive: Archive) -> pa.Table:
    """All rows of the archive by id, with the id."""
    parts = [pa.Table.from_batches([one]) for one in archive.batches(with_row_id=True)]
    return pa.concat_tables(parts).rename_columns({"_rowid": "id"}).sort_by("id")


def codes_of(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_pylist(), np.uint8)


def queries() -> np.ndarray:
    near = np.array([[0] * 8, [255] * 8, [0] * 7 + [3], [129] + [255] * 7], np.uint8)
    return np.concatenate([near, np.random.default_rng(1).integers(0, 256, (4, 8), np.uint8)])


def distances_to(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.bitwise_count(query ^ codes).sum(axis=1, dtype=int)


def equal_but_for(exported: pa.Table, held: pa.Table, *names: str) -> None:
    for name in set(held.column_names) - set(names):
        assert exported[name].to_pylist() == held[name].to_pylist(), name


def test_a_round_trip_through_parquet_loses_nothing(archive: Archive, tmp_path: Path) -> None:
    result = ivr.export(archive.place, tmp_path / "tiles.parquet", "parquet")
    assert (result.items, result.bits) == (IMAGES + VOICES, 64)
    table, held = pq.read_table(tmp_path / "tiles.parquet").sort_by("id"), whole(archive)
    equal_but_for(table, held, "code")
    codes = codes_of(held["code"])
    assert table["code"].to_pylist() == [code.tobytes() for code in codes]
    assert table.schema.field("code").type == pa.binary(8)
    assert table["code_uint64"].to_pylist() == [int.from_bytes(code, "big") for code in codes]
    notes = json.loads(table.schema.metadata[b"ivr"])
    assert (notes["bits"], notes["identity"], notes["method"]) == (64, "made up", "csq")


def test_columns_that_are_named_as_those_of_an_export_are_kept_beside_them(
    tmp_path: Path,
) -> None:
    make_table(str(tmp_path / "tiles"), SETTINGS)
    held = open_archive(tmp_path / "tiles")
    own = rows(5, "image", np.random.default_rng(0))
    given = {name: [7, 8, 9, 7, 8] for name in ("id", "id_", "geometry", "code_uint64", "Distance")}
    held.write(pa.table({**{name: own[name] for name in own.column_names}, **given}))
    ids = held.codes("image")[1].tolist()
    for target in ("parquet", "npy", "faiss", "milvus", "opensearch"):
        ivr.export(held.place, tmp_path / target, target)  # type: ignore[arg-type]
    for file in ("parquet", "npy/items.parquet", "faiss/items.parquet", "milvus"):
        table = pq.read_table(tmp_path / file)
        assert table["id"].to_pylist() == ids
        for name in ("id_", "id__", "geometry_", "code_uint64_", "Distance_"):
            assert table[name].to_pylist() == [7, 8, 9, 7, 8], (file, name)
    lines = [json.loads(line) for line in (tmp_path / "opensearch").read_text().splitlines()]
    assert [line["index"]["_id"] for line in lines[::2]] == [str(one) for one in ids]
    assert [line["id"] for line in lines[1::2]] == ids


def test_boxes_are_geoparquet_with_their_corners_against_the_clock(
    archive: Archive, tmp_path: Path
) -> None:
    ivr.export(archive.place, tmp_path / "tiles.parquet", "parquet", where="modality = 'image'")
    table, held = pq.read_table(tmp_path / "tiles.parquet").sort_by("id"), whole(archive)
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["columns"][geo["primary_column"]]["encoding"] == "WKB"
    shapes = table["geometry"].to_pylist()
    assert [shape is None for shape in shapes] == [
        west is None for west in held["west"].to_pylist()[:IMAGES]
    ]
    west, east = held["west"][0].as_py(), held["east"][0].as_py()
    corners = [west, -1.5, east, -1.5, east, 2.0, west, 2.0, west, -1.5]
    assert struct.unpack("<BIII10d", shapes[0]) == (1, 3, 1, 5, *corners)
    # The box of the fourth image crosses the 180th meridian.
    assert struct.unpack("<BII", shapes[3][:9]) == (1, 6, 2)
    parts = [struct.unpack("<BIII10d", shapes[3][9 + 93 * part :][:93]) for part in (0, 1)]
    assert [(part[4], part[6]) for part in parts] == [
        (held["west"][3].as_py(), 180.0),
        (-180.0, -179.0),
    ]


def test_the_query_of_the_documentation_ranks_in_duckdb(archive: Archive, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    ivr.export(archive.place, tmp_path / "tiles.parquet", "parquet")
    (sql,) = re.findall(r"```sql\n(SELECT name, bit_count.*?)```", DOCS.read_text(), re.DOTALL)
    held = whole(archive)
    is_image = np.array(held["modality"].to_pylist()) == "image"
    codes, names = codes_of(held["code"])[is_image], np.array(held["name"].to_pylist())[is_image]
    for query in queries():
        code = str(int.from_bytes(query.tobytes(), "big"))
        asked = sql.replace("tiles.parquet", str(tmp_path / "tiles.parquet"))
        found = duckdb.sql(re.sub(r"\b\d{10,}\b", code, asked)).fetchall()
        wanted = distances_to(query, codes)
        order = np.argsort(wanted, kind="stable")[:10]
        assert found == [(str(names[row]), int(wanted[row])) for row in order]


@pytest.mark.parametrize("ivf", [False, True])
def test_faiss_finds_the_same_items_at_the_same_distances(
    archive: Archive, tmp_path: Path, ivf: bool
) -> None:
    import faiss

    ivr.export(archive.place, tmp_path / "index", "faiss", ivf=ivf)
    items, held = pq.read_table(tmp_path / "index" / "items.parquet"), whole(archive)
    equal_but_for(items.sort_by("id"), held, "code")
    for modality, count in (("image", IMAGES), ("voice", VOICES)):
        index = faiss.read_index_binary(str(tmp_path / "index" / f"{modality}.faiss"))
        assert index.ntotal == count
        if ivf and modality == "image":
            index.nprobe = index.nlist
        own = np.array(held["modality"].to_pylist()) == modality
        codes, ids = codes_of(held["code"])[own], held["id"].to_numpy()[own]
        found, labels = index.search(queries(), count)
        for query, distances, row_ids in zip(queries(), found, labels, strict=True):
            wanted = distances_to(query, codes)
            assert distances.tolist() == sorted(wanted.tolist())
            pairs = zip(distances.tolist(), row_ids.tolist(), strict=True)
            assert sorted(pairs) == sorted(zip(wanted.tolist(), ids.tolist(), strict=True))


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_npy_has_codes_and_items_row_for_row(archive: Archive, tmp_path: Path, form: Any) -> None:
    ivr.export(archive.place, tmp_path / "codes", "npy", items=form)
    codes, held = np.load(tmp_path / "codes" / "codes.npy"), whole(archive)
    path = tmp_path / "codes" / f"items.{form}"
    if form == "parquet":
        items = pq.read_table(path)
    else:
        convert = pyarrow.csv.ConvertOptions(strings_can_be_null=True, column_types=held.schema)
        items = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=convert,
        )
    order = pa.compute.sort_indices(items["id"])
    assert (codes[order.to_numpy()] == codes_of(held["code"])).all()
    # Text that is missing and empty text are one in CSV.
    equal_but_for(items.take(order), held, "code", *(("label",) if form == "csv" else ()))


def test_the_loaders_of_milvus_and_opensearch_get_what_they_take(
    archive: Archive, tmp_path: Path
) -> None:
    held = whole(archive)
    codes = codes_of(held["code"])
    ivr.export(archive.place, tmp_path / "milvus.parquet", "milvus")
    table = pq.read_table(tmp_path / "milvus.parquet").sort_by("id")
    assert table.schema.field("code").type == pa.list_(pa.uint8())
    assert codes_of(table["code"]).tolist() == codes.tolist()
    ivr.export(archive.place, tmp_path / "bulk.json", "opensearch", table="tiles")
    lines = [json.loads(line) for line in (tmp_path / "bulk.json").read_text().splitlines()]
    by_id = {int(a["index"]["_id"]): d for a, d in zip(lines[::2], lines[1::2], strict=True)}
    assert lines[0]["index"]["_index"] == "tiles"
    found = np.array([by_id[number]["code"] for number in held["id"].to_pylist()], np.int8)
    assert (found.view(np.uint8) == codes).all()
    assert [by_id[n]["name"] for n in held["id"].to_pylist()] == held["name"].to_pylist()
    stamps = [str(stamp) for stamp in held["stamp"].to_pylist()]  # beyond 2^63
    assert table["stamp"].to_pylist() == stamps
    assert [by_id[n]["stamp"] for n in held["id"].to_pylist()] == stamps


def test_numbers_that_json_does_not_have_are_text(tmp_path: Path) -> None:
    make_table(str(tmp_path / "tiles"), SETTINGS)
    held = open_archive(tmp_path / "tiles")
    own = rows(3, "image", np.random.default_rng(0))
    values = pa.array([float("nan"), float("inf"), -float("inf")])
    held.write(own.set_column(own.column_names.index("cloud"), "cloud", values))
    ivr.export(held.place, tmp_path / "bulk.json", "opensearch")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    lines = (tmp_path / "bulk.json").read_text().splitlines()[1::2]
    found = [json.loads(line, parse_constant=refuse)["cloud"] for line in lines]
    assert found == ["NaN", "Infinity", "-Infinity"]


@pytest.mark.parametrize("where", [None, "label = 'sea'"])
def test_an_export_of_nothing_is_a_valid_export(
    archive: Archive, database: str, tmp_path: Path, where: str | None
) -> None:
    import faiss

    place = archive.place
    if where is None:
        place = str(tmp_path / "tiles")
        make_table(place, SETTINGS)
    for target in ("parquet", "npy", "faiss", "milvus", "opensearch"):
        result = ivr.export(place, tmp_path / target, target, where=where)  # type: ignore[arg-type]
        assert result.items == 0
    for file in ("parquet", "npy/items.parquet", "faiss/items.parquet", "milvus"):
        table = pq.read_table(tmp_path / file)
        assert (len(table), table.schema.field("id").type) == (0, pa.int64()), file
    assert (tmp_path / "opensearch").read_text() == ""
    assert np.load(tmp_path / "npy" / "codes.npy").shape == (0, 8)
    index = faiss.read_index_binary(str(tmp_path / "faiss" / "voice.faiss"))
    assert (index.ntotal, index.d) == (0, 64)
    ivr.export(place, tmp_path / "csv", "npy", where=where, items="csv")
    assert (tmp_path / "csv" / "items.csv").read_text().count("\n") == 1
    ivr.export(place, database, "postgres", where=where, table="nothing", overwrite=True)
    engine = PostgresEngine(database, "nothing")
    assert engine.nearest(queries()[0], modality="image", count=3) == ([], None)


def test_confidence_means_the_same_in_a_database(archive: Archive, database: str) -> None:
    engine = PostgresEngine(database, "items")
    for where in (None, "label = 'pond'"):
        for query in queries():
            nearest = archive.search(query, modality="image", count=3, where=where)
            _, clear = engine.nearest(query, modality="image", count=3, where=where)
            assert clear == nearest.confidence


def test_confidence_of_a_large_table_is_that_of_rows_all_over_it(
    database: str, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.pipeline.archive.postgres_engine.SAMPLE", 200)
    engine = PostgresEngine(database, "items")
    ids, codes = archive.codes("image")[1].astype(int), archive.codes("image")[0]
    chosen = np.isin(ids, np.linspace(0, IMAGES + VOICES - 1, 200).astype(int))
    for query in queries():
        _, clear = engine.nearest(query, modality="image", count=3)
        assert clear is not None
        assert clear.median == np.median(distances_to(query, codes[chosen]))
    _, rare = engine.nearest(queries()[0], modality="voice", count=3)
    assert rare is not None


def test_postgresql_holds_every_value(archive: Archive, database: str) -> None:
    import psycopg

    held = whole(archive)
    with psycopg.connect(database) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        cursor = connection.execute("SELECT * FROM items ORDER BY id")
        names = [column.name for column in cursor.description or ()]
        found = dict(zip(names, zip(*cursor.fetchall(), strict=True), strict=True))
    for name in set(held.column_names) - {"code"}:
        assert list(found[name]) == held[name].to_pylist(), name
    assert list(found["code"]) == as_bit_text(codes_of(held["code"])).to_pylist()


def test_postgresql_finds_the_hits_of_the_archive_with_ties_in_one_order(
    archive: Archive, database: str
) -> None:
    engine = PostgresEngine(database, "items")
    for query in queries():
        nearest = archive.search(query, modality="image", count=25)
        rows, clear = engine.nearest(query, modality="image", count=25)
        assert [row["distance"] for row in rows] == nearest.distances.tolist()
        assert [row["id"] for row in rows] == nearest.row_ids.tolist()
        assert clear is not None
        assert clear.first == rows[0]["distance"]


def test_an_index_may_miss_rows_but_gives_their_true_distances(
    archive: Archive, database: str
) -> None:
    engine, held = PostgresEngine(database, "items"), whole(archive)
    codes = dict(zip(held["id"].to_pylist(), codes_of(held["code"]), strict=True))
    for query in queries():
        rows, _ = engine.nearest(query, modality="image", count=25, index=True)
        wanted = [int(distances_to(query, codes[row["id"]][None])[0]) for row in rows]
        assert len(rows) == 25
        assert {row["modality"] for row in rows} == {"image"}
        assert [row["distance"] for row in rows] == wanted == sorted(wanted)


def test_postgresql_takes_the_conditions_of_a_search(archive: Archive, database: str) -> None:
    engine, query = PostgresEngine(database, "items"), queries()[0]
    box = parse_bounds("-20,-10,60,10")
    for conditions in (
        {"where": "label = 'pond'"},
        {"where": "name LIKE 'image/1%'"},
        {"bbox": box},
        {"where": "cloud > 3.5", "bbox": box, "within": 20},
    ):
        nearest = archive.search(query, modality="image", count=50, **conditions)  # type: ignore[arg-type]
        rows, _ = engine.nearest(query, modality="image", count=50, **conditions)  # type: ignore[arg-type]
        assert len(rows) > 0
        assert [row["id"] for row in rows] == nearest.row_ids.tolist()
    assert engine.nearest(query, modality="image", count=5, where="false") == ([], None)


@pytest.mark.parametrize(
    ("where", "kind", "words"),
    [
        ("colour = 1", PostgresError, 'column "colour" does not exist'),
        ("true); DELETE FROM items; --", ArchiveError, r"has one \) too many"),
        ("lo_create(0) > 0", PostgresError, "read-only transaction"),
    ],
)
def test_a_condition_that_cannot_be_used_changes_nothing(
    database: str, where: str, kind: type[Exception], words: str
) -> None:
    engine = PostgresEngine(database, "items")
    with pytest.raises(kind, match=words) as caught:
        engine.nearest(queries()[0], modality="image", count=5, where=where)
    assert "\n" not in str(caught.value)
    assert len(engine.nearest(queries()[0], modality="image", count=5)[0]) == 5


def test_a_table_is_replaced_on_request_only_and_never_a_foreign_one(
    archive: Archive, database: str
) -> None:
    import psycopg

    with pytest.raises(PostgresError, match="table items exists; replace it with --overwrite"):
        ivr.export(archive.place, database, "postgres")
    ivr.export(archive.place, database, "postgres", table="ponds", where="label = 'pond'")
    ponds = PostgresEngine(database, "ponds").nearest(queries()[0], modality="image", count=999)[0]
    assert {row["label"] for row in ponds} == {"pond"}
    ivr.export(archive.place, database, "postgres", table="ponds", overwrite=True)
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE theirs (a integer)")
    with pytest.raises(PostgresError, match="table theirs is none that ivr export made"):
        ivr.export(archive.place, database, "postgres", table="theirs", overwrite=True)
    with pytest.raises(PostgresError, match="has no table absent of ivr"):
        PostgresEngine(database, "absent")


def test_boxes_are_geometries_where_the_database_has_that_type(
    archive: Archive, database: str
) -> None:
    import psycopg

    # Stands for PostGIS, whose type reads the same hexadecimal text.
    with psycopg.connect(database) as connection:
        connection.execute("CREATE DOMAIN geometry AS text")
    try:
        ivr.export(archive.place, database, "postgres", table="placed")
        with psycopg.connect(database) as connection:
            found = connection.execute("SELECT geometry, west FROM placed ORDER BY id").fetchall()
    finally:
        with psycopg.connect(database) as connection:
            connection.execute("DROP DOMAIN geometry CASCADE")
    assert [shape is None for shape, _ in found] == [west is None for _, west in found]
    head = struct.unpack("<BIIII2d", bytes.fromhex(found[0][0])[:33])
    assert head[:5] == (1, 0x20000003, 4326, 1, 5)
    assert head[5:] == (found[0][1], -1.5)


def test_a_password_is_not_shown() -> None:
    assert shown("postgres://me:secret@host/db") == "postgres://me@host/db"
    assert "secret" not in shown("postgresql:///db?host=/tmp&password=secret")
    for odd in ("se/cret", "se@cret", "se:c/r@et"):
        assert shown(f"postgres://me:{odd}@host/db") == "postgres://me@host/db"


def test_a_database_that_is_not_there_is_one_line(archive: Archive, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    address = f"postgresql://me:secret@/db?host={tmp_path}"
    with pytest.raises(PostgresError) as caught:
        ivr.export(archive.place, address, "postgres")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_of_two_rows_of_one_name_the_later_one_is_exported(tmp_path: Path) -> None:
    make_table(str(tmp_path / "twice"), SETTINGS)
    held, rng = open_archive(tmp_path / "twice"), np.random.default_rng(0)
    held.append(rows(5, "image", rng))
    held.append(rows(2, "image", rng))  # as a second writer at the same moment does
    result = ivr.export(held.place, tmp_path / "codes", "npy")
    items = pq.read_table(tmp_path / "codes" / "items.parquet")
    assert result.items == len(items) == len(np.load(tmp_path / "codes" / "codes.npy")) == 5
    assert sorted(items["id"].to_pylist()) == [2, 3, 4, 5, 6]


def test_the_codes_of_a_run_are_exported_with_its_items(world: World, tmp_path: Path) -> None:
    result = ivr.export(world.run, tmp_path / "run.parquet", "parquet")
    table, codes = pq.read_table(tmp_path / "run.parquet"), read_codes(world.run / "codes.h5")
    both = (codes.images, codes.voices)
    assert result.items == len(table) == sum(len(items.names) for items in both)
    assert table["name"].to_pylist() == [name for items in both for name in items.names]
    assert table["label"].to_pylist() == [label for items in both for label in items.labels]
    assert b"".join(table["code"].to_pylist()) == b"".join(i.codes.tobytes() for i in both)
    with pytest.raises(OptionError, match="--where and --bbox belong to an archive"):
        ivr.export(world.run, tmp_path / "other.parquet", "parquet", where="label = 'pond'")


def test_search_asks_a_database_for_the_hits_of_a_run(
    world: World, tmp_path: Path, database: str
) -> None:
    ivr.export(world.run, database, "postgres", table="run")
    voice = next(world.media.glob("*.wav"))
    from_run = ivr.search(world.run, voice=voice)
    found = ivr.search(world.run, voice=voice, engine=database, table="run")
    assert sorted((hit.distance, hit.name) for hit in found.hits) == sorted(
        (hit.distance, hit.name) for hit in from_run.hits
    )
    with pytest.raises(ArchiveError, match="its codes come from another model"):
        ivr.search(world.run, voice=voice, engine=database)


def test_an_earlier_export_is_replaced_on_request_only(archive: Archive, tmp_path: Path) -> None:
    call = ["export", archive.place, "--to", "npy", "--out", str(tmp_path / "codes")]
    done = CliRunner().invoke(main, call)
    assert (done.exit_code, done.stdout) == (
        0, f"{tmp_path / 'codes'}: {IMAGES + VOICES} items with codes of 64 bits\n"
    )  # fmt: skip
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 1
    assert "exists; give another --out, or replace it with --overwrite" in again.stderr
    assert CliRunner().invoke(main, [*call, "--overwrite"]).exit_code == 0
    (tmp_path / "notes.parquet").write_text("mine")
    with pytest.raises(InTheWayError):
        ivr.export(archive.place, tmp_path / "notes.parquet", "parquet", overwrite=True)


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("target", ["npy", "faiss"])
def test_an_export_that_is_killed_never_leaves_files_of_two(
    target: Any, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"

    def content(folder: Path) -> dict[str, bytes]:
        shown = (path for path in folder.iterdir() if not path.name.startswith("."))
        return {path.name: path.read_bytes() for path in shown}

    ivr.export(archive.place, out, target)
    ivr.export(archive.place, other, target, where="modality = 'image' and label = 'pond'")
    before, after = content(out), content(other)
    assert before.keys() != after.keys() or all(before[n] != after[n] for n in after)
    kills = 0
    for step in range(40):
        left = step

        def dying(call: Any) -> Any:
            def die_in_time(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise KilledError
                return call(*arguments, **named)

            return die_in_time

        try:
            with monkeypatch.context() as patch:
                for name in ("rename", "replace", "fsync", "unlink", "remove"):
                    patch.setattr(os, name, dying(getattr(os, name)))
                ivr.export(archive.place, out, target, overwrite=True,
                           where="modality = 'image' and label = 'pond'")  # fmt: skip
        except KilledError:
            kills += 1
        found = content(out)
        assert found.items() <= before.items() or found.items() <= after.items(), step
        ivr.export(archive.place, out, target, overwrite=True)
        assert content(out) == before
        if kills <= step:
            break
    assert kills >= 5


def test_an_export_takes_away_the_files_of_an_earlier_one_of_another_form(
    archive: Archive, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ivr.export(archive.place, out, "npy", items="csv")
    ivr.export(archive.place, out, "faiss", overwrite=True)
    names = {path.name for path in out.iterdir()} - {".lock"}
    assert names == {"image.faiss", "voice.faiss", "items.parquet"}
    (out / "codes.npy").write_text("mine")
    with pytest.raises(InTheWayError):
        ivr.export(archive.place, out, "npy", overwrite=True)
    assert (out / "codes.npy").read_text() == "mine"
    assert (out / "image.faiss").exists()


def test_the_first_bit_is_the_highest_one() -> None:
    codes = np.array([[128, 0, 0, 0, 0, 0, 0, 1]], np.uint8)
    assert as_integers(codes).to_pylist() == [2**63 + 1]
    assert as_bit_text(codes).to_pylist() == ["1" + "0" * 62 + "1"]
