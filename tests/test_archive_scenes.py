"""Windows of a scene as rows of an archive: only what is new or changed, and found again."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from fake_code_maker import FakeCodeMaker, use
from PIL import Image
from rasterio.transform import from_origin
from scene_reader import read_here

import ivr
from ivr.config import OptionError
from ivr.features.image_bands import PixelConfig
from ivr.features.media import MediaError
from ivr.features.raster_scene import SceneFile
from ivr.features.scene_windows import WindowGrid
from ivr.pipeline.archive.archive import open_archive
from ivr.pipeline.archive.empty_windows import SceneReading, known_empty, reading_of
from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.extraction.file_stamps import stamp_of


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> FakeCodeMaker:
    read_here(monkeypatch)
    return use(monkeypatch)


@pytest.fixture
def place(tmp_path: Path, maker: FakeCodeMaker) -> Path:
    """An archive without items."""
    ivr.archive_create(tmp_path / "archive", tmp_path)
    return tmp_path / "archive"


def scene(path: Path, pixels: np.ndarray) -> Path:
    """Write pixels [height, width], grey, 0 for no data."""
    height, width = pixels.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "uint8",
               "nodata": 0, "crs": "EPSG:32632",
               "transform": from_origin(500_000, 5_500_000, 10, 10)}  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels.astype(np.uint8), 1)
        file.update_tags(TIFFTAG_DATETIME="2026:05:01 10:30:00")
    return path


def stripes() -> np.ndarray:
    """A scene of 40 x 32 pixels: columns 0 to 7 without data, then 10, 20, 30 and 40."""
    return np.repeat(np.arange(0, 50, 10), 8)[None].repeat(32, 0)


def rows_of(place: Path) -> dict[str, dict[str, Any]]:
    archive = open_archive(place)
    found = archive.rows(archive.codes("image")[1]).to_pylist()
    return {row["name"]: row for row in found}


def test_windows_become_rows_with_their_pixels_and_bounds(place: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    result = ivr.archive_add(place, path, tile=8, overlap=0.5, prefix="2026/")
    rows = rows_of(place)
    assert (result.added, result.replaced, result.unchanged) == (8 * 7, 0, 0)
    assert (result.empty, result.left, len(rows)) == (7, 0, 8 * 7)
    assert repr(result).endswith("56 rows added, 0 replaced, 0 unchanged, 7 windows without data")
    row = rows["2026/a.tif#16,4,8,8"]
    assert [row[f"window_{name}"] for name in ("x", "y", "width", "height")] == [16, 4, 8, 8]
    bounds = [row[name] for name in ("min_x", "min_y", "max_x", "max_y")]
    assert bounds == [500_160, 5_499_880, 500_240, 5_499_960]
    assert (row["file"], row["root"], row["crs"]) == ("a.tif", str(tmp_path), "EPSG:32632")
    assert (row["pixel_size"], row["time"].year) == (10, 2026)
    assert 9 < row["west"] < row["east"] < 9.01
    assert 49 < row["south"] < row["north"] < 50
    assert row["code"] == [20, 20]
    assert rows["2026/a.tif#4,0,8,8"]["code"][0] < 10  # half of it holds no data


def test_only_windows_that_are_new_or_changed_are_encoded(
    place: Path, tmp_path: Path, maker: FakeCodeMaker
) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    ivr.archive_add(place, path, tile=8, overlap=0)
    maker.batches.clear()
    again = ivr.archive_add(place, path, tile=8, overlap=0)
    assert (again.added, again.replaced, again.unchanged, again.empty) == (0, 0, 16, 4)
    assert sum(maker.batches) == 0
    more = ivr.archive_add(place, path, tile=16, overlap=0)
    assert (more.added, more.unchanged) == (6, 0)
    changed = stripes()
    changed[:, 32:] = 0
    changed[:, :8] = 90
    scene(path, changed)
    result = ivr.archive_add(place, path, tile=8, overlap=0)
    assert (result.added, result.replaced, result.unchanged, result.empty) == (4, 12, 0, 4)
    rows = rows_of(place)
    assert {row["window_x"] for row in rows.values()} == {0, 8, 16, 24}
    assert {row["window_width"] for row in rows.values()} == {8}


def test_a_stopped_addition_keeps_its_rows_and_continues(
    place: Path, tmp_path: Path, maker: FakeCodeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.pipeline.archive.scene_codes.BATCH", 6)
    path = scene(tmp_path / "a.tif", stripes())
    first = ivr.archive_add(place, path, tile=8, overlap=0, time_limit=1e-9)
    assert (first.added, first.finished) == (6, False)
    second = ivr.archive_add(place, path, tile=8, overlap=0)
    assert (second.added, second.unchanged, second.finished) == (10, 6, True)
    assert len(rows_of(place)) == 16


def test_tasks_of_a_job_array_add_different_rows_of_windows(place: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    for shard in ("1/3", "2/3", "3/3"):
        assert ivr.archive_add(place, path, tile=8, overlap=0, shard=shard).left == 0
    assert len(rows_of(place)) == 16
    assert ivr.archive_add(place, path, tile=8, overlap=0).added == 0


def test_a_search_in_an_archived_scene_encodes_its_query_alone(
    place: Path, tmp_path: Path, maker: FakeCodeMaker
) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    ivr.archive_add(place, path, tile=8, overlap=0.5)
    Image.new("RGB", (8, 8), (30, 30, 30)).save(tmp_path / "query.png")
    maker.batches.clear()
    windows = {"tile": 8, "overlap": 0.5}
    found = ivr.locate(path, image=tmp_path / "query.png", archive=place, **windows)
    assert (found.windows, found.empty, found.encoded) == (56, 7, 0)
    assert maker.batches == [1]
    alone = ivr.locate(path, image=tmp_path / "query.png", model=tmp_path, **windows)
    assert alone.queries == found.queries
    assert (alone.queries[0].places[0].x, alone.queries[0].places[0].distance) == (24, 0)
    other = scene(tmp_path / "b.tif", stripes() + (stripes() == 40))
    assert ivr.locate(other, image=tmp_path / "query.png", archive=place, **windows).encoded == 56


def test_scenes_of_one_name_from_two_folders_do_not_replace_each_other(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    ivr.archive_add(place, scene(tmp_path / "a.tif", stripes()), tile=8)
    twin = scene(tmp_path / "other" / "a.tif", stripes() // 2)
    with pytest.raises(ArchiveError, match=r"a.tif#\d+,\d+,8,8 is in .* give --prefix to keep"):
        ivr.archive_add(place, twin, tile=8)
    assert ivr.archive_add(place, twin, tile=8, root=tmp_path).added == 56
    with pytest.raises(ArchiveError, match="is not below the root"):
        ivr.archive_add(place, twin, root=tmp_path / "archive")


def test_a_damaged_scene_is_one_line(place: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(50))
    with pytest.raises(MediaError, match=r"a.tif: damaged: it has no page"):
        ivr.archive_add(place, tmp_path / "a.tif")
    path = scene(tmp_path / "a.tif", stripes())
    with pytest.raises(OptionError, match="leave out --scheduler-address"):
        ivr.archive_add(place, path, scheduler_address="tcp://nowhere:1")


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the first rows of the parts of scenes that are read from now on."""
    reads: list[int] = []
    rows = SceneFile.rows

    def noted(self: SceneFile, top: int) -> np.ndarray:
        reads.append(top)
        return rows(self, top)

    monkeypatch.setattr(SceneFile, "rows", noted)
    return reads


