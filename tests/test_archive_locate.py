"""Places in a scene: heat maps, best places, files, codes that are kept."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import soundfile
from fake_code_maker import FakeCodeMaker, use
from PIL import Image
from rasterio.transform import from_origin
from scene_reader import read_here

import ivr
from ivr.features.atomic_files import InTheWayError
from ivr.features.media import MediaError
from ivr.features.scene_windows import WindowGrid
from ivr.features.store import StoreError
from ivr.pipeline.archive.heat_map import best_places, heat_map
from ivr.pipeline.archive.locate import LocateError
from ivr.pipeline.runtime.progress import reporting


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> FakeCodeMaker:
    read_here(monkeypatch)
    return use(monkeypatch)


def scene(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """Write pixels [height, width, 3]."""
    height, width, bands = pixels.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": bands,
               "dtype": pixels.dtype.name, "photometric": "RGB"}  # fmt: skip
    with rasterio.open(path, "w", **{**profile, **options}) as file:
        file.write(pixels.transpose(2, 0, 1))
    return path


PLACED = {"crs": "EPSG:32633", "transform": from_origin(400_000, 5_000_000, 10, 10)}


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """A white scene of 64 x 48 pixels with a black square at 24 to 39, 8 to 23."""
    pixels = np.full((48, 64, 3), 255, np.uint8)
    pixels[8:24, 24:40] = 0
    return scene(tmp_path / "scene.tif", pixels, **PLACED)


@pytest.fixture
def black(tmp_path: Path) -> Path:
    """A query that is the black square."""
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    return tmp_path / "black.png"


# --- heat maps ----------------------------------------------------------------------------------


def slow_heat(grid: WindowGrid, distances: np.ndarray) -> np.ndarray:
    """The mean over the pixels of a cell of the mean over the windows, pixel by pixel."""
    sums, counts = np.zeros((grid.height, grid.width)), np.zeros((grid.height, grid.width))
    for row, y in enumerate(grid.rows):
        for column, x in enumerate(grid.columns):
            if np.isfinite(distances[row, column]):
                part = (slice(y, y + grid.size[1]), slice(x, x + grid.size[0]))
                sums[part] += distances[row, column]
                counts[part] += 1
    cells = np.full((-(-grid.height // grid.stride), -(-grid.width // grid.stride)), np.nan)
    for at in np.ndindex(cells.shape):
        part = tuple(slice(one * grid.stride, (one + 1) * grid.stride) for one in at)
        if counts[part].any():
            cells[at] = sums[part].sum() / counts[part].sum()
    return cells


@pytest.mark.parametrize("seed", range(12))
def test_a_cell_has_the_mean_of_the_windows_over_it_by_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height, tile = (int(n) for n in rng.integers(3, 40, 3))
    grid = WindowGrid(width, height, tile, int(rng.integers(1, tile + 1)))
    shape = len(grid.rows), len(grid.columns)
    distances = rng.integers(0, 64, shape).astype(float)
    distances[rng.random(shape) < 0.3] = np.nan
    np.testing.assert_allclose(heat_map(grid, distances), slow_heat(grid, distances), rtol=1e-5)


def test_the_best_places_are_nearest_first_without_overlapping_neighbours() -> None:
    grid = WindowGrid(50, 20, 20, 10)
    distances = np.array([[9.0, 3.0, 2.0, 3.0]])
    heat = heat_map(grid, distances)
    found = [(one.column, one.distance) for one in best_places(grid, distances, heat, 10)]
    assert found == [(2, 2), (0, 9)]
    assert len(best_places(grid, distances, heat, 1)) == 1


def test_places_at_equal_distance_are_ordered_by_what_surrounds_them() -> None:
    grid = WindowGrid(70, 10, 10, 5)
    distances = np.full((1, 13), 8.0)
    distances[0, [2, 8]] = 1.0
    distances[0, 9] = 2.0
    heat = heat_map(grid, distances)
    assert [one.column for one in best_places(grid, distances, heat, 2)] == [8, 2]
    distances[0, 9] = 8.0
    heat = heat_map(grid, distances)
    assert [one.column for one in best_places(grid, distances, heat, 2)] == [2, 8]


def test_windows_without_data_are_no_places() -> None:
    grid = WindowGrid(30, 10, 10, 10)
    distances = np.array([[np.nan, 5.0, np.nan]])
    heat = heat_map(grid, distances)
    assert np.isnan(heat).tolist() == [[True, False, True]]
    assert [one.column for one in best_places(grid, distances, heat, 3)] == [1]


# --- a search -----------------------------------------------------------------------------------


def test_the_black_square_is_found_and_files_show_it(
    field: Path, black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    found = ivr.locate(
        field, image=black, model=tmp_path, tile=16, overlap=0.5, count=3,
        out=tmp_path / "heat.tif", overlay=tmp_path / "heat.png",
        places=tmp_path / "places.geojson",
    )  # fmt: skip
    assert (found.windows, found.empty, found.encoded) == (7 * 5, 0, 7 * 5)
    (query,) = found.queries
    best = query.places[0]
    assert (best.x, best.y, best.distance) == (24, 8, 0)
    assert best.bounds == (400_240, 4_999_760, 400_400, 4_999_920)
    assert [one.rank for one in query.places] == [1, 2, 3]
    with rasterio.open(tmp_path / "heat.tif") as file, rasterio.open(field) as original:
        assert (file.width, file.height, file.count) == (8, 6, 1)
        assert file.crs == original.crs
        assert file.transform == original.transform @ rasterio.Affine.scale(8)
        assert file.descriptions == (str(black),)
        heat = file.read(1)
    assert np.argwhere(heat == heat.min()).tolist()[0] == [1, 3]
    # Of the four windows over it, one is black (0 bits), the others have means of 127 or 191.
    assert heat.min() == (0 + 14 + 14 + 14) / 4
    places = json.loads((tmp_path / "places.geojson").read_text())
    assert places["coordinates"] == "degrees of WGS 84"
    ring = np.array(places["features"][0]["geometry"]["coordinates"][0])
    assert ring[0].tolist() == ring[-1].tolist()
    west, south, east, north = best.degrees or (0, 0, 0, 0)
    assert [ring[:, 0].min(), ring[:, 0].max()] == pytest.approx([west, east], abs=1e-6)
    assert [ring[:, 1].min(), ring[:, 1].max()] == pytest.approx([south, north], abs=1e-6)
    turns = np.diff(ring, axis=0)
    assert np.cross(turns[:-1], turns[1:]).min() > 0  # anticlockwise
    assert Image.open(tmp_path / "heat.png").size == (64, 48)
    assert repr(found).splitlines()[1].split()[:3] == ["1", "0", "bits"]
    assert len(found.rows()) == 3


def test_the_code_of_a_window_is_that_of_the_picture_cut_out(
    tmp_path: Path, maker: FakeCodeMaker
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    path = scene(tmp_path / "scene.tif", pixels)
    Image.fromarray(pixels[7:31, 16:40]).save(tmp_path / "cut.png")
    pixels_there = scene(tmp_path / "moved.tif", pixels[7:])
    found = ivr.locate(
        pixels_there, image=tmp_path / "cut.png", model=tmp_path, tile=24, overlap=0.5, count=1
    )
    assert (found.queries[0].places[0].distance, found.queries[0].places[0].x) == (0, 16)
    assert path.exists()


@pytest.mark.parametrize(("device", "said"), [("cpu", True), ("cuda", False), (None, False)])
def test_many_windows_with_a_run_on_a_processor_are_better_made_by_a_packed_model(
    device: str | None,
    said: bool,
    field: Path,
    black: Path,
    maker: FakeCodeMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = device and SimpleNamespace(device=SimpleNamespace(type=device))
    monkeypatch.setattr(maker, "network", network, raising=False)
    monkeypatch.setattr("ivr.pipeline.archive.scene_codes._LONG", 12)
    with caplog.at_level("INFO"):
        ivr.locate(field, image=black, model=tmp_path, tile=16, overlap=0)
        assert ("a packed model (ivr pack RUN --out MODEL)" in caplog.text) == said
        caplog.clear()
        ivr.locate(field, image=black, model=tmp_path, tile=24, overlap=0)  # six windows
    assert "packed model" not in caplog.text


def test_several_queries_are_answered_in_one_pass_over_the_scene(
    field: Path, black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(4000) / 5), 16_000)
    Image.new("RGB", (8, 8), (255, 255, 255)).save(tmp_path / "white.png")
    found = ivr.locate(
        field, voice=tmp_path / "a.wav", image=[black, tmp_path / "white.png"], model=tmp_path,
        tile=16, overlap=0, out=tmp_path / "heat.tif", overlay=tmp_path / "heat.png",
    )  # fmt: skip
    assert [one.query.name for one in found.queries] == ["a.wav", "black.png", "white.png"]
    assert found.queries[2].places[0].distance == 0
    with rasterio.open(tmp_path / "heat.tif") as file:
        assert file.count == 3
    assert Image.open(tmp_path / "heat.png").size == (3 * 64, 48)
    assert sum(maker.batches) == 12 + 3


def test_a_scene_without_coordinates_has_places_in_pixels(
    black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    path = scene(tmp_path / "scene.tif", np.full((32, 32, 3), 255, np.uint8))
    found = ivr.locate(
        path, image=black, model=tmp_path, tile=16, overlap=0, count=1,
        out=tmp_path / "heat.tif", places=tmp_path / "places.json",
    )  # fmt: skip
    assert found.crs is found.queries[0].places[0].degrees is None
    places = json.loads((tmp_path / "places.json").read_text())
    assert places["coordinates"] == "pixels of the scene"
    ring = places["features"][0]["geometry"]["coordinates"][0]
    assert ring == [[0, 0], [16, 0], [16, 16], [0, 16], [0, 0]]
    with rasterio.open(tmp_path / "heat.tif") as file:
        assert file.crs is None
        assert file.transform == rasterio.Affine.scale(16)


def test_places_across_the_180th_meridian_are_two_boxes(
    black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    across = {"crs": "EPSG:4326", "transform": from_origin(179, 10, 0.1, 0.1)}
    path = scene(tmp_path / "scene.tif", np.full((16, 16, 3), 9, np.uint8), **across)
    ivr.locate(path, image=black, model=tmp_path, tile=16, places=tmp_path / "p.geojson")
    (feature,) = json.loads((tmp_path / "p.geojson").read_text())["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    (first,), (second,) = feature["geometry"]["coordinates"]
    assert [point[0] for point in first[:2]] == pytest.approx([179, 180])
    assert [point[0] for point in second[:2]] == pytest.approx([-180, -179.4])


def test_nodata_is_nodata_in_the_heat_map(
    black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    pixels = np.full((16, 48, 3), 9, np.uint8)
    pixels[:, :32] = 0
    path = scene(tmp_path / "scene.tif", pixels, nodata=0, **PLACED)
    found = ivr.locate(
        path, image=black, model=tmp_path, tile=16, overlap=0, out=tmp_path / "heat.tif"
    )
    assert (found.windows, found.empty) == (1, 2)
    with rasterio.open(tmp_path / "heat.tif") as file:
        assert file.read_masks(1).tolist() == [[0, 0, 255]]


# --- codes that are kept ------------------------------------------------------------------------


def test_codes_are_kept_and_only_missing_ones_are_made(
    field: Path, black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    kept = {"model": tmp_path, "codes": tmp_path / "codes.h5", "tile": 16}
    first = ivr.locate(field, image=black, **kept)
    maker.batches.clear()
    again = ivr.locate(field, image=black, **kept)
    assert again.queries == first.queries
    assert (first.encoded, again.encoded, sum(maker.batches)) == (35, 0, 1)
    assert ivr.locate(field, image=black, **{**kept, "tile": 24}).encoded == 15
    maker.identity = "another model"
    assert ivr.locate(field, image=black, **{**kept, "tile": 24}).encoded == 15
    pixels = np.full((48, 64, 3), 7, np.uint8)
    scene(field, pixels, **PLACED)
    assert ivr.locate(field, image=black, **{**kept, "tile": 24}).encoded == 15


def test_a_stopped_call_continues_from_its_codes(
    field: Path, black: Path, maker: FakeCodeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.pipeline.archive.scene_codes.BATCH", 10)
    kept = {"model": tmp_path, "codes": tmp_path / "codes.h5", "tile": 16}

    def stop_at(what: str, done: int, total: int) -> None:
        if (what, done) == ("windows", 25):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), reporting(stop_at):
        ivr.locate(field, image=black, **kept)
    found = ivr.locate(field, image=black, **kept)
    assert (found.windows, found.encoded) == (35, 15)
    assert found.queries == ivr.locate(field, image=black, model=tmp_path, tile=16).queries


def test_a_damaged_file_of_codes_is_refused(
    field: Path, black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    kept = {"model": tmp_path, "codes": tmp_path / "codes.h5", "tile": 16}
    ivr.locate(field, image=black, **kept)
    data = bytearray((tmp_path / "codes.h5").read_bytes())
    data[-3] ^= 1
    (tmp_path / "codes.h5").write_bytes(data)
    with pytest.raises(StoreError, match=r"codes\.h5: damaged"):
        ivr.locate(field, image=black, **kept)


# --- what cannot be meant -----------------------------------------------------------------------


def test_calls_that_cannot_be_meant_are_refused(
    field: Path, black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    given = {"image": black, "model": tmp_path}
    before = field.read_bytes()
    with pytest.raises(LocateError, match="say what to look for"):
        ivr.locate(field, model=tmp_path)
    with pytest.raises(LocateError, match="give a model or an archive, and not both"):
        ivr.locate(field, image=black)
    with pytest.raises(LocateError, match="and not both"):
        ivr.locate(field, archive=tmp_path, **given)
    with pytest.raises(InTheWayError, match="something else than a heat map of ivr"):
        ivr.locate(field, out=field, **given)
    with pytest.raises(LocateError, match="is to be written and is used otherwise too"):
        ivr.locate(field, out=tmp_path / "a", overlay=tmp_path / "a", **given)
    with pytest.raises(LocateError, match=r"black.png: is to be written and is used otherwise"):
        ivr.locate(field, overlay=black, **given)
    with pytest.raises(MediaError, match=r"black.png: not a TIFF or JPEG 2000"):
        ivr.locate(black, **given)
    assert field.read_bytes() == before


def test_a_heat_map_replaces_a_heat_map(
    field: Path, black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    for tile in (16, 24):
        ivr.locate(field, image=[black] * 12, model=tmp_path, tile=tile, overlap=0.9,
                   out=tmp_path / "heat.tif")  # fmt: skip
    with rasterio.open(tmp_path / "heat.tif") as file:
        assert (file.tags()["TILE"], file.count) == ("24", 12)


def test_a_scene_without_any_data_is_refused(
    black: Path, maker: FakeCodeMaker, tmp_path: Path
) -> None:
    path = scene(tmp_path / "scene.tif", np.zeros((16, 16, 3), np.uint8), nodata=0)
    with pytest.raises(MediaError, match=r"scene.tif: holds no valid pixel"):
        ivr.locate(path, image=black, model=tmp_path)
