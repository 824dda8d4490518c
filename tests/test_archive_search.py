import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from archive_rows import empty_archive, item_rows
from conftest import assert_one_line
from conftest import ivr as called
from fake_code_maker import FakeCodeMaker, use
from PIL import Image
from tiny_world import World

import ivr
from ivr.config import OptionError
from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.distances import confidence
from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.archive.search import ArchiveSearchResult, geojson_of
from ivr.pipeline.packing.calibration import Calibration, as_stored
from ivr.pipeline.runtime.digests import record_digests

TIME = pa.timestamp("us", "UTC")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Three images and two voices of a made-up model."""
    use(monkeypatch, FakeCodeMaker("made up"))
    (tmp_path / "archive" / "model").mkdir(parents=True)
    held = empty_archive(tmp_path / "archive")
    held.append(
        item_rows(
            ["b.tif", "a.tif", "far.tif"],
            [[10, 0], [10, 0], [245, 255]],
            label=["pond", None, "forest"],
            time=pa.array([datetime(2026, 5, 1, tzinfo=UTC), None, None], TIME),
            west=[179.0, 9.0, None],
            east=[-179.0, 9.5, None],
            south=[-1.0, 49.0, None],
            north=[1.0, 50.0, None],
            clouds=[0.5, None, None],
        )
    )
    held.append(item_rows(["v.wav", "w.wav"], [[10, 1], [0, 0]], "voice", caption=["a pond", None]))
    return held


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image whose code is (10, 0)."""
    Image.fromarray(np.full((8, 8, 3), (10, 0, 0), np.uint8)).save(tmp_path / "query.png")
    return tmp_path / "query.png"


def asked(archive: Archive, image: Path, **options: Any) -> ArchiveSearchResult:
    found = ivr.search(archive.place, image=image, **options)
    assert isinstance(found, ArchiveSearchResult)
    return found


def test_an_image_finds_voices_by_default_and_images_when_asked(
    archive: Archive, image: Path
) -> None:
    voices = asked(archive, image)
    assert [(hit.name, hit.distance, hit.caption) for hit in voices.hits] == [
        ("v.wav", 1, "a pond"),
        ("w.wav", 2, ""),
    ]
    images = asked(archive, image, find="images", count=2)
    assert [(hit.name, hit.distance, hit.label) for hit in images.hits] == [
        ("b.tif", 0, "pond"),
        ("a.tif", 0, ""),
    ]
    assert images.version == archive.version
    assert images.hits[0].columns["clouds"] == 0.5
    assert images.hits[0].columns["time"] == "2026-05-01T00:00:00+00:00"
    assert "clouds" not in images.hits[1].columns


def test_conditions_and_the_largest_distance_limit_the_hits(archive: Archive, image: Path) -> None:
    def names(**options: Any) -> list[str]:
        return [hit.name for hit in asked(archive, image, find="images", **options).hits]

    assert names(where="time > '2026-01-01'") == ["b.tif"]
    assert names(bbox="9.2,49.5,9.3,49.6") == ["a.tif"]
    assert names(within=3) == ["b.tif", "a.tif"]
    assert names(where="label = 'sea'") == []
    assert "no item" in repr(asked(archive, image, find="images", where="label = 'sea'"))


def test_an_item_with_two_rows_is_shown_once_by_the_later_one(
    archive: Archive, image: Path
) -> None:
    archive.append(item_rows(["b.tif", "c.tif"], [[10, 0], [10, 1]], label=["sea", None]))
    hits = asked(archive, image, find="images", count=3).hits
    assert [(hit.name, hit.label) for hit in hits] == [
        ("a.tif", ""),
        ("b.tif", "sea"),
        ("c.tif", ""),
    ]


def test_the_confidence_compares_the_first_hit_with_the_whole_archive(
    archive: Archive, image: Path
) -> None:
    found = asked(archive, image, find="images").confidence
    assert found is not None
    # Distances 0, 0 and 16: the median is 0.
    assert (found.first, found.median, found.value) == (0, 0, 0.0)
    codes = np.array([[0, 1], [0, 15], [0, 255], [15, 255]], np.uint8)
    found = confidence(np.zeros(2, np.uint8), codes, 1)
    # Distances 1, 4, 8 and 12: the median is 6.
    assert (found.first, found.median) == (1, 6)
    assert found.value == pytest.approx(5 / 6)
    assert not found.unclear
    assert "probably about nothing" in repr(confidence(np.zeros(2, np.uint8), codes, 4))
    held = asked(archive, image, find="images", where="label = 'forest'").confidence
    assert held is not None and held.median == 0


