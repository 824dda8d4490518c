"""Windows of a scene are parts of the picture that one read of the whole scene gives."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from scene_reader import empty_in, scene_here, windows_of

from ivr.features import raster_bands, raster_scene
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import read_image
from ivr.features.media import MediaError
from ivr.features.raster_file import read_raster
from ivr.features.raster_scene import SceneFile
from ivr.features.scene_windows import WindowGrid, open_scene

NO_DATA = 42113


def written(path: Path, values: np.ndarray, **options: Any) -> Path:
    """Write values [bands, height, width]."""
    laid = values if options.get("planarconfig") == "separate" else values.transpose(1, 2, 0)
    extra = ["unspecified"] * (len(values) - (3 if options.get("photometric") == "rgb" else 1))
    several = {"planarconfig": "contig", "extrasamples": extra} if len(values) > 1 else {}
    options = {"photometric": "minisblack", **several, **options}
    tifffile.imwrite(path, laid if len(values) > 1 else values[0], metadata=None, **options)
    return path


def values_of(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if dtype[0] == "f":
        return rng.normal(0, 100, shape).round().astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min, -9000), min(limits.max, 9000), shape).astype(dtype)


def picture_here(path: Path, pixels: PixelConfig) -> np.ndarray:
    """Return the whole picture, read at once in this process."""
    picture = read_raster(path.read_bytes(), "GTiff", (1,), pixels)
    return picture if len(picture) == 3 else picture.repeat(3, 0)


def layout(rng: np.random.Generator) -> dict[str, Any]:
    options: dict[str, Any] = {"compression": rng.choice([None, "lzw", "deflate"])}
    if rng.random() < 0.5:
        options["tile"] = (16 * int(rng.integers(1, 4)), 16 * int(rng.integers(1, 4)))
    else:
        options["rowsperstrip"] = int(rng.integers(1, 90))
    return options


# --- windows against one read of the whole ------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_windows_are_parts_of_the_whole_picture_and_cover_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    dtype = str(rng.choice(["u1", "u2", "i2", "f4", "f8"]))
    bands = int(rng.choice([1, 3, 5]))
    height, width = (int(n) for n in rng.integers(3, 90, 2))
    tags = [(NO_DATA, 2, 0, "7", True)] if rng.random() < 0.5 else []
    options = layout(rng) | ({"planarconfig": "separate"} if rng.random() < 0.3 else {})
    values = values_of(dtype, (bands, height, width), rng)
    if bands == 1:
        options.pop("planarconfig", None)
    path = written(tmp_path / "scene", values, extratags=tags, **options)
    chosen = PixelConfig(
        bands=rng.choice(["", "1"]) or (), stretch=rng.choice(["percentile", "minmax"])
    )
    whole = picture_here(path, chosen)
    tile, overlap = int(rng.integers(1, 40)), float(rng.choice([0, 0.25, 0.5, 0.9]))
    covered = np.zeros((height, width), bool)
    # Also pieces of some blocks of a row, and of parts of a block.
    monkeypatch.setattr(raster_bands, "PIECE_BYTES", int(rng.choice([90, 3000, 16 << 20])))
    monkeypatch.setattr(raster_scene, "CHUNK_BYTES", int(rng.choice([1000, 32 << 20])))
    with scene_here(path, chosen) as scene:
        grid = scene.grid(tile, overlap)
        windows = list(windows_of(scene, grid))
        for window in windows[:: max(1, len(windows) // 5)]:
            at = window.place
            alone = scene.part(at.x, at.y, at.width, at.height)
            np.testing.assert_array_equal(alone, window.pixels)
        with pytest.raises(MediaError, match=r"it is another scene now$"):
            scene.part(width - 1, 0, 2, 1)
        assert empty_in(scene, grid) + len(windows) == grid.count
    for window in windows:
        part = (
            slice(window.place.y, window.place.y + window.place.height),
            slice(window.place.x, window.place.x + window.place.width),
        )
        np.testing.assert_array_equal(window.pixels, whole[:, *part])
        covered[part] = True
    assert (covered | (whole.max(0) == 0)).all()


@pytest.mark.parametrize(("chunk", "band"), [(400, 1 << 20), (4000, 9000), (40_000, 100)])
def test_rows_are_the_same_however_many_are_read_at_once(
    chunk: int, band: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = values_of("u1", (3, 70, 50), np.random.default_rng(0))
    monkeypatch.setattr(raster_scene, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(raster_scene, "BAND_BYTES", band)
    for rows in (1, 16, 48):
        path = written(tmp_path / "scene", values, photometric="rgb", rowsperstrip=rows)
        with scene_here(path) as scene:
            (window,) = windows_of(scene, scene.grid(70, 0))
            np.testing.assert_array_equal(window.pixels, values[:, :, :50])
            for window in windows_of(scene, scene.grid(20, 0.5)):
                part = values[:, window.place.y :, window.place.x :][:, :20, :20]
                np.testing.assert_array_equal(window.pixels, part)


def test_a_scene_of_strips_is_decoded_once_however_much_windows_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = values_of("u1", (1, 300, 40), np.random.default_rng(0))
    path = written(tmp_path / "scene", values, rowsperstrip=10, compression="deflate")
    read: list[tuple[int, int]] = []
    pieces = raster_scene.SceneFile._painted

    def noted(self: SceneFile, window: Any, shape: Any = None) -> Any:
        read.append((int(window.row_off), int(window.height)))
        return pieces(self, window, shape)

    monkeypatch.setattr(raster_scene.SceneFile, "_painted", noted)
    monkeypatch.setattr(raster_scene, "CHUNK_BYTES", 4 * 40 * 35)
    with scene_here(path) as scene:
        assert len(list(windows_of(scene, scene.grid(20, 0.9)))) == 11 * 141
    assert read == [(top, 30) for top in range(0, 300, 30)]


@pytest.mark.parametrize(("dtype", "level"), [("u1", 0), ("u2", 0), ("u1", 90)])
def test_jpeg_2000_gives_windows_of_its_whole_picture(
    dtype: str, level: int, tmp_path: Path
) -> None:
    values = values_of(dtype, (40, 30, 3), np.random.default_rng(0))
    data = imagecodecs.jpeg2k_encode(values, level=level, reversible=level == 0, codecformat="jp2")
    (tmp_path / "scene").write_bytes(data)
    whole = read_image(tmp_path / "scene")
    with scene_here(tmp_path / "scene") as scene:
        for window in windows_of(scene, scene.grid(16, 0.5)):
            part = whole[:, window.place.y :, window.place.x :][
                :, : window.place.height, : window.place.width
            ]
            np.testing.assert_array_equal(window.pixels, part)


# --- where windows lie --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "tile", "overlap", "columns"),
    [
        (100, 50, 0.0, (0, 50)),
        (100, 50, 0.5, (0, 25, 50)),
        (101, 50, 0.5, (0, 25, 50, 51)),
        (30, 50, 0.5, (0,)),
        (51, 50, 0.0, (0, 1)),
        (4, 3, 0.9, (0, 1)),
    ],
)
def test_the_last_window_is_moved_inwards(
    width: int, tile: int, overlap: float, columns: tuple[int, ...]
) -> None:
    grid = WindowGrid(width, 10, tile, max(1, round(tile * (1 - overlap))))
    assert grid.columns == columns
    assert grid.size == (min(tile, width), min(tile, 10))
    assert grid.count == len(columns) * len(grid.rows)


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0.0), (8, 1.0), (8, -0.1)])
def test_a_grid_that_covers_nothing_is_refused(tile: int, overlap: float, tmp_path: Path) -> None:
    path = written(tmp_path / "scene", np.ones((1, 4, 4), np.uint8))
    with scene_here(path) as scene, pytest.raises(ValueError, match="tile must be 1 or more"):
        scene.grid(tile, overlap)


@pytest.mark.parametrize("chunk", [4 * 20 * 7, 1 << 20])
@pytest.mark.parametrize("rows", [[0], [5, 6], [0, 3, 4, 11], [2, 11], []])
def test_some_rows_of_windows_are_read_alone(
    rows: list[int], chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raster_scene, "CHUNK_BYTES", chunk)
    values = values_of("u1", (1, 64, 20), np.random.default_rng(0))
    path = written(tmp_path / "scene", values, rowsperstrip=3)
    with scene_here(path) as scene:
        grid = scene.grid(10, 0.5)
        every = list(windows_of(scene, grid))
        some = list(scene.every_window(grid, rows))
    wanted = [w for w in every if w.place.y in [grid.rows[row] for row in rows]]
    assert [w and w.place for w in some] == [w.place for w in wanted]
    for found, expected in zip(some, wanted, strict=True):
        assert found is not None
        np.testing.assert_array_equal(found.pixels, expected.pixels)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_windows_have_the_bounds_of_their_pixels(crs: str, tmp_path: Path) -> None:
    step = 10 if crs == "EPSG:32633" else 0.001
    transform = from_origin(13 if step < 1 else 400_000, 46 if step < 1 else 5e6, step, step)
    with rasterio.open(
        tmp_path / "scene", "w", driver="GTiff", width=50, height=40, count=1, dtype="uint8",
        crs=crs, transform=transform,
    ) as file:  # fmt: skip
        file.write(np.ones((1, 40, 50), np.uint8))
    with scene_here(tmp_path / "scene") as scene, rasterio.open(tmp_path / "scene") as file:
        for window in windows_of(scene, scene.grid(16, 0.5)):
            part = rasterio.windows.Window(
                window.place.x, window.place.y, window.place.width, window.place.height
            )
            bounds = rasterio.windows.bounds(part, file.transform)
            assert window.place.bounds == pytest.approx(bounds, rel=1e-12)
            degrees = transform_bounds(crs, "EPSG:4326", *bounds)
            assert window.place.degrees == pytest.approx(degrees, abs=1e-6)


def test_a_scene_without_coordinates_has_windows_without_bounds(tmp_path: Path) -> None:
    path = written(tmp_path / "scene", np.ones((1, 8, 8), np.uint8))
    with scene_here(path) as scene:
        (window,) = windows_of(scene, scene.grid(8, 0))
    assert (window.place.bounds, window.place.degrees, scene.place.crs) == (None, None, None)


# --- no data, stretch, preview ------------------------------------------------------------------


def test_windows_without_data_are_counted_and_partly_empty_ones_are_black_there(
    tmp_path: Path,
) -> None:
    values = np.zeros((1, 40, 40), np.uint16)
    values[0, 5:25, 5:25] = np.arange(1, 401).reshape(20, 20)
    path = written(tmp_path / "scene", values, extratags=[(NO_DATA, 2, 0, "0", True)])
    whole = read_image(path)
    with scene_here(path) as scene:
        windows = {(w.place.x, w.place.y): w for w in windows_of(scene, scene.grid(10, 0))}
        assert empty_in(scene, scene.grid(10, 0)) == 16 - 9
    assert set(windows) == {(x, y) for x in (0, 10, 20) for y in (0, 10, 20)}
    np.testing.assert_array_equal(windows[0, 0].pixels, whole[:, :10, :10])
    assert windows[0, 0].pixels[:, :5].max() == 0


def test_a_scene_without_any_data_gives_no_window(tmp_path: Path) -> None:
    path = written(
        tmp_path / "scene", np.zeros((1, 20, 20), np.uint8), extratags=[(NO_DATA, 2, 0, "0", True)]
    )
    with scene_here(path) as scene:
        assert list(windows_of(scene, scene.grid(10, 0.5))) == []
        assert empty_in(scene, scene.grid(10, 0.5)) == 9


def test_the_stretch_is_that_of_the_whole_scene_and_is_recorded(tmp_path: Path) -> None:
    values = np.concatenate([np.full((1, 10, 20), 100), np.full((1, 10, 20), 1000)], 1)
    values[0, 0, 0], values[0, -1, -1] = 100, 1100
    path = written(tmp_path / "scene", values.astype(np.uint16))
    with scene_here(path, PixelConfig(stretch="minmax")) as scene:
        assert scene.stretch == pytest.approx((100, 0.255))
        above, _, below, last = windows_of(scene, scene.grid(10, 0))
        assert above.pixels.max() == 0
        assert below.pixels.min() == below.pixels.max() == round(900 * 0.255)
        assert last.pixels.max() == 255
    with scene_here(path, PixelConfig(stretch="scale:50,0.1")) as scene:
        assert scene.stretch == (50, 0.1)
    with (
        pytest.raises(MediaError, match="values from 100 to 1100, which --stretch none"),
        scene_here(path, PixelConfig(stretch="none")) as scene,
    ):
        next(windows_of(scene, scene.grid(10, 0)))


def test_colours_of_a_palette_are_kept(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 256)) * 257
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = tmp_path / "scene"
    tifffile.imwrite(path, index, photometric="palette", colormap=colours.astype(np.uint16))
    with scene_here(path) as scene:
        (window,) = windows_of(scene, scene.grid(16, 0))
        assert scene.stretch is None
    np.testing.assert_array_equal(window.pixels, read_image(path))


@pytest.mark.parametrize("step", [1, 3, 7, 100])
def test_a_preview_has_one_pixel_of_each_step(step: int, tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(50), np.arange(64)).astype(np.uint8)
    path = written(tmp_path / "scene", ramp[None], rowsperstrip=8)
    with scene_here(path) as scene:
        picture = scene.preview(step)
    assert picture.shape == (3, -(-50 // step), -(-64 // step))
    near = ramp[::step, ::step].astype(int)
    assert abs(picture[0] - near).max() <= 2 * step


# --- files that cannot be used ------------------------------------------------------------------


def test_a_scene_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "scene", np.ones((1, 600, 9), np.uint8), rowsperstrip=1)

    def windows() -> Iterator[object]:
        with open_scene(path) as scene:
            yield from windows_of(scene, scene.grid(4, 0))

    found = windows()
    next(found)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(MediaError, match=r"^changed while it was read; call again$"):
        list(found)


def test_a_damaged_scene_is_refused_when_its_part_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = values_of("u1", (1, 300, 40), np.random.default_rng(0))
    path = written(tmp_path / "scene", values, rowsperstrip=10, compression="deflate")
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[-2]
    path.write_bytes(path.read_bytes()[: start + 40])
    monkeypatch.setattr(raster_scene, "CHUNK_BYTES", 4 * 40 * 10)
    found = []
    with pytest.raises(MediaError, match=r"^damaged, cut short"), scene_here(path) as scene:
        for window in windows_of(scene, scene.grid(40, 0)):
            found.append(window.place.y)
    assert found == [0, 40, 80, 120, 160, 200, 240][: len(found)]
    assert len(found) >= 6


def test_odd_coordinates_do_not_make_pixels_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "scene", np.ones((1, 8, 8), np.uint8))
    found = raster_scene.georeference

    def warned(dataset: Any) -> dict[str, Any]:
        logging.getLogger("rasterio._env").warning("CPLE_AppDefined: CRS of another definition")
        return found(dataset)

    monkeypatch.setattr(raster_scene, "georeference", warned)
    with scene_here(path) as scene:
        assert len(list(windows_of(scene, scene.grid(8, 0)))) == 1


def test_a_reader_that_ends_costs_its_scene_only(tmp_path: Path) -> None:
    path = written(tmp_path / "scene", np.ones((1, 4, 4), np.uint8))
    with pytest.raises(MediaError, match=r"^the reader of rasters ended on it \(SIGKILL\)"), \
            open_scene(path) as scene:  # fmt: skip
        scene._reader.process.kill()
        next(windows_of(scene, scene.grid(4, 0)))
    with open_scene(path) as scene:
        assert len(list(windows_of(scene, scene.grid(4, 0)))) == 1


def test_an_error_of_the_caller_is_no_fault_of_the_scene(tmp_path: Path) -> None:
    path = written(tmp_path / "scene", np.ones((1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"^of the caller$") as caught, open_scene(path):
        raise ValueError("of the caller")
    assert not isinstance(caught.value, MediaError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^empty file$"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), r"^not a TIFF or JPEG 2000; convert it"),
        (b"II*\0" + bytes(40), r"^damaged: it has no page$"),
        (b"\xff\x4f\xff\x51" + bytes(40), r"^damaged, cut short, or a kind of JPEG 2000"),
    ],
)
def test_what_is_no_scene_is_said_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "scene").write_bytes(content)
    with pytest.raises(MediaError, match=message), open_scene(tmp_path / "scene"):
        pass
    with pytest.raises(MediaError, match=r"^no such file$"), open_scene(tmp_path / "none"):
        pass


def test_a_turned_ycbcr_scene_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene"
    tifffile.imwrite(path, np.full((16, 16, 3), 100, np.uint8), photometric="ycbcr",
                     metadata=None, extratags=[(274, 3, 1, 3, True)])  # fmt: skip
    with (
        pytest.raises(MediaError, match=r"^YCbCr with an orientation other than"),
        scene_here(path),
    ):
        pass


def test_files_beside_a_scene_change_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", np.arange(100, dtype=np.uint8).reshape(1, 10, 10))
    beside = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>5</NoDataValue></PAMRasterBand>'
    (tmp_path / "a.tif.aux.xml").write_text(f"{beside}</PAMDataset>")
    written(tmp_path / "a.tif.msk", np.zeros((1, 10, 10), np.uint8))
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n500000\n4000000\n")
    with open_scene(path) as scene:
        (window,) = windows_of(scene, scene.grid(10, 0))
    np.testing.assert_array_equal(window.pixels[0].ravel(), np.arange(100))
    assert window.place.bounds is None
    assert sorted(os.listdir(tmp_path)) == ["a.tfw", "a.tif", "a.tif.aux.xml", "a.tif.msk"]


@pytest.mark.parametrize("seed", range(6))
def test_windows_of_jpeg_2000_are_parts_of_one_read_however_it_is_stored(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    bands, tile = int(rng.choice([1, 3])), int(rng.choice([64, 128, 400]))
    height, width = (int(n) for n in rng.integers(130, 400, 2))
    with MemoryFile() as made:
        values = values_of(str(rng.choice(["u1", "u2"])), (bands, height, width), rng)
        profile = {"driver": "GTiff", "width": width, "height": height, "count": bands}
        with made.open(**profile, dtype=values.dtype) as file:
            file.write(values)
        with made.open() as file:
            stored = {"quality": 100, "reversible": True, "blockxsize": tile, "blockysize": tile}
            rasterio.shutil.copy(file, tmp_path / "scene", driver="JP2OpenJPEG", **stored)
    whole = read_raster((tmp_path / "scene").read_bytes(), "JP2OpenJPEG", (), PixelConfig())
    monkeypatch.setattr(raster_scene, "CHUNK_BYTES", int(rng.choice([1000, 32 << 20])))
    monkeypatch.setattr(raster_scene, "JPEG_2000_THREADS", int(rng.choice([1, 4])))
    with scene_here(tmp_path / "scene") as scene:
        grid = scene.grid(int(rng.integers(20, 90)), float(rng.choice([0, 0.5])))
        windows = list(windows_of(scene, grid))
        assert len(windows) + empty_in(scene, grid) == grid.count
        for window in windows:
            at = window.place
            part = whole[:, at.y : at.y + at.height, at.x : at.x + at.width]
            np.testing.assert_array_equal(window.pixels, np.broadcast_to(part, window.pixels.shape))


@pytest.mark.parametrize(("tile", "most", "rows"), [(64, 40, 32), (48, 20, 16), (64, 64, 64)])
def test_no_part_that_is_read_begins_in_one_tile_and_ends_in_the_next(
    tile: int, most: int, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = values_of("u1", (1, 200, 64), np.random.default_rng(0))
    path = written(tmp_path / "scene", values, tile=(tile, 16), compression="deflate")
    read: list[tuple[int, int]] = []
    painted = raster_scene.SceneFile._painted

    def noted(self: SceneFile, window: Any, shape: Any = None) -> Any:
        read.append((int(window.row_off), int(window.row_off + window.height)))
        return painted(self, window, shape)

    monkeypatch.setattr(raster_scene.SceneFile, "_painted", noted)
    monkeypatch.setattr(raster_scene, "CHUNK_BYTES", 4 * 64 * 10)
    monkeypatch.setattr(raster_scene, "BAND_BYTES", 4 * 64 * most)
    with scene_here(path) as scene:
        for window in windows_of(scene, scene.grid(30, 0.5)):
            part = values[:, window.place.y :, window.place.x :][:, :30, :30]
            np.testing.assert_array_equal(window.pixels, part.repeat(3, 0))
    assert {(top // tile, (end - 1) // tile) for top, end in read} == {
        (one, one) for one in range(-(-200 // tile))
    }
    assert {end - top for top, end in read if end < 200} == {rows}
