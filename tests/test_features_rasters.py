"""Rasters are read as GDAL and tifffile read them, whatever their bands, types and tags."""

import os
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from ivr.features import raster_bands
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import read_image
from ivr.features.media import MediaError
from ivr.features.raster_file import read_raster

HEIGHT, WIDTH = 20, 24
ORIENTATION, NO_DATA, GDAL_METADATA = 274, 42113, 42112


def written(path: Path, values: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, values, metadata=None, **options)
    return path


def stretched(values: np.ndarray, valid: np.ndarray, percents: tuple[float, float]) -> np.ndarray:
    """Values [bands, height, width] as the documentation says, with numpy's own percentiles."""
    low, high = np.percentile(values[valid].astype(np.float64), percents)
    scaled = (np.where(valid, values, low).astype(np.float64) - low) * (
        255 / max(high - low, 1e-30)
    )
    return np.where(valid, np.rint(np.clip(scaled, 0, 255)), 0).astype(np.uint8)


def values_of(dtype: str, bands: int, top: int, rng: np.random.Generator) -> np.ndarray:
    shape = (bands, HEIGHT, WIDTH)
    if dtype[0] == "f":
        return rng.normal(0, 100, shape).round().astype(dtype)
    low = 0 if dtype[0] == "u" else -min(top, 30_000)
    return rng.integers(low, min(top, 30_000), shape, endpoint=True).astype(dtype)


# --- the matrix -------------------------------------------------------------------------------

KINDS = [
    *(("minisblack", dtype, 1, 0) for dtype in ("u1", "u2", "u4", "i1", "i2", "i4")),
    *(("minisblack", dtype, 1, 0) for dtype in ("f2", "f4", "f8")),
    *(("minisblack", dtype, 5, 0) for dtype in ("u1", "u2", "i2", "f4")),
    *(("miniswhite", dtype, 1, 0) for dtype in ("u1", "u2", "u4")),
    *(("rgb", dtype, 3, 0) for dtype in ("u1", "u2", "u4", "i2", "f4", "f8")),
    *(("rgb", dtype, 4, 0) for dtype in ("u1", "u2", "f4")),
    *(("minisblack", dtype, 1, bits) for dtype, bits in (("u1", 2), ("u1", 4), ("u2", 12))),
    *(("miniswhite", dtype, 1, bits) for dtype, bits in (("u1", 4), ("u2", 12))),
]