def test_a_calibrated_model_decides_what_is_about_nothing_known(
    archive: Archive, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = FakeCodeMaker("made up")
    # From the query (10, 0): known items at 1, 8 and 16 bits.
    codes = np.array([[10, 1], [10, 255], [245, 255]], np.uint8)
    use(monkeypatch, maker)
    for threshold, unclear in ((0.8, False), (0.9, True)):
        monkeypatch.setattr(
            maker, "calibrations", {"image": Calibration(codes, threshold, 0.05, 20)}
        )
        found = asked(archive, image, find="images").confidence
        assert found is not None
        # The archive has 0, 0 and 16 bits, and alone gives 0.
        assert (found.value, found.first, found.known, found.median) == (1 - 1 / 8, 0, 1, 8)
        assert found.unclear is unclear
        told = called("search", archive.place, "--image", image, "--find", "images")
        assert ("probably about nothing known" in told.stdout) is unclear
        answer = called("search", archive.place, "--image", image, "--find", "images", "--json")
        assert json.loads(answer.stdout)["confidence"] == {
            "value": 0.875, "first": 0, "median": 8.0, "threshold": threshold, "known": 1,
            "unclear": unclear, "words": found.words,
        }  # fmt: skip
    # A search by voice is not measured against the calibration of images.
    monkeypatch.setattr(maker, "calibrations", {"voice": Calibration(codes, 0.9, 0.05, 20)})
    found = asked(archive, image, find="images").confidence
    assert found is not None and found.known is None


def test_archive_info_says_which_threshold_counts(packed: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(packed, tmp_path / "model"))

    def told(name: str) -> str:
        ivr.archive_create(tmp_path / name, model)
        return called("archive", "info", tmp_path / name).stdout.splitlines()[-1]

    plain = told("plain")
    assert plain.startswith("confidence: not calibrated; below the constant 0.5 a query")
    assert plain.endswith(f"then ivr archive update {tmp_path / 'plain'} --model MODEL")
    description = json.loads((model / "model.json").read_text())
    codes = np.arange(20, dtype=np.uint8)[:, None]
    kept = {
        modality: as_stored(Calibration(codes, threshold, 0.05, 40), "by hand")
        for modality, threshold in (("voice", 0.25), ("image", 0.75))
    }
    (model / "model.json").write_text(json.dumps({**description, "confidence": kept}))
    record_digests(model, ["model.json"])
    assert told("calibrated") == (
        "confidence: calibrated; below 0.25 (voice), 0.75 (image) a query is probably about "
        "nothing known"
    )
    assert ivr.archive_info(tmp_path / "calibrated").thresholds == {"voice": 0.25, "image": 0.75}
    shutil.rmtree(tmp_path / "calibrated" / "model")
    assert ivr.archive_info(tmp_path / "calibrated").thresholds is None
    line = called("archive", "info", tmp_path / "calibrated").stdout.splitlines()[-1]
    assert line.startswith("confidence: unknown, the model is not here or is damaged")


def test_a_model_that_was_packed_again_takes_the_place_of_that_of_an_archive(
    packed: Path, tmp_path: Path, world: World
) -> None:
    ivr.archive_create(tmp_path / "tiles", packed)
    asking = ("search", tmp_path / "tiles", "--voice", world.media / "pond_0.wav")
    note = f"the confidence is not calibrated, 0.5 is the limit; ivr archive info {tmp_path}/tiles"
    assert called(*asking).stderr.count(note) == 1
    model = Path(shutil.copytree(packed, tmp_path / "model"))
    description = json.loads((model / "model.json").read_text())
    codes = np.arange(20, dtype=np.uint8)[:, None]
    kept = {"voice": as_stored(Calibration(codes, 0.25, 0.05, 40), "by hand")}
    (model / "model.json").write_text(json.dumps({**description, "confidence": kept}))
    record_digests(model, ["model.json"])
    result = called("archive", "update", tmp_path / "tiles", "--model", model)
    assert result.stdout.endswith("model replaced; confidence: calibrated; below 0.25 (voice) a "
                                  "query is probably about nothing known\n")  # fmt: skip
    assert ivr.archive_info(tmp_path / "tiles").thresholds == {"voice": 0.25}
    assert "not calibrated" not in called(*asking).stderr
    copied = {path.name for path in (tmp_path / "tiles" / "model").iterdir()} - {".lock"}
    assert copied == {path.name for path in model.iterdir() if path.name[0] != "."}


def test_a_model_of_other_codes_or_a_run_takes_no_place(
    packed: Path, tmp_path: Path, world: World
) -> None:
    ivr.archive_create(tmp_path / "tiles", packed)
    before = (tmp_path / "tiles" / "model" / "model.json").read_bytes()
    model = Path(shutil.copytree(packed, tmp_path / "model"))
    description = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**description, "identity": "0" * 64}))
    record_digests(model, ["model.json"])
    for other, words in (
        (model, "makes other codes"),
        (world.run, "a run; pack it with ivr pack"),
        (tmp_path / "tiles" / "model", "is the model of the archive already"),
    ):
        result = called("archive", "update", tmp_path / "tiles", "--model", other)
        assert_one_line(result, words)
    assert_one_line(called("archive", "update", tmp_path / "tiles"), "give MANIFEST or --model", 2)
    assert (tmp_path / "tiles" / "model" / "model.json").read_bytes() == before


