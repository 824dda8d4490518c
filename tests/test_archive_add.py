import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import soundfile
from archive_rows import item_rows
from fake_code_maker import FakeCodeMaker, use
from PIL import Image
from rasterio.transform import from_origin

import ivr
from ivr.pipeline.archive import wider_columns
from ivr.pipeline.archive.archive import open_archive
from ivr.pipeline.archive.known_items import remove_repeated
from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.extraction.file_stamps import stamp_of
from ivr.pipeline.runtime.progress import console, reporting
from ivr.pipeline.runtime.visible_text import visible

SECOND = datetime(2026, 5, 1, 10, 30, tzinfo=UTC)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> FakeCodeMaker:
    return use(monkeypatch)


@pytest.fixture
def place(tmp_path: Path, maker: FakeCodeMaker) -> Path:
    """An archive without items."""
    ivr.archive_create(tmp_path / "archive", tmp_path)
    return tmp_path / "archive"


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """A folder with five images, whose red is 10, 20 and so on."""
    (tmp_path / "tiles" / "a").mkdir(parents=True)
    for number in range(1, 6):
        draw(tmp_path / "tiles" / "a" / f"{number}.png", number * 10)
    return tmp_path / "tiles"


def draw(path: Path, red: int, green: int = 0) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = red, green
    Image.fromarray(pixels).save(path)


def speak(path: Path, seconds: float = 0.1) -> None:
    times = np.arange(int(16_000 * seconds)) / 16_000
    soundfile.write(path, np.sin(2 * np.pi * 500 * times), 16_000)


def rows_of(place: Path, *columns: str, modality: str = "image") -> list[dict[str, Any]]:
    archive = open_archive(place)
    rows: list[dict[str, Any]] = archive.rows(
        archive.codes(modality)[1], columns or None
    ).to_pylist()
    return rows


def reds(place: Path) -> dict[str, int]:
    return {row["name"]: row["code"][0] for row in rows_of(place, "name", "code")}


def test_a_folder_is_added_in_one_pass_with_stamps_of_its_files(place: Path, tiles: Path) -> None:
    result = ivr.archive_add(place, tiles)
    assert (result.added, result.replaced, result.unchanged) == (5, 0, 0)
    assert reds(place) == {f"a/{number}.png": number * 10 for number in range(1, 6)}
    (first, *_) = rows_of(place)
    assert first["root"] == str(tiles)
    assert first["file"] == "a/1.png"
    assert first["stamp"] == stamp_of((tiles / "a" / "1.png").read_bytes())


def test_only_what_is_new_or_changed_is_encoded(
    place: Path, tiles: Path, maker: FakeCodeMaker
) -> None:
    ivr.archive_add(place, tiles)
    maker.batches.clear()
    assert ivr.archive_add(place, tiles).unchanged == 5
    assert maker.batches == []
    draw(tiles / "a" / "2.png", 99)
    draw(tiles / "a" / "6.png", 60)
    result = ivr.archive_add(place, tiles)
    assert (result.added, result.replaced, result.unchanged) == (1, 1, 4)
    assert sum(maker.batches) == 2
    assert list(reds(place).values()) == [10, 99, 30, 40, 50, 60]


