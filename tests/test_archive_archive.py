import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest
from archive_rows import SETTINGS, empty_archive, item_rows

from ivr.config import OptionError
from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.create import make_table
from ivr.pipeline.archive.lance_library import ArchiveError, place_of
from ivr.pipeline.archive.remove import archive_remove
from ivr.pipeline.archive.where import parse_bounds

TIME = pa.timestamp("us", "UTC")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return empty_archive(tmp_path / "archive")


def names_of(archive: Archive, row_ids: np.ndarray) -> list[str]:
    found: list[str] = archive.rows(row_ids, ["name"])["name"].to_pylist()
    return found


def found_names(archive: Archive, code: list[int], count: int = 10, **more: object) -> list[str]:
    query = np.array(code, np.uint8)
    nearest = archive.search(query, modality="image", count=count, **more)  # type: ignore[arg-type]
    return names_of(archive, nearest.row_ids)


def test_what_was_written_is_read_as_it_was(archive: Archive, tmp_path: Path) -> None:
    written = item_rows(
        ["a.tif", "b.tif"],
        [[0, 255], [1, 2]],
        label=["pond", None],
        time=pa.array([datetime(2026, 5, 1, 12, tzinfo=UTC), None], TIME),
        clouds=[0.25, None],
    )
    assert archive.write(written) == 2
    again = open_archive(tmp_path / "archive")
    codes, row_ids = again.codes("image")
    assert codes.tolist() == [[0, 255], [1, 2]]
    rows = again.rows(row_ids)
    for name in written.column_names:
        assert rows[name].to_pylist() == written[name].to_pylist(), name
    assert again.settings == SETTINGS


def test_the_nearest_codes_come_first_and_ties_in_the_order_of_addition(archive: Archive) -> None:
    archive.append(item_rows(["far", "z"], [[255, 255], [0, 1]]))
    archive.append(item_rows(["a", "same"], [[0, 2], [0, 0]]))
    nearest = archive.search(np.array([0, 0], np.uint8), modality="image", count=10)
    assert names_of(archive, nearest.row_ids) == ["same", "z", "a", "far"]
    assert nearest.distances.tolist() == [0, 1, 1, 16]


def test_compaction_and_replacement_keep_the_order_of_ties(archive: Archive) -> None:
    for name in ("d", "c", "b", "a"):
        archive.append(item_rows([name], [[0, 1]]))
    archive.remove("name = 'c'")
    archive.write(item_rows(["b"], [[0, 2]]))
    before = found_names(archive, [0, 0])
    archive.table.checkout_latest()
    archive.table.optimize()
    archive.refresh()
    assert found_names(archive, [0, 0]) == before == ["d", "b", "a"]


def test_a_row_of_the_same_modality_and_name_is_replaced(archive: Archive) -> None:
    archive.write(item_rows(["a"], [[0, 0]], label=["pond"]))
    archive.write(item_rows(["a"], [[7, 7]], "voice"))
    archive.write(item_rows(["a"], [[1, 1]], label=["forest"]))
    codes, row_ids = archive.codes("image")
    assert codes.tolist() == [[1, 1]]
    assert archive.rows(row_ids, ["label"])["label"].to_pylist() == ["forest"]
    assert archive.codes("voice")[0].tolist() == [[7, 7]]


def test_rows_come_in_the_order_asked_for_and_a_missing_one_is_named(archive: Archive) -> None:
    archive.write(item_rows(["a", "b", "c"], [[0, 0]] * 3))
    assert names_of(archive, np.array([2, 0, 2], np.uint64)) == ["c", "a", "c"]
    with pytest.raises(ArchiveError, match=r"version \d has no row 7"):
        archive.rows([0, 7])