@pytest.mark.parametrize(("photometric", "dtype", "bands", "bits"), KINDS)
def test_every_kind_of_tiff_gives_the_values_that_tifffile_reads(
    photometric: str, dtype: str, bands: int, bits: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng([len(photometric), ord(dtype[0]), int(dtype[1]), bands, bits])
    top = (1 << (bits or 8 * int(dtype[1]) - (dtype[0] == "i"))) - 1
    for _ in range(6):
        no_data = rng.choice([None, 7])
        compression = None if bits else rng.choice([None, "lzw", "deflate", "packbits", "zstd"])
        planar = rng.choice(["contig", "separate"])
        options = {"photometric": photometric, "compression": compression}
        options["byteorder"] = ">" if bits else rng.choice(["<", ">"])
        tags = [(ORIENTATION, 3, 1, int(rng.integers(1, 9)), True)]
        if no_data:
            tags.append((NO_DATA, 2, 0, str(no_data), True))
        if bits:
            options["bitspersample"] = bits
        values = values_of(dtype, bands, top, rng)
        if bands > 1:
            options["planarconfig"] = planar
            options["extrasamples"] = ["unspecified"] * (bands - (3 if photometric == "rgb" else 1))
        laid = values if bands > 1 and planar == "separate" else values.transpose(1, 2, 0)
        path = written(
            tmp_path / "scene", laid if bands > 1 else values[0], extratags=tags, **options
        )

        seen = tifffile.imread(path)
        seen = seen[None] if seen.ndim == 2 else seen
        seen = seen if seen.shape[0] == bands else seen.transpose(2, 0, 1)
        seen = seen[:3]
        valid = seen != no_data if no_data else np.ones(seen.shape, bool)
        if photometric == "miniswhite":
            seen = (top - seen.astype(np.int64)).astype(dtype)
        if dtype == "u1":
            expected = np.where(valid, np.rint(seen * (255 / min(top, 255))), 0)
        else:
            expected = stretched(seen, valid, (2, 98))
        found = read_image(path)
        np.testing.assert_array_equal(
            found, np.broadcast_to(expected, found.shape), f"{options} {tags}"
        )


def test_strips_give_the_pixels_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for dtype in ("u1", "i2", "f4", "f8"):
        values = values_of(dtype, 3, 255, rng)
        path = written(tmp_path / "scene", values.transpose(1, 2, 0), photometric="rgb",
                       rowsperstrip=3, extratags=[(NO_DATA, 2, 0, "7", True)])  # fmt: skip
        whole = read_raster(path.read_bytes(), "GTiff", (1,), PixelConfig())
        with monkeypatch.context() as patch:
            patch.setattr(raster_bands, "HELD_BYTES", 0)
            patch.setattr(raster_bands, "PIECE_BYTES", 500)
            parts = read_raster(path.read_bytes(), "GTiff", (1,), PixelConfig())
        np.testing.assert_array_equal(parts, whole)


# --- bands ------------------------------------------------------------------------------------


@pytest.fixture
def six_bands(tmp_path: Path) -> Path:
    """Band n holds 10 n; the fourth is called ``B8 (NIR)``, the fifth and sixth both ``SWIR``."""
    named = {3: "B8 (NIR)", 4: "SWIR", 5: "SWIR"}
    items = [
        f'<Item name="DESCRIPTION" sample="{band}" role="description">{name}</Item>'
        for band, name in named.items()
    ]
    text = f"<GDALMetadata>{''.join(items)}</GDALMetadata>"
    values = np.arange(10, 70, 10, np.uint8)[None, None].repeat(3, 0).repeat(4, 1)
    return written(
        tmp_path / "six", values, photometric="minisblack", planarconfig="contig",
        extrasamples=["unspecified"] * 5, extratags=[(GDAL_METADATA, 2, 0, text, True)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ("", [10, 20, 30]),
        ("4,3,2", [40, 30, 20]),
        ("6", [60, 60, 60]),
        ("b8 (nir),2,1", [40, 20, 10]),
    ],
)
def test_bands_are_chosen_by_number_and_by_description(
    six_bands: Path, bands: str, expected: list[int]
) -> None:
    config = PixelConfig(bands=bands) if bands else PixelConfig()
    assert read_image(six_bands, None, config)[:, 1, 1].tolist() == expected


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ("7", r"^no band 7; it has 6 bands$"),
        ("0", r"^no band 0; it has 6 bands$"),
        ("B1", r"^no band called 'B1'; it has B8 \(NIR\), SWIR, SWIR$"),
        ("SWIR", r"^bands 5 and 6 are both called 'SWIR'; choose by number$"),
    ],
)
def test_a_band_that_is_not_there_is_named(six_bands: Path, bands: str, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        read_image(six_bands, None, PixelConfig(bands=(bands,)))


def test_colours_in_another_order_are_found_by_their_meaning(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 4, "height": 3, "count": 4, "dtype": "uint8"}
    with rasterio.open(tmp_path / "scene.tif", "w", photometric="MINISBLACK", **profile) as file:
        for band, value in enumerate((10, 20, 30, 40), 1):
            file.write(np.full((3, 4), value, np.uint8), band)
        interpretations = rasterio.enums.ColorInterp
        file.colorinterp = [
            interpretations.undefined, interpretations.blue, interpretations.green,
            interpretations.red,
        ]  # fmt: skip
    (tmp_path / "scene.tif.aux.xml").unlink(missing_ok=True)
    assert read_image(tmp_path / "scene.tif")[:, 0, 0].tolist() == [40, 30, 20]


def test_two_bands_are_refused_until_they_are_chosen(tmp_path: Path) -> None:
    values = np.full((3, 4, 2), (10, 20), np.uint8)
    path = written(tmp_path / "scene", values, photometric="minisblack", planarconfig="contig",
                   extrasamples=["unspecified"])  # fmt: skip
    with pytest.raises(MediaError, match=r"^2 bands; choose one or three with --bands"):
        read_image(path)
    assert read_image(path, None, PixelConfig(bands="1,2,2"))[:, 0, 0].tolist() == [10, 20, 20]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_bands_of_a_picture_are_chosen_too(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / "scene", kind)
    found = read_image(tmp_path / "scene", None, PixelConfig(bands="3,2,1"))
    np.testing.assert_allclose(found[:, 4, 4], [50, 100, 200], atol=2)
    assert (read_image(tmp_path / "scene", None, PixelConfig(bands="2")) == found[1]).all()
    with pytest.raises(MediaError, match=r"^no band 4; it has 3 bands$"):
        read_image(tmp_path / "scene", None, PixelConfig(bands="4"))


# --- stretch ----------------------------------------------------------------------------------

REFLECTANCE = np.array([[-100, 0, 100, 2000, 6000, 10_000, 12_000]], np.int16)


@pytest.mark.parametrize(
    ("stretch", "expected"),
    [
        ("minmax", [0, 2, 4, 44, 129, 213, 255]),
        ("scale:0,0.0255", [0, 0, 3, 51, 153, 255, 255]),
        ("scale:-100,0.1", [0, 10, 20, 210, 255, 255, 255]),
    ],
)
def test_a_stretch_is_what_its_name_says(tmp_path: Path, stretch: str, expected: list[int]) -> None:
    path = written(tmp_path / "scene", REFLECTANCE, photometric="minisblack")
    assert read_image(path, None, PixelConfig(stretch=stretch))[2, 0].tolist() == expected


def test_no_stretch_takes_values_up_to_255_and_refuses_larger_ones(tmp_path: Path) -> None:
    none = PixelConfig(stretch="none")
    path = written(tmp_path / "scene", np.array([[0, 7, 255]], np.uint16), photometric="minisblack")
    assert read_image(path, None, none)[0, 0].tolist() == [0, 7, 255]
    written(path, REFLECTANCE, photometric="minisblack")
    with pytest.raises(MediaError, match=r"^values from -100 to 12000, which --stretch none does"):
        read_image(path, None, none)


@pytest.mark.parametrize("stretch", ["linear", "scale:1", "scale:0,0", "scale:a,b", "scale:0,inf"])
def test_an_unknown_stretch_is_refused(stretch: str) -> None:
    with pytest.raises(ValueError, match=r"stretch must be percentile, minmax, none or scale:OFF"):
        PixelConfig(stretch=stretch)


@pytest.mark.parametrize("bands", [("",), ("1", "", "2")])
def test_a_band_without_a_name_is_refused(bands: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"bands must be named, e.g. 4,3,2, got "):
        PixelConfig(bands=bands)


def test_any_number_of_bands_is_read_and_people_see_three(six_bands: Path) -> None:
    for bands in ("1,3", "6,5,4,1", "1,2,3,4,5,6"):
        config = PixelConfig(bands=bands)
        found = read_image(six_bands, None, config)[:, 1, 1].tolist()
        assert found == [10 * int(band) for band in bands.split(",")]
        assert config.count == len(found)
        assert len(read_image(six_bands, None, config.shown)) == 3
    assert PixelConfig(bands="6,5,4,1").shown.bands == ("6", "5", "4")
    assert PixelConfig(bands="6,5").shown.bands == ("6",)
    assert PixelConfig().shown == PixelConfig()


# --- no data ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_mask_in_the_file_is_left_out(tmp_path: Path, dtype: str) -> None:
    values = np.arange(1, 101, dtype=dtype).reshape(10, 10)
    profile = {"driver": "GTiff", "width": 10, "height": 10, "count": 1, "dtype": dtype}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "scene.tif", "w", **profile) as file,
    ):
        file.write(values, 1)
        file.write_mask(np.arange(100).reshape(10, 10) < 70)
    found = read_image(tmp_path / "scene.tif")
    assert found[:, 7:].max() == 0
    valid = (np.arange(100) < 70).reshape(1, 10, 10)
    expected = values if dtype == "uint8" else stretched(values[None], valid, (2, 98))[0]
    np.testing.assert_array_equal(found[0, :7], expected[:7])