def test_with_trust_mtime_files_are_not_even_read(
    place: Path, tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.pipeline.extraction.file_stamps._SETTLED", -(10**15))
    ivr.archive_add(place, tiles, trust_mtime=True)
    monkeypatch.setattr(
        "ivr.pipeline.extraction.file_stamps.opened_regular",
        lambda path: pytest.fail(f"{path} was read"),
    )
    (remembered,) = place.glob(".*.mtimes")
    before = remembered.stat()
    assert ivr.archive_add(place, tiles, trust_mtime=True).unchanged == 5
    # An archive that cannot be written to, in which nothing changed, is no error.
    assert (remembered.stat().st_ino, remembered.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def test_a_model_that_answers_voices_only_refuses_images_in_one_line(
    place: Path, tiles: Path, maker: FakeCodeMaker
) -> None:
    speak(tiles / "v.wav")
    manifest = tiles / "manifest.csv"
    manifest.write_text("image,voice,label\na/1.png,v.wav,pond\n")
    maker.encodes_images = False
    with pytest.raises(ArchiveError, match=r"manifest.csv: has images, .* leave the column image"):
        ivr.archive_add(place, manifest)
    manifest.write_text("image,voice,label\n,v.wav,pond\n")
    assert ivr.archive_add(place, manifest).added == 1


def test_columns_of_a_manifest_are_typed_and_voices_are_added(
    place: Path, tiles: Path, tmp_path: Path
) -> None:
    speak(tiles / "v.wav")
    manifest = tiles / "manifest.csv"
    manifest.write_text(
        "image,voice,label,speaker,caption,clouds,pass,clear,seen,code number\n"
        "a/1.png,v.wav,pond,ada,a small pond,0.5,7,true,2026-05-01T12:30:00+02:00,007\n"
        "a/2.png,,,,,,,,,\n"
    )
    result = ivr.archive_add(place, manifest)
    assert (result.added, result.skipped) == (3, ())
    first, second = rows_of(place)
    assert first["label"] == "pond"
    assert (first["clouds"], first["pass"], first["clear"]) == (0.5, 7, True)
    assert first["seen"] == SECOND
    assert first["code number"] == "007"
    assert [second[name] for name in ("label", "clouds", "pass", "clear", "seen")] == [None] * 5
    (voice,) = rows_of(place, modality="voice")
    assert (voice["name"], voice["speaker"], voice["caption"]) == ("v.wav", "ada", "a small pond")
    assert voice["image"] == "a/1.png"
    assert first["caption"] is None


def test_columns_of_a_parquet_manifest_keep_their_types(place: Path, tiles: Path) -> None:
    def write(**further: Any) -> Path:
        names = {"image": ["a/1.png", "a/2.png"], "voice": ["", ""], "label": ["pond", None]}
        pq.write_table(pa.table({**names, **further}), tiles / "manifest.parquet")
        return tiles / "manifest.parquet"

    manifest = write(
        height=[3.0, None], floors=pa.array([3, None], pa.int16()), code=["1", "2"],
        seen=pa.array([SECOND.replace(tzinfo=None), None], pa.timestamp("ns")), wet=[True, None],
    )  # fmt: skip
    with pytest.raises(ArchiveError, match="column code: the archive sets it itself; rename it"):
        ivr.archive_add(place, manifest)
    table = pq.read_table(manifest)
    pq.write_table(table.rename_columns({"code": "number"}), manifest)
    ivr.archive_add(place, manifest)
    wanted = {"height": 3.0, "floors": 3, "number": 1, "seen": SECOND, "wet": True}
    assert rows_of(place, *wanted) == [wanted, {**dict.fromkeys(wanted), "number": 2}]
    assert open_archive(place).schema.field("height").type == pa.float64()
    ivr.archive_update(place, write(height=pa.array([4, 5], pa.int64())))
    assert rows_of(place, "height") == [{"height": 4.0}, {"height": 5.0}]
    with pytest.raises(ArchiveError, match=r"column floors: 'many' is not of the type .* integer"):
        ivr.archive_add(place, write(floors=["many", "1"]))


def test_not_a_number_is_a_missing_value(place: Path, tiles: Path) -> None:
    columns = {"image": ["a/1.png", "a/2.png"], "voice": ["", ""], "label": ["pond", "pond"]}
    boxes = {name: [1.0, float("nan")] for name in ("west", "south", "east", "north", "clouds")}
    pq.write_table(pa.table({**columns, **boxes}), tiles / "manifest.parquet")
    ivr.archive_add(place, tiles / "manifest.parquet")
    assert [row["west"] for row in rows_of(place, "west")] == [1.0, None]
    assert open_archive(place).count("clouds > 0.5") == 1
    updated = ivr.archive_update(place, tiles / "manifest.parquet")
    assert (updated.updated, updated.unchanged) == (0, 2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("190,0,191,1", "column west: 190 is not from -180 to 180 degrees"),
        ("1,0,2,95.5", "column north: 95.5 is not from -90 to 90 degrees"),
        ("1,3,2,1", "south is above that of north"),
    ],
)
def test_a_box_beside_the_globe_is_refused(
    place: Path, tiles: Path, values: str, words: str
) -> None:
    manifest = tiles / "manifest.csv"
    manifest.write_text(f"image,voice,label,west,south,east,north\na/1.png,,pond,{values}\n")
    with pytest.raises(ArchiveError, match=words):
        ivr.archive_add(place, manifest)


def test_a_column_gets_its_type_with_its_first_value(place: Path, tiles: Path) -> None:
    manifest = tiles / "manifest.csv"
    for number, clouds in ((1, ""), (2, "0.25"), (3, "")):
        manifest.write_text(f"image,voice,label,clouds\na/{number}.png,,pond,{clouds}\n")
        ivr.archive_add(place, manifest)
    assert [row["clouds"] for row in rows_of(place, "clouds")] == [None, 0.25, None]


def test_numbers_that_a_float_does_not_hold_stay_text(place: Path, tiles: Path) -> None:
    manifest = tiles / "manifest.csv"
    manifest.write_text(
        "image,voice,label,serial,huge,whole\na/1.png,,pond,12345678901234567890,1e400,1e3\n"
    )
    ivr.archive_add(place, manifest)
    (row,) = rows_of(place, "serial", "huge", "whole")
    assert row == {"serial": "12345678901234567890", "huge": "1e400", "whole": 1000.0}


@pytest.mark.parametrize(
    ("first", "later"), [("12", "007"), ("1.5", "007"), ("1.5", "9007199254740993")]
)
def test_a_later_value_that_its_column_would_change_is_one_line(
    first: str, later: str, place: Path, tiles: Path
) -> None:
    manifest = tiles / "manifest.csv"
    manifest.write_text(f"image,voice,label,sheet,west\na/1.png,,pond,{first},\n")
    ivr.archive_add(place, manifest)
    manifest.write_text(f"image,voice,label,sheet,west\na/2.png,,pond,{later},\n")
    with pytest.raises(ArchiveError, match=f"column sheet: '{later}' is not of the type"):
        ivr.archive_add(place, manifest)
    manifest.write_text(
        "image,voice,label,sheet,west,south,east,north\na/2.png,,pond,,007.5,050.25,008,51\n"
    )
    ivr.archive_add(place, manifest)  # zeros before a coordinate say nothing
    assert rows_of(place, "west", "east")[1] == {"west": 7.5, "east": 8}


def test_whole_numbers_become_floats_with_the_first_fraction(place: Path, tiles: Path) -> None:
    manifest = tiles / "manifest.csv"
    head = "image,voice,label,Cloud cover,seen\n"
    manifest.write_text(f"{head}a/1.png,,pond,3,1\na/2.png,,pond,,1\n")
    ivr.archive_add(place, manifest)
    held = open_archive(place)
    held.hold()
    manifest.write_text(f"{head}a/3.png,,pond,0.25,2\n")
    ivr.archive_add(place, manifest)
    manifest.write_text(f"{head}a/4.png,,pond,7,3\n")
    ivr.archive_add(place, manifest)
    rows = rows_of(place, "name", "Cloud cover", "seen")
    assert [row["Cloud cover"] for row in rows] == [3.0, None, 0.25, 7.0]
    assert [row["seen"] for row in rows] == [1, 1, 2, 3]
    schema = open_archive(place).schema
    assert (schema.field("Cloud cover").type, schema.field("seen").type) == (
        pa.float64(),
        pa.int64(),
    )
    assert not [name for name in schema.names if name.startswith("_")]
    newer = held.newer()
    assert newer is not None
    assert newer.codes("image")[1].tolist() == [0, 1, 2, 3]
    assert open_archive(place).count("`Cloud cover` < 1") == 1
    manifest.write_text(f"{head}a/4.png,,pond,7.5,3.5\n")
    assert ivr.archive_update(place, manifest).updated == 1
    assert rows_of(place, "Cloud cover", "seen")[3] == {"Cloud cover": 7.5, "seen": 3.5}


def test_whole_numbers_that_no_float_holds_stay_whole(
    place: Path, tiles: Path, maker: FakeCodeMaker
) -> None:
    manifest = tiles / "manifest.csv"
    manifest.write_text("image,voice,label,serial\na/1.png,,pond,9007199254740993\n")
    ivr.archive_add(place, manifest)
    maker.batches.clear()
    manifest.write_text("image,voice,label,serial\na/2.png,,pond,0.5\n")
    with pytest.raises(ArchiveError, match=r"column serial: .* no float holds exactly; rename the"):
        ivr.archive_add(place, manifest)
    assert maker.batches == []
    assert rows_of(place, "serial") == [{"serial": 9007199254740993}]


def test_whole_numbers_that_another_writer_adds_meanwhile_become_floats_too(place: Path) -> None:
    held = open_archive(place)
    held.write(item_rows(["a"], [[1, 1]], n=pa.array([1], pa.int64())))
    real = wider_columns.retried

    def meanwhile(commit: Any) -> Any:
        if commit.__name__ == "swap":
            other = open_archive(place)
            other.write(item_rows(["b"], [[2, 2]], n=pa.array([2], pa.int64())))
            other.update(other.rows([0], ["name", "modality"]).append_column(
                "n", pa.array([5], pa.int64())))  # fmt: skip
        return real(commit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wider_columns, "retried", meanwhile)
        held.write(item_rows(["c"], [[3, 3]], n=pa.array([0.5], pa.float64())))
    rows = {row["name"]: row["n"] for row in rows_of(place, "name", "n")}
    assert rows == {"a": 5.0, "b": 2.0, "c": 0.5}


def test_what_a_killed_widening_leaves_is_brought_in_order_by_compact(place: Path) -> None:
    held = open_archive(place)
    held.write(item_rows(["a"], [[1, 1]], n=pa.array([1], pa.int64())))
    real = wider_columns.retried

    def killed(commit: Any, *, at: str) -> Any:
        if commit.__name__ == at:
            raise KeyboardInterrupt
        return real(commit)

    for name, at in (("b", "swap"), ("c", "<lambda>")):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(wider_columns, "retried", partial(killed, at=at))
            held.write(item_rows([name], [[3, 3]], n=pa.array([0.5], pa.float64())))
        ivr.archive_compact(place)
        assert not [one for one in open_archive(place).schema.names if one.startswith("_")]
        assert [row["n"] for row in rows_of(place, "n")] == [1]


@pytest.mark.parametrize("name", [b"bad\xff.png", b"two\nlines.png", b"\x1b[2J.png", b" a.png"])
def test_a_file_whose_name_no_manifest_may_have_is_named_and_skipped(
    place: Path, tiles: Path, name: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(name)
    draw(tiles / "odd.png", 1)
    (tiles / "odd.png").rename(tiles / odd)
    with console():
        result = ivr.archive_add(place, tiles, prefix="may/")
    assert (result.added, result.skipped, result.finished) == (5, (f"may/{odd}",), True)
    error = capfd.readouterr().err
    assert f"skipped {visible(f'may/{odd}')}: its name " in error
    assert "\x1b" not in error
    with pytest.raises(ArchiveError, match=r"its name .*stopped by --strict"):
        ivr.archive_add(place, tiles, strict=True)


def test_tasks_of_a_job_array_name_each_odd_file_once(place: Path, tiles: Path) -> None:
    for number in range(3):
        draw(tiles / f" {number}.png", 1)
    skipped = [ivr.archive_add(place, tiles, shard=f"{task}/2").skipped for task in (1, 2)]
    assert sorted(name for names in skipped for name in names) == [" 0.png", " 1.png", " 2.png"]


def test_a_folder_of_odd_names_only_is_an_error(place: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    draw(tmp_path / "odd" / " a.png", 1)
    with pytest.raises(ArchiveError, match=r"none of 1 file could be read, e\.g\.  a.png: its"):
        ivr.archive_add(place, tmp_path / "odd")


def test_a_later_manifest_adds_columns_and_a_conflict_of_types_is_one_line(
    place: Path, tiles: Path
) -> None:
    manifest = tiles / "manifest.csv"
    manifest.write_text("image,voice,label,height\na/1.png,,pond,3\n")
    ivr.archive_add(place, manifest)
    manifest.write_text("image,voice,label,city\na/2.png,,pond,Bonn\n")
    ivr.archive_add(place, manifest)
    rows = rows_of(place, "height", "city")
    assert rows == [{"height": 3, "city": None}, {"height": None, "city": "Bonn"}]
    manifest.write_text("image,voice,label,height\na/3.png,,pond,tall\n")
    with pytest.raises(
        ArchiveError, match=r"manifest.csv: column height: 'tall' is not .* integer"
    ):
        ivr.archive_add(place, manifest)
    manifest.write_text("image,voice,label,stamp\na/3.png,,pond,1\n")
    with pytest.raises(ArchiveError, match="column stamp: the archive sets it itself; rename it"):
        ivr.archive_add(place, manifest)


def test_a_geotiff_gets_its_bounds_and_its_box_in_degrees(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    profile = {
        "driver": "GTiff", "width": 8, "height": 8, "count": 3, "dtype": "uint8",
        "crs": "EPSG:32632", "transform": from_origin(500_000, 5_500_000, 10, 10),
    }  # fmt: skip
    with rasterio.open(folder / "a.tif", "w", **profile) as file:
        file.write(np.full((3, 8, 8), 9, np.uint8))
        file.update_tags(TIFFTAG_DATETIME="2026:05:01 10:30:00")
    draw(folder / "b.png", 3)
    ivr.archive_add(place, folder)
    scene, picture = rows_of(place)
    assert scene["crs"] == "EPSG:32632"
    assert scene["pixel_size"] == 10
    bounds = [scene[name] for name in ("min_x", "min_y", "max_x", "max_y")]
    assert bounds == [500_000, 5_499_920, 500_080, 5_500_000]
    # Easting 500 km is the middle of zone 32: longitude 9.
    assert scene["west"] == pytest.approx(9, abs=1e-9)
    assert scene["east"] == pytest.approx(9.0011, abs=1e-4)
    assert 49.6 < scene["south"] < scene["north"] < 49.7
    assert scene["time"] == SECOND
    assert picture["crs"] is picture["west"] is picture["time"] is None


def test_a_changed_raster_keeps_nothing_of_its_earlier_place(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    profile = {
        "driver": "GTiff", "width": 8, "height": 8, "count": 3, "dtype": "uint8",
        "transform": from_origin(500_000, 5_500_000, 10, 10),
    }  # fmt: skip
    for crs, value in (("EPSG:32632", 9), ('LOCAL_CS["site",UNIT["metre",1]]', 10)):
        with rasterio.open(folder / "a.tif", "w", crs=crs, **profile) as file:
            file.write(np.full((3, 8, 8), value, np.uint8))
        ivr.archive_add(place, folder)
    (row,) = rows_of(place, "crs", "min_x", "west", "north")
    assert row["crs"].startswith("LOCAL_CS")
    assert (row["min_x"], row["west"], row["north"]) == (500_000, None, None)


def test_a_damaged_file_is_named_and_skipped_and_strict_stops_at_it(
    place: Path, tiles: Path
) -> None:
    (tiles / "a" / "0.png").write_bytes(b"not a picture")
    result = ivr.archive_add(place, tiles)
    assert result.skipped == ("a/0.png",)
    assert result.added == 5
    with pytest.raises(ArchiveError, match=r"a/0.png: not a JPEG.*stopped by --strict"):
        ivr.archive_add(place, tiles, strict=True)


def test_nothing_that_can_be_read_is_an_error(place: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(ArchiveError, match=r"none of 1 file could be read, e\.g\. 0.png"):
        ivr.archive_add(place, tmp_path / "bad")
    with pytest.raises(ArchiveError, match="holds no image"):
        ivr.archive_add(place, place)


def test_the_same_name_from_another_folder_is_refused_unless_it_moved(
    place: Path, tiles: Path, tmp_path: Path
) -> None:
    ivr.archive_add(place, tiles)
    (tmp_path / "other" / "a").mkdir(parents=True)
    draw(tmp_path / "other" / "a" / "1.png", 77)
    with pytest.raises(ArchiveError, match=r"a/1.png is in .* from .*tiles.*--prefix to keep both"):
        ivr.archive_add(place, tmp_path / "other")
    ivr.archive_add(place, tmp_path / "other", prefix="other/")
    assert reds(place)["a/1.png"] == 10
    assert reds(place)["other/a/1.png"] == 77
    assert rows_of(place, "file")[-1]["file"] == "a/1.png"
    ivr.archive_add(place, tmp_path / "other", moved=True)
    assert reds(place)["a/1.png"] == 77


def test_rows_of_files_that_moved_name_their_new_folder(place: Path, tiles: Path) -> None:
    ivr.archive_add(place, tiles, prefix="may/a/")
    tiles = tiles.rename(tiles.with_name("elsewhere"))
    assert ivr.archive_add(place, tiles, prefix="may/a/").unchanged == 5
    assert {row["root"] for row in rows_of(place, "root")} == {str(tiles.with_name("tiles"))}
    (tiles / "a" / "a").mkdir()
    for path in (tiles / "a").glob("*.png"):
        path.rename(tiles / "a" / "a" / path.name)
    assert ivr.archive_add(place, tiles / "a", prefix="may/a/", moved=True).unchanged == 5
    assert ivr.archive_verify(place, files=True).faults == ()
    assert {row["root"] for row in rows_of(place, "root")} == {str(tiles / "a")}


def test_a_changed_file_keeps_what_its_new_source_does_not_say(place: Path, tiles: Path) -> None:
    manifest = tiles / "manifest.csv"
    manifest.write_text("image,voice,label,clouds,time\na/1.png,,pond,0.5,2026-05-01T10:30\n")
    ivr.archive_add(place, manifest)
    draw(tiles / "a" / "1.png", 99)
    assert ivr.archive_add(place, tiles).replaced == 1
    (row, *_) = rows_of(place, "name", "code", "label", "clouds", "time")
    assert row == {
        "name": "a/1.png", "code": [99, 0], "label": "pond", "clouds": 0.5, "time": SECOND,
    }  # fmt: skip
    manifest.write_text("image,voice,label,clouds\na/1.png,,,0.75\n")
    draw(tiles / "a" / "1.png", 98)
    ivr.archive_add(place, manifest)
    (row, *_) = rows_of(place, "code", "label", "clouds", "time")
    # A column without any value says nothing; an empty cell of another column does.
    assert row == {"code": [98, 0], "label": "pond", "clouds": 0.75, "time": SECOND}
    manifest.write_text("image,voice,label,clouds\na/1.png,,,0.75\na/2.png,,pond,\n")
    draw(tiles / "a" / "1.png", 97)
    ivr.archive_add(place, manifest)
    (row, *_) = rows_of(place, "code", "label", "clouds", "time")
    assert row == {"code": [97, 0], "label": None, "clouds": 0.75, "time": SECOND}


def test_what_a_manifest_says_anew_of_unchanged_files_is_written_without_encoding(
    place: Path, tiles: Path, maker: FakeCodeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(tiles / "1.wav")
    manifest = tiles / "manifest.csv"
    head = "image,voice,label,caption,clouds\n"
    manifest.write_text(f"{head}a/1.png,1.wav,pond,a pond,0.5\na/2.png,,river,,0.25\n")
    assert ivr.archive_add(place, manifest).added == 3
    (first, *_), version = rows_of(place), open_archive(place).version

    def encoded(*_: object) -> None:
        raise AssertionError("something was encoded")

    monkeypatch.setattr(maker, "codes_of_pixels", encoded)
    manifest.write_text(f"{head}a/1.png,1.wav,lake,a lake,\na/2.png,,river,,0.25\n")
    result = ivr.archive_add(place, manifest)
    assert (result.added, result.replaced, result.updated, result.unchanged) == (0, 0, 2, 1)
    assert "0 rows added, 0 replaced, 2 updated, 1 unchanged" in repr(result)
    assert result.version == version + 2  # one of the images, one of the voices
    (again, other) = rows_of(place)
    assert again == first | {"label": "lake", "clouds": None}
    assert (other["label"], other["clouds"]) == ("river", 0.25)
    (voice,) = rows_of(place, "caption", "label", modality="voice")
    assert voice == {"caption": "a lake", "label": "lake"}
    again = ivr.archive_add(place, manifest)
    assert (again.updated, again.unchanged, again.version) == (0, 3, result.version)


def test_a_manifest_without_labels_and_captions_keeps_those_of_the_archive(
    place: Path, tiles: Path
) -> None:
    speak(tiles / "1.wav")
    manifest = tiles / "manifest.csv"
    manifest.write_text("image,voice,label,caption\na/1.png,1.wav,pond,a pond\n")
    ivr.archive_add(place, manifest)
    manifest.write_text("image,voice,label,height\na/1.png,1.wav,,3\n")
    assert ivr.archive_add(place, manifest).updated == 2
    assert ivr.archive_update(place, manifest).updated == 0
    assert rows_of(place, "label", "height") == [{"label": "pond", "height": 3}]
    assert rows_of(place, "caption", "height", modality="voice") == [
        {"caption": "a pond", "height": 3}
    ]


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_call_that_is_ended_keeps_its_blocks_and_the_next_call_adds_the_rest(
    place: Path, tiles: Path, maker: FakeCodeMaker
) -> None:
    def end(what: str, done: int, total: int) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed), reporting(end):
        ivr.archive_add(place, tiles, batch_size=1, block_rows=2)
    assert list(reds(place).values()) == [10, 20, 30]
    result = ivr.archive_add(place, tiles, batch_size=2)
    assert (result.added, result.unchanged) == (2, 3)
    assert list(reds(place).values()) == [10, 20, 30, 40, 50]


def test_a_time_limit_stops_between_blocks_and_says_what_is_left(place: Path, tiles: Path) -> None:
    done = []
    while not done or done[-1].left:
        done.append(ivr.archive_add(place, tiles, time_limit=1e-9, batch_size=1))
    assert [(one.added, one.left) for one in done] == [(1, 4), (1, 3), (1, 2), (1, 1), (1, 0)]


def test_tasks_of_a_job_array_add_the_whole_to_one_archive(place: Path, tiles: Path) -> None:
    parts = [ivr.archive_add(place, tiles, shard=f"{number}/3").added for number in (1, 2, 3)]
    assert sum(parts) == 5
    assert len(reds(place)) == 5


def test_two_writers_that_add_the_same_files_at_once_leave_one_row_each(
    place: Path, tiles: Path
) -> None:
    threads = [
        Thread(target=ivr.archive_add, args=(place, tiles), kwargs={"block_rows": 1})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ivr.archive_add(place, tiles)
    assert sorted(row["name"] for row in rows_of(place, "name")) == [
        f"a/{number}.png" for number in range(1, 6)
    ]


def test_of_rows_with_one_name_the_last_one_stays(place: Path) -> None:
    archive = open_archive(place)
    archive.append(item_rows(["a", "b"], [[1, 1], [2, 2]]))
    archive.append(item_rows(["a"], [[3, 3]]))
    archive.append(item_rows(["a"], [[4, 4]], "voice"))
    assert remove_repeated(archive) == 1
    assert reds(place) == {"b": 2, "a": 3}
    assert open_archive(place).count() == 3


def test_a_model_of_other_codes_is_refused(
    place: Path, tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeCodeMaker("another training"))
    with pytest.raises(ArchiveError, match="makes other codes than those of"):
        ivr.archive_add(place, tiles)


@pytest.fixture(scope="module")
def dask_scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        yield cluster.scheduler_address


def test_workers_of_a_dask_cluster_read_the_files(
    place: Path, tiles: Path, dask_scheduler: str
) -> None:
    speak(tiles / "v.wav")
    manifest = tiles / "manifest.csv"
    manifest.write_text("image,voice,label\na/1.png,v.wav,pond\na/2.png,,pond\n")
    result = ivr.archive_add(place, manifest, scheduler_address=dask_scheduler)
    assert result.added == 3
    assert reds(place) == {"a/1.png": 10, "a/2.png": 20}