def test_geojson_has_the_boxes_and_two_polygons_across_the_180th_meridian(
    archive: Archive, image: Path
) -> None:
    found = geojson_of(asked(archive, image, find="images"))
    crossing, plain, nowhere = (feature["geometry"] for feature in found["features"])
    assert plain["coordinates"] == [
        [[9.0, 49.0], [9.5, 49.0], [9.5, 50.0], [9.0, 50.0], [9.0, 49.0]]
    ]
    assert crossing["type"] == "MultiPolygon"
    assert [part[0][0] for part in crossing["coordinates"]] == [[179.0, -1.0], [-180.0, -1.0]]
    assert nowhere is None
    assert found["features"][0]["properties"]["rank"] == 1
    assert found["version"] == archive.version
    assert (found["confidence"]["first"], found["warnings"]) == (0, [])


def test_the_command_prints_lines_json_and_geojson(archive: Archive, image: Path) -> None:
    lines = called("search", archive.place, "--image", image, "--find", "images").stdout
    assert lines.splitlines()[0] == "   1     0 bits  b.tif  pond"
    assert lines.splitlines()[-1].startswith("confidence 0.00: first hit at 0 bits")
    answer = json.loads(called("search", archive.place, "--image", image, "--json").stdout)
    assert answer["hits"][0]["name"] == "v.wav"
    assert answer["confidence"]["first"] == 1
    assert answer["version"] == archive.version
    places = json.loads(
        called(
            "search", archive.place, "--image", image, "--find", "images", "--geojson"
        ).stdout
    )  # fmt: skip
    assert places["type"] == "FeatureCollection"


@pytest.mark.parametrize(
    ("options", "words", "status"),
    [
        (("--where", "bogus = 1"), "'bogus = 1' cannot be used: there is no column 'bogus'", 2),
        (("--bbox", "1,2,3"), "four numbers WEST,SOUTH,EAST,NORTH", 2),
        (("--index",), "has no index; make one with ivr archive index", 1),
        (("--codes", "codes.h5"), "codes belongs to a run, which this is not", 2),
        (("--where", "label ="), "'label =' cannot be used: Expected: an expression", 2),
    ],
)
def test_what_an_archive_cannot_answer_is_one_line(
    archive: Archive, image: Path, options: tuple[str, ...], words: str, status: int
) -> None:
    assert_one_line(called("search", archive.place, "--image", image, *options), words, status)


def test_options_of_archives_are_refused_for_runs(tmp_path: Path, image: Path) -> None:
    result = called("search", tmp_path, "--image", image, "--where", "label = 'x'")
    assert_one_line(result, "where belongs to an archive, which this is not", 2)