def test_alpha_counts_beside_a_value_of_no_data(tmp_path: Path) -> None:
    values = np.stack([np.arange(100)] * 3 + [np.arange(100) >= 10], -1).astype(np.uint16)
    path = written(
        tmp_path / "scene", values.reshape(10, 10, 4), photometric="rgb",
        extrasamples=["unassalpha"], extratags=[(NO_DATA, 2, 0, "99", True)],
    )  # fmt: skip
    seen = np.arange(100).reshape(1, 10, 10).repeat(3, 0)
    expected = stretched(seen, (seen >= 10) & (seen < 99), (2, 98))
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_raster_of_no_data_is_refused_by_name(tmp_path: Path, dtype: str) -> None:
    path = written(tmp_path / "scene", np.full((4, 4), 9, dtype), photometric="minisblack",
                   extratags=[(NO_DATA, 2, 0, "9", True)])  # fmt: skip
    for stretch in ("percentile", "minmax", "none", "scale:0,1"):
        with pytest.raises(MediaError, match=r"^holds no valid pixel$"):
            read_image(path, None, PixelConfig(stretch=stretch))


# --- colour -----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 257])
def test_palettes_of_8_and_of_16_bits_give_their_colours(tmp_path: Path, factor: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 256))
    colours[:, 0] = 255
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = written(tmp_path / "scene", index, photometric="palette",
                   colormap=(colours * factor).astype(np.uint16))  # fmt: skip
    np.testing.assert_array_equal(read_image(path).reshape(3, -1), colours)