def test_a_reader_keeps_its_version_until_it_refreshes(archive: Archive, tmp_path: Path) -> None:
    archive.write(item_rows(["a"], [[0, 0]]))
    reader = open_archive(tmp_path / "archive")
    reader.codes("image")
    archive.write(item_rows(["b"], [[0, 0]]))
    archive.remove("name = 'a'")
    assert reader.count() == 1
    assert names_of(reader, reader.codes("voice")[1]) == []
    assert found_names(reader, [0, 0]) == ["a"]
    assert reader.refresh() is True
    assert found_names(reader, [0, 0]) == ["b"]
    assert reader.refresh() is False


def test_conditions_leave_only_rows_that_fulfil_them(archive: Archive) -> None:
    times = [datetime(year, 3, 1, tzinfo=UTC) for year in (2024, 2025, 2026)]
    archive.write(
        item_rows(
            ["a", "b", "c"],
            [[0, 1], [0, 3], [0, 7]],
            time=pa.array(times, TIME),
            label=["2026-01-01", "pond", "pond"],
        )
    )
    for kept, where in [
        (["c"], "time > '2026-01-01' and label = 'pond'"),
        (["b", "c"], "'2025-01-01' < time"),
        (["a"], "time < '2025-01-01' and label = '2026-01-01'"),
        (["b"], "time between '2025-01-01' and '2025-12-31' and label = 'pond'"),
        (["a", "b"], "time in ('2024-03-01', '2025-03-01')"),
        (["c"], "time > timestamp '2026-01-01'"),
        (["c"], "TIME > '2026-01-01'"),
        (["b", "c"], "label = 'pond' and 'it''s ) -- ;' <> name"),
    ]:
        assert found_names(archive, [0, 0], where=where) == kept, where
        held = open_archive(archive.place)
        held.codes("image")
        assert found_names(held, [0, 0], where=where) == kept, where
    assert found_names(archive, [0, 0], within=2) == ["a", "b"]


@pytest.mark.parametrize(
    "where",
    [
        "true)) or ((true",
        "label = 'none') or (true",
        "name = 'a' -- and label = 'pond'",
        "name = 'a' /* and label = 'pond' */",
        "name = 'a'; label = 'pond'",
        "name = 'a",
        "(name = 'a'",
    ],
)
def test_a_condition_does_not_reach_beyond_its_brackets(archive: Archive, where: str) -> None:
    archive.write(item_rows(["a", "b"], [[0, 0], [0, 1]]))
    archive.write(item_rows(["v", "w"], [[0, 0], [0, 1]], "voice"))
    for use in (
        lambda: archive.count(where),
        lambda: found_names(archive, [0, 0], where=where),
        lambda: archive.remove(where),
        lambda: archive_remove(archive.place, where=where, modality="image"),
    ):
        with pytest.raises(ArchiveError, match="the condition"):
            use()
    assert open_archive(archive.place).count() == 4


def test_an_empty_name_removes_nothing(archive: Archive, tmp_path: Path) -> None:
    archive.write(item_rows(["a", "b"], [[0, 0], [0, 1]]))
    (tmp_path / "names.txt").write_text("a\n\n")
    with pytest.raises(OptionError, match="a name to remove is empty"):
        archive_remove(archive.place, [""])
    assert open_archive(archive.place).count() == 2
    assert archive_remove(archive.place, listed=tmp_path / "names.txt").removed == 1


def test_the_name_of_a_scene_removes_its_windows_only(archive: Archive) -> None:
    names = ["a.tif", "a.tif#0,0,8,8", "a.tif#1.png", "a.tif#x#0,0,8,8"]
    archive.write(item_rows(names, [[0, 0]] * 4))
    assert archive_remove(archive.place, ["a.tif"]).removed == 2
    archive.refresh()
    assert names_of(archive, archive.codes("image")[1]) == names[2:]


def test_words_after_a_condition_to_remove_are_an_error(archive: Archive) -> None:
    archive.write(item_rows(["a", "b"], [[0, 0], [0, 1]]))
    with pytest.raises(ArchiveError, match="sql parser error"):
        archive.remove("name = 'a' limit 1")
    assert archive.count() == 2


