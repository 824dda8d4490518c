"""Where and when a raster was taken: from the file alone, in its own units and in degrees."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

from ivr.features.raster_georeference import degrees_of
from ivr.features.raster_place import RasterPlace, raster_place


def scene(path: Path, tags: dict[str, str] | None = None, **options: Any) -> Path:
    profile = {"driver": "GTiff", "width": 40, "height": 30, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **{**profile, **options}) as file:
        file.write(np.ones((1, file.height, file.width), np.uint8))
        file.update_tags(**(tags or {}))
    return path


def place_of(path: Path) -> RasterPlace:
    place = raster_place(path.read_bytes())
    assert place is not None
    return place


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", from_origin(400_000, 5_000_000, 10, 10)),
        ("EPSG:32719", from_origin(400_000, 7_000_000, 30, 20)),
        ("EPSG:4326", from_origin(12.5, -3.25, 0.01, 0.02)),
        ("EPSG:3857", from_origin(-2e6, 3e6, 500, 500)),
        ("EPSG:3035", from_origin(4e6, 3e6, 1000, 1000)),
    ],
)
def test_bounds_are_those_of_rasterio_and_its_degrees(
    tmp_path: Path, crs: str, transform: rasterio.Affine
) -> None:
    place = place_of(scene(tmp_path / "a", crs=crs, transform=transform))
    with rasterio.open(tmp_path / "a") as file:
        bounds = tuple(file.bounds)
    assert place.crs == crs
    assert (place.width, place.height) == (40, 30)
    assert place.bounds == pytest.approx(bounds, rel=1e-12)
    assert place.pixel_size == pytest.approx((transform.a * -transform.e) ** 0.5)
    expected = transform_bounds(crs, "EPSG:4326", *bounds, densify_pts=1001)
    assert place.degrees == pytest.approx(expected, abs=2e-4)


def test_a_turned_raster_has_the_bounds_of_its_four_corners(tmp_path: Path) -> None:
    turned = from_origin(1000, 2000, 2, 2) @ rasterio.Affine.rotation(90)
    place = place_of(scene(tmp_path / "a", crs="EPSG:32633", transform=turned))
    corners = [turned @ corner for corner in ((0, 0), (40, 0), (0, 30), (40, 30))]
    across, down = zip(*corners, strict=True)
    assert place.bounds == pytest.approx((min(across), min(down), max(across), max(down)))
    assert place.pixel_size == pytest.approx(2)


def test_a_raster_across_the_180th_meridian_has_its_west_in_the_east(tmp_path: Path) -> None:
    place = place_of(
        scene(tmp_path / "a", crs="EPSG:32601", transform=from_origin(100_000, 100_000, 5000, 5000))
    )
    west, south, east, north = place.degrees or (0, 0, 0, 0)
    assert west > 179
    assert -180 < east < -178
    assert east + 360 - west == pytest.approx(1.8, abs=0.1)
    assert south < 0 < north


def test_a_raster_around_a_pole_has_all_longitudes() -> None:
    polar = CRS.from_epsg(3031)
    affine = (1000.0, 0.0, -20_000.0, 0.0, -1000.0, 20_000.0)
    around, beside = degrees_of(polar, affine, [[0, 0, 40, 40], [0, 0, 10, 10]])
    assert around is not None
    assert around[:3] == [-180, -90, 180]
    assert -90 < around[3] < -89
    assert beside is not None
    assert beside[2] - beside[0] < 90


def test_degrees_beyond_180_are_counted_from_the_other_side() -> None:
    affine = (1.0, 0.0, 200.0, 0.0, -1.0, 10.0)
    windows = [[0, 0, 10, 10], [155, 0, 10, 10], [0, 0, 360, 10]]
    found = degrees_of(CRS.from_epsg(4326), affine, windows)
    assert found == [[-160, 0, -150, 10], [-5, 0, 5, 10], [-180, 0, 180, 10]]


def test_a_place_without_degrees_is_none() -> None:
    earth = CRS.from_proj4("+proj=geos +h=35785831 +lon_0=0 +datum=WGS84")
    corner = (1e6, 0.0, -7e6, 0.0, -1e6, 7e6)
    beside_the_globe, on_it = degrees_of(earth, corner, [[0, 0, 2, 2], [6, 6, 2, 2]])
    assert beside_the_globe is None
    assert on_it == pytest.approx([-10, -10, 10, 10], abs=2)
    local = CRS.from_wkt('LOCAL_CS["ground",UNIT["metre",1]]')
    assert degrees_of(local, corner, [[0, 0, 1, 1]]) == [None]


def test_metres_from_the_centre_of_the_earth_have_no_degrees(tmp_path: Path) -> None:
    earth = from_origin(4_000_000, 500_000, 10, 10)
    place = place_of(scene(tmp_path / "a", crs="EPSG:4978", transform=earth))
    assert (place.crs, place.degrees) == ("EPSG:4978", None)
    assert place.bounds is not None


def test_a_raster_without_place_says_so(tmp_path: Path) -> None:
    place = place_of(scene(tmp_path / "a"))
    assert place == RasterPlace(40, 30, None, None, None, None)
    assert (place.bounds, place.pixel_size) == (None, None)
    points = [GroundControlPoint(0, 0, 10, 20), GroundControlPoint(29, 39, 11, 21)]
    scene(tmp_path / "a", gcps=points, crs="EPSG:4326")
    assert place_of(tmp_path / "a").bounds is None


def test_coordinates_without_a_system_are_kept(tmp_path: Path) -> None:
    place = place_of(scene(tmp_path / "a", transform=from_origin(100, 200, 2, 2)))
    assert (place.crs, place.degrees) == (None, None)
    assert place.bounds == (100, 140, 180, 200)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"TIFFTAG_DATETIME": "2026:01:02 03:04:05"}, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({"TIFFTAG_DATETIME": "2026:01:02 03:04:05", "ACQUISITION_DATE": "2025-12-31"},
         datetime(2025, 12, 31, tzinfo=UTC)),
        ({"ACQUISITION_DATE": "soon", "SENSING_TIME": "2020-02-29T23:30:00+02:00"},
         datetime(2020, 2, 29, 23, 30, tzinfo=timezone(timedelta(hours=2)))),
        ({"datetime": "20200229"}, datetime(2020, 2, 29, tzinfo=UTC)),
        ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00", "time": "2020-01-01"}, None),
    ],
)  # fmt: skip
def test_the_time_of_acquisition_is_preferred_to_that_of_the_file(
    tmp_path: Path, tags: dict[str, str], expected: datetime | None
) -> None:
    place = place_of(scene(tmp_path / "a", tags))
    assert place.time == expected


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"])
def test_a_time_that_utc_does_not_have_is_none(tmp_path: Path, text: str) -> None:
    assert place_of(scene(tmp_path / "a", {"ACQUISITION_DATE": text})).time is None


@pytest.mark.parametrize("pixel", [0.0, float("nan")])
def test_pixels_without_a_size_have_no_place(tmp_path: Path, pixel: float) -> None:
    transform = rasterio.Affine(pixel, 0, 5, 0, pixel, 5)
    place = place_of(scene(tmp_path / "a", crs="EPSG:4326", transform=transform))
    assert place.bounds is place.degrees is place.crs is place.pixel_size is None


def test_degrees_end_at_the_poles(tmp_path: Path) -> None:
    # As grids of weather have it: the middle of the first row is the pole.
    path = scene(tmp_path / "a", crs="EPSG:4326", transform=from_origin(0, 90.5, 1, 1))
    assert place_of(path).degrees == pytest.approx((0, 60.5, 40, 90))


def test_files_beside_a_raster_do_not_place_it(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n500000\n4000000\n")
    srs = "<PAMDataset><SRS>EPSG:32633</SRS></PAMDataset>"
    (tmp_path / "a.tif.aux.xml").write_text(srs)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert not file.transform.is_identity
    assert place_of(tmp_path / "a.tif").transform is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_have_no_place(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a", kind)
    assert raster_place((tmp_path / "a").read_bytes()) is None