@pytest.mark.parametrize(("mode", "photometric"), [("CMYK", "separated"), ("YCbCr", "ycbcr")])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_other_colour_models_become_rgb_with_any_orientation(
    tmp_path: Path, mode: str, photometric: str, byteorder: str
) -> None:
    image = Image.new("RGB", (16, 8), (200, 100, 50))
    image.paste((20, 200, 90), (0, 0, 5, 3))
    for orientation in range(1, 9):
        path = written(
            tmp_path / "scene", np.asarray(image.convert(mode)), photometric=photometric,
            byteorder=byteorder, extratags=[(ORIENTATION, 3, 1, orientation, True)],
        )  # fmt: skip
        found = read_image(path).transpose(1, 2, 0).astype(int)
        np.testing.assert_allclose(found, np.asarray(image), atol=3)


def test_jpeg_inside_tiff_is_read_and_its_damage_is_noticed(tmp_path: Path) -> None:
    ramp = np.linspace(20, 230, 64)
    scene = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 250 - ramp), -1)
    path = written(tmp_path / "scene", scene.astype(np.uint8), photometric="rgb",
                   compression="jpeg")  # fmt: skip
    np.testing.assert_allclose(read_image(path).transpose(1, 2, 0), scene, atol=6)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start, length = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data[start + length // 2 : start + length // 2 + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"^damaged, cut short.*Corrupt JPEG data"):
        read_image(path)


@pytest.mark.parametrize("level", [0, 90])
@pytest.mark.parametrize("codec", ["jp2", "j2k"])
def test_jpeg_2000_is_read_and_refused_when_cut(tmp_path: Path, level: int, codec: str) -> None:
    scene = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    data = imagecodecs.jpeg2k_encode(scene, level=level, codecformat=codec, reversible=not level)
    (tmp_path / "scene").write_bytes(data)
    expected = imagecodecs.jpeg2k_decode(data).transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(tmp_path / "scene"), expected)
    for share in (0.2, 0.5, 0.8, 0.95):
        (tmp_path / "scene").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(MediaError, match=r"^damaged, cut short, or a kind of JPEG 2000"):
            read_image(tmp_path / "scene")


def test_16_bit_jpeg_2000_is_stretched(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (40, 30)).astype(np.uint16)
    (tmp_path / "scene").write_bytes(imagecodecs.jpeg2k_encode(values, level=0))
    expected = stretched(values[None], np.ones((1, 40, 30), bool), (2, 98))
    np.testing.assert_array_equal(read_image(tmp_path / "scene"), expected.repeat(3, 0))


# --- pages ------------------------------------------------------------------------------------


def pages(path: Path, *parts: tuple[np.ndarray, int]) -> Path:
    with tifffile.TiffWriter(path) as file:
        for values, subfile in parts:
            photometric = "rgb" if values.ndim == 3 else "minisblack"
            file.write(values, photometric=photometric, subfiletype=subfile, metadata=None)
    return path