def test_windows_without_data_are_not_read_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    first = ivr.archive_add(place, path, tile=8, overlap=0)
    version = open_archive(place).version
    reads = counted_reads(monkeypatch)
    again = ivr.archive_add(place, path, tile=8, overlap=0)
    assert (again.added, again.unchanged, again.empty, again.left) == (0, 16, first.empty, 0)
    assert (reads, open_archive(place).version) == ([], version)
    Image.new("RGB", (8, 8), (30, 30, 30)).save(tmp_path / "query.png")
    found = ivr.locate(
        path, image=tmp_path / "query.png", archive=place, tile=8, overlap=0, count=1
    )
    assert (found.windows, found.empty, found.encoded, reads) == (16, 4, 0, [])
    # Under another name the windows are new, and those without data are known all the same.
    other = ivr.archive_add(place, path, tile=8, overlap=0, prefix="b/")
    assert (other.added, other.empty) == (16, 4)
    # A row that was removed comes back, and its row of windows alone is read.
    reads.clear()
    ivr.archive_remove(place, where="name = 'a.tif#8,16,8,8'")
    assert ivr.archive_add(place, path, tile=8, overlap=0).added == 1
    assert reads == [16]


def test_a_scene_without_any_data_is_not_read_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scene(tmp_path / "a.tif", 0 * stripes())
    assert ivr.archive_add(place, path, tile=8, overlap=0).empty == 20
    reads = counted_reads(monkeypatch)
    assert ivr.archive_add(place, path, tile=8, overlap=0).empty == 20
    assert reads == []
    assert ivr.archive_add(place, path, tile=16, overlap=0).empty == 6  # other windows
    assert reads