def test_the_confidence_of_a_rare_modality_is_that_of_its_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = empty_archive(tmp_path / "archive")
    codes = np.random.default_rng(0).integers(0, 256, (600, 2))
    held.append(item_rows([f"{number}.tif" for number in range(600)], codes))
    held.append(item_rows(["a.wav", "b.wav"], [[0, 1], [0, 7]], "voice"))
    held.append(item_rows([f"{number}.tif" for number in range(600, 1200)], codes))
    ivr.archive_index(held.place, lists=2, queries=2)
    monkeypatch.setattr("ivr.pipeline.archive.archive.SAMPLE", 16)
    held = open_archive(held.place)
    code = np.array([0, 0], np.uint8)
    clear = held.search(code, modality="voice", count=1, index=True).confidence
    assert clear is not None
    assert (clear.first, clear.median) == (1, 2)


def test_an_index_finds_what_exact_search_finds(tmp_path: Path) -> None:
    held = empty_archive(tmp_path / "large")
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (1200, 2), dtype=np.uint8)
    names = [f"{number}.tif" for number in range(len(codes))]
    held.append(item_rows(names, codes.tolist(), label=["pond", "forest"] * 600))
    held.append(item_rows(["v.wav"], [[0, 0]], "voice"))
    result = ivr.archive_index(held.place, lists=4, queries=5)
    # Fewer lists than a query reads: nothing can be missed.
    assert result.recall == {"image": 1.0, "voice": 1.0}
    held.refresh()
    held.append(item_rows(["later.tif"], [[0, 0]], label=["pond"]))
    code = np.zeros(2, np.uint8)
    for where in (None, "label = 'pond'"):
        exact, near = (
            held.search(code, modality="image", count=5, where=where, index=index)
            for index in (False, True)
        )
        assert near.distances.tolist() == exact.distances.tolist()
    (later,) = held.rows(held.codes("image")[1][-1:], ["name"])["name"].to_pylist()
    assert later == "later.tif"
    with pytest.raises(ArchiveError, match="an index is of use from 1000 rows on"):
        ivr.archive_index(empty_archive(tmp_path / "small").place)


def test_asking_an_archive_with_a_voice_imports_no_heavy_library(tmp_path: Path) -> None:
    empty_archive(tmp_path / "archive").append(item_rows(["a.tif"], [[0, 0]]))
    soundfile.write(tmp_path / "query.wav", np.sin(np.arange(3200) / 5), 16_000)
    code = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import ivr
from ivr.pipeline.archive import archive_model
from light_code_maker import LightCodeMaker
archive_model.open_model = lambda *_, **__: LightCodeMaker()
found = ivr.search({str(tmp_path / "archive")!r}, voice={str(tmp_path / "query.wav")!r},
                   model={str(tmp_path)!r})
assert found.hits[0].name == "a.tif"
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "torchvision", "librosa", "numba", "sklearn", "matplotlib", "joblib"}
    assert heavy & set(json.loads(done.stdout.splitlines()[-1])) == set()


def test_columns_that_are_named_as_properties_of_geojson_do_not_replace_them(
    archive: Archive, image: Path
) -> None:
    given = {"rank": [7, 8], "distance": [70, 80], "Rank": [1, 2], "rank_": [5, 6]}
    archive.append(item_rows(["c.tif", "d.tif"], [[10, 0], [11, 0]], **given))
    found = asked(archive, image, find="images", where="distance > 0")
    assert [hit.columns["distance"] for hit in found.hits] == [70, 80]
    first, second = (one["properties"] for one in geojson_of(found)["features"])
    assert (first["rank"], first["distance"], second["rank"], second["distance"]) == (1, 0, 2, 1)
    assert (first["distance_"], first["Rank_"], first["rank_"], first["rank__"]) == (70, 1, 5, 7)


def test_an_archive_without_items_says_so(tmp_path: Path, archive: Archive, image: Path) -> None:
    archive.remove("modality = 'voice'")
    found = asked(archive, image)
    assert (found.lacks, found.to_json()["lacks"]) == ("voices", "voices")
    assert repr(found) == f"{archive.place}: holds no voices, so that there is nothing to find"
    nothing = asked(archive, image, find="images", where="label = 'sea'")
    assert repr(nothing) == f"{archive.place}: no item fulfils the conditions"


def test_a_table_without_a_database_is_refused(archive: Archive, image: Path) -> None:
    with pytest.raises(OptionError, match="--table is of a database; name the database with --en"):
        asked(archive, image, table="tiles")