@pytest.mark.parametrize("first", [True, False])
def test_a_preview_is_never_the_scene(tmp_path: Path, first: bool) -> None:
    scene, preview = np.full((8, 8, 3), 9, np.uint8), np.full((4, 4, 3), 77, np.uint8)
    parts = [(preview, 1), (scene, 0)] if first else [(scene, 0), (preview, 1)]
    found = read_image(pages(tmp_path / "scene", *parts))
    assert found.shape == (3, 8, 8)
    assert (found == 9).all()


def test_pages_of_one_band_are_joined_when_told_to(tmp_path: Path) -> None:
    path = pages(
        tmp_path / "scene", *((np.full((4, 5), value, np.uint8), 0) for value in (1, 2, 3))
    )
    with pytest.raises(MediaError, match=r"^3 pages \(5 x 4\); .* with --join-pages$"):
        read_image(path)
    joined = read_image(path, None, PixelConfig(join_pages=True))
    assert joined[:, 2, 2].tolist() == [1, 2, 3]
    turned = read_image(path, None, PixelConfig(join_pages=True, bands="3,2,1"))
    assert turned[:, 2, 2].tolist() == [3, 2, 1]


def test_pages_without_end_and_previews_alone_are_refused(tmp_path: Path) -> None:
    part = np.zeros((4, 4), np.uint8)
    path = pages(tmp_path / "scene", (part, 1), (part, 1))
    with pytest.raises(MediaError, match=r"^2 pages, all of them previews or masks$"):
        read_image(path)
    data = bytearray(written(path, part, photometric="minisblack").read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * entries, start)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"^damaged: its list of pages has no end$"):
        read_image(path)


# --- refused by name --------------------------------------------------------------------------


def test_complex_numbers_are_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "scene", np.ones((4, 4), np.complex64), photometric="minisblack")
    with pytest.raises(MediaError, match=r"^complex numbers; save their magnitudes$"):
        read_image(path)


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        (262, 8, r"^its values are CIELab; convert it to RGB or grey$"),
        (262, 32803, r"^its values are a colour filter array"),
        (259, 50013, r"^TIFF compression 50013, which is not read; save it with another"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    tmp_path: Path, tag: int, value: int, message: str
) -> None:
    path = written(tmp_path / "scene", np.ones((4, 4, 3), np.uint8), photometric="rgb")
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HH", tag, 3))
    struct.pack_into("<H", data, at + 8, value)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=message):
        read_image(path)


# --- nothing but the file ---------------------------------------------------------------------


def test_files_beside_a_raster_and_variables_of_the_user_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ivr.features import raster_process

    path = written(tmp_path / "a.tif", np.arange(100, dtype=np.uint8).reshape(10, 10),
                   photometric="minisblack")  # fmt: skip
    expected = read_image(path)
    beside = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>5</NoDataValue></PAMRasterBand>'
    (tmp_path / "a.tif.aux.xml").write_text(f"{beside}</PAMDataset>")
    with rasterio.open(path) as seen:
        assert seen.nodata == 5
    written(tmp_path / "a.tif.msk", np.zeros((10, 10), np.uint8), photometric="minisblack")
    (tmp_path / "gdalrc").write_text("[configoptions]\nGTIFF_FORCE_RGBA=YES\n")
    monkeypatch.setenv("GDAL_CONFIG_FILE", str(tmp_path / "gdalrc"))
    monkeypatch.setenv("GTIFF_FORCE_RGBA", "YES")
    monkeypatch.setattr(raster_process, "_idle", [])  # the next reader starts with these
    np.testing.assert_array_equal(read_image(path), expected)


def test_a_virtual_raster_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.vrt").write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with pytest.raises(MediaError, match=r"^not a JPEG, PNG, TIFF or JPEG 2000 image$"):
        read_image(tmp_path / "a.vrt")


def test_what_gdal_says_stays_off_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "scene", np.ones((40, 40, 3), np.uint8), photometric="rgb",
                   compression="lzw")  # fmt: skip
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MediaError, match=r"damaged, cut short"):
        read_image(path)
    buffer = BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[:-40] + b"\xff\xd9")
    with pytest.raises(MediaError, match=r"damaged, cut short"):
        read_image(path)
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == ["scene"]