def test_a_stopped_addition_notes_the_windows_that_it_found_empty(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.pipeline.archive.scene_codes.BATCH", 4)
    path = scene(tmp_path / "a.tif", stripes())
    first = ivr.archive_add(place, path, tile=8, overlap=0, time_limit=1e-9)
    assert (first.added, first.empty, first.left) == (4, 1, 15)
    reads = counted_reads(monkeypatch)
    second = ivr.archive_add(place, path, tile=8, overlap=0)
    assert (second.added, second.unchanged, second.empty) == (12, 4, 4)
    assert reads == [8]  # the first row of windows is done
    noted = known_empty(str(place), reading_of_scene(path))
    assert noted.tolist() == [[True, False, False, False, False]] * 4
    elsewhere = SceneReading(1, reading_of_scene(path).grid, reading_of_scene(path).reading)
    assert not known_empty(str(place), elsewhere).any()


def reading_of_scene(path: Path) -> SceneReading:
    grid = WindowGrid(40, 32, 8, 8)
    return SceneReading(stamp_of(path.read_bytes()), grid, reading_of(PixelConfig()))


def half_empty() -> np.ndarray:
    """Another content, whose columns 24 to 39 hold no data."""
    pixels = stripes() // 2
    pixels[:, 24:] = 0
    return pixels


def test_a_scene_that_moved_leaves_no_row_of_its_earlier_content(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    ivr.archive_add(place, scene(tmp_path / "a.tif", stripes()), tile=8, overlap=0)
    ivr.archive_add(place, tmp_path / "a.tif", tile=16, overlap=0)
    moved = scene(tmp_path / "other" / "a.tif", half_empty())
    result = ivr.archive_add(place, moved, tile=8, overlap=0, moved=True)
    assert (result.added, result.replaced, result.removed) == (0, 8, 8 + 6)
    assert "14 rows of earlier content removed" in repr(result)
    assert {row["root"] for row in rows_of(place).values()} == {str(moved.parent)}
    assert len(rows_of(place)) == 8


def test_one_scene_under_two_prefixes_is_two_scenes(place: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    for prefix in ("x/", "y/"):
        ivr.archive_add(place, path, tile=8, overlap=0, prefix=prefix)
    scene(path, half_empty())
    result = ivr.archive_add(place, path, tile=8, overlap=0, prefix="x/")
    assert (result.replaced, result.removed) == (8, 8)
    names = [name.partition("/")[0] for name in rows_of(place)]
    assert (names.count("x"), names.count("y")) == (8, 16)


def test_windows_of_a_scene_in_another_folder_name_it_without_encoding(
    place: Path, tmp_path: Path, maker: FakeCodeMaker
) -> None:
    (tmp_path / "other").mkdir()
    ivr.archive_add(place, scene(tmp_path / "a.tif", stripes()), tile=8, overlap=0)
    ivr.archive_add(place, tmp_path / "a.tif", tile=16, overlap=0)
    moved = (tmp_path / "a.tif").rename(tmp_path / "other" / "a.tif")
    maker.batches.clear()
    stays = ivr.archive_add(place, moved, tile=8, overlap=0)
    assert {row["root"] for row in rows_of(place).values()} == {str(tmp_path)}
    result = ivr.archive_add(place, moved, tile=8, overlap=0, moved=True)
    assert (result.unchanged, stays.unchanged, maker.batches) == (16, 16, [])
    rows = rows_of(place)
    assert {row["root"] for row in rows.values()} == {str(tmp_path / "other")}
    assert len(rows) == 16 + 6


def test_tasks_of_a_job_array_remove_the_earlier_content_where_their_windows_are(
    place: Path, tmp_path: Path
) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    ivr.archive_add(place, path, tile=8, overlap=0)
    ivr.archive_add(place, path, tile=16, overlap=0)
    scene(path, half_empty())
    removed = [
        ivr.archive_add(place, path, tile=8, overlap=0, shard=f"{task}/3").removed
        for task in (1, 2, 3)
    ]
    assert (sum(removed), len(rows_of(place))) == (8 + 6, 8)
    assert min(removed) > 0


def test_windows_keep_the_columns_that_an_update_set(place: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    ivr.archive_add(place, path, tile=8, overlap=0, prefix="x/")
    manifest = tmp_path / "labels.csv"
    manifest.write_text('image,voice,label,clouds\n"a.tif#8,0,8,8",,pond,0.5\n')
    result = ivr.archive_update(place, manifest, prefix="x/")
    assert (result.updated, result.missing) == (1, 0)
    for pixels in (stripes(), stripes() // 2):
        ivr.archive_add(place, scene(path, pixels), tile=8, overlap=0, prefix="x/")
        row = rows_of(place)["x/a.tif#8,0,8,8"]
        assert (row["label"], row["clouds"], row["code"][0]) == ("pond", 0.5, pixels[0, 8])
        assert row["min_x"] == 500_080


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jobs": 2}, "--jobs belongs to a manifest or a folder; leave it out for a scene"),
        ({"trust_mtime": True}, "--trust-mtime belongs to a manifest or a folder"),
        ({"accept_spellings": True}, "--accept-spellings belongs to a manifest"),
        ({"voice_root": "."}, "a scene has no voices; leave out --voice-root"),
        ({"prefix": "a\nb/"}, r"prefix: 'a\\nb/' is not a path"),
    ],
)
def test_what_a_scene_cannot_obey_is_one_line(
    place: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    with pytest.raises(OptionError, match=words):
        ivr.archive_add(place, path, **options)


def test_verify_computes_codes_of_windows_again(place: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    ivr.archive_add(place, path, tile=8, overlap=0.5)
    result = ivr.archive_verify(place, sample=1000)
    assert (result.recomputed, result.rounded, result.faults) == (56, 0, ())
    assert ivr.archive_verify(place, sample=20).recomputed == 20
    held = open_archive(place)
    wrong = held.rows(held.codes("image")[1][:1])
    code = pa.FixedSizeListArray.from_arrays(pa.array([255, 255], pa.uint8()), 2)
    held.write(wrong.set_column(wrong.column_names.index("code"), "code", code))
    (name,) = wrong["name"].to_pylist()
    (fault,) = ivr.archive_verify(place, sample=1000).faults
    assert fault.startswith(f"{name}: ")
    assert fault.endswith(" bits of its code are not its model's")
    path.unlink()
    (fault,) = ivr.archive_verify(place, sample=1000).faults
    assert fault.startswith(f"{path}: ")


def test_verify_sees_a_prefix_whose_rows_are_of_an_earlier_content(
    place: Path, tmp_path: Path
) -> None:
    path = scene(tmp_path / "a.tif", stripes())
    for prefix in ("x/", "y/"):
        ivr.archive_add(place, path, tile=8, overlap=0, prefix=prefix)
    ivr.archive_add(place, scene(path, half_empty()), tile=8, overlap=0, prefix="x/")
    result = ivr.archive_verify(place, sample=0, files=True)
    (fault,) = result.faults
    assert fault.startswith("a.tif: has another content than when it was added")
    assert result.files == 1
    stale = [fault for fault in ivr.archive_verify(place, sample=1000).faults]
    assert len(stale) == 16
    assert all(fault.startswith("y/a.tif#") for fault in stale)


def test_a_file_that_is_named_as_a_window_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "tiles" / "a.png#0,0,8,8", "PNG")
    manifest = tmp_path / "tiles" / "manifest.csv"
    manifest.write_text('image,voice,label\n"a.png#0,0,8,8",,pond\n')
    with pytest.raises(ArchiveError, match="8,8 is named as the window of a scene is; rename"):
        ivr.archive_add(place, manifest)