@pytest.mark.parametrize(
    ("bbox", "words"),
    [
        ("200,0,1,1", "'200,0,1,1': west must be in .-180, 180., got 200"),
        ("0,5,1,1", "south 5 above north 1"),
        ("nan,0,1,1", "west must be a finite number"),
    ],
)
def test_a_box_beside_the_globe_is_one_line_that_names_the_side(bbox: str, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        parse_bounds(bbox)


@pytest.mark.parametrize(
    ("bbox", "kept"),
    [
        ("0,0,10,10", ["near"]),
        ("175,-5,179,5", ["crossing"]),
        ("-179,-5,-100,5", ["crossing"]),
        ("170,-5,-170,5", ["crossing"]),
        ("-180,-90,180,90", ["near", "crossing"]),
        ("20,20,30,30", []),
    ],
)
def test_a_box_finds_rows_that_touch_it_across_the_180th_meridian_too(
    archive: Archive, bbox: str, kept: list[str]
) -> None:
    archive.write(
        item_rows(
            ["near", "crossing", "nowhere"],
            [[0, 0], [0, 1], [0, 3]],
            west=[5.0, 178.0, None],
            east=[6.0, -178.0, None],
            south=[1.0, -1.0, None],
            north=[2.0, 1.0, None],
        )
    )
    assert found_names(archive, [0, 0], bbox=parse_bounds(bbox)) == kept


def test_two_writers_at_once_lose_nothing(archive: Archive, tmp_path: Path) -> None:
    def write(number: int) -> None:
        own = open_archive(tmp_path / "archive")
        for part in range(4):
            own.append(item_rows([f"{number}_{part}"], [[0, 0]]))
            own.write(item_rows([f"{number}_{part}", f"{number}_{part}b"], [[0, 1]] * 2))

    threads = [Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    archive.refresh()
    names = [name for batch in archive.batches(["name"]) for name in batch["name"].to_pylist()]
    wanted = {f"{n}_{part}{end}" for n in range(3) for part in range(4) for end in ("", "b")}
    assert len(names) == len(set(names)) == 24
    assert set(names) == wanted


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda archive: archive.count("bogus = 1"), "there is no column 'bogus'"),
        (lambda archive: archive.count("label ="), "Expected: an expression, found: its end"),
        (lambda archive: archive.count("name = N'a'"), "LanceDB failed"),
        (lambda archive: archive.codes("picture"), "modality must be image or voice"),
        (
            lambda archive: archive.search(np.zeros(3, np.uint8), modality="image", count=1),
            "16 bits",
        ),
        (
            lambda archive: archive.write(item_rows(["a"], [[0, 0]], label=[3])),
            "column label is string in the archive, got int64",
        ),
        (lambda archive: archive.write(item_rows(["a", "a"], [[0, 0]] * 2)), "stands in 2"),
        (lambda archive: make_table(archive.place, SETTINGS), "holds an archive already"),
        (lambda archive: open_archive(f"{archive.place}/x"), "no such folder.*; make one with"),
    ],
)
def test_a_wrong_use_is_one_line(archive: Archive, use: object, words: str) -> None:
    with pytest.raises(ArchiveError, match=words) as caught:
        use(archive)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    assert ".rs" not in str(caught.value)


def test_an_address_may_be_a_path() -> None:
    assert place_of(Path("s3://bucket/tiles/")) == place_of("s3://bucket/tiles/")
    assert place_of("s3://bucket/tiles/") == "s3://bucket/tiles"
    assert place_of("s3").endswith("/s3")


def test_reading_imports_no_torch(archive: Archive) -> None:
    archive.write(item_rows(["a"], [[0, 0]]))
    code = f"""
import json, sys, numpy
from ivr.pipeline.archive.archive import open_archive
found = open_archive({archive.place!r}).search(
    numpy.zeros(2, numpy.uint8), modality="image", count=1)
assert found.distances.tolist() == [0]
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "torchvision", "librosa", "numba", "h5py", "sklearn", "scipy", "matplotlib"}
    assert heavy & set(json.loads(done.stdout)) == set()
