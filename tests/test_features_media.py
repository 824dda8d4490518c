"""Files from elsewhere: right pixels and samples, or one line that says what is wrong."""

import struct
import warnings
import wave
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageOps

from ivr.features import media, voice_file
from ivr.features.image_file import read_image
from ivr.features.image_input import ImageInput
from ivr.features.media import MediaError
from ivr.features.voice_file import read_voice

SCENE = np.kron(
    np.random.default_rng(0).integers(0, 256, (3, 4, 3)), np.ones((8, 8, 1), dtype=int)
).astype(np.uint8)  # [24, 32, 3], flat squares of 8 x 8: JPEG changes them little


def image_file(folder: Path, array: np.ndarray, kind: str, mode: str | None = None) -> Path:
    image = Image.fromarray(array)
    path = folder / f"scene.{kind.lower()}"
    (image.convert(mode) if mode else image).save(path, kind)
    return path


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = zlib.compress(rows)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(width: int, height: int, bands: int, bits: int, pixels: bytes) -> bytes:
    """One strip, little-endian, RGB with further bands unnamed."""
    bits_at, strip_at = 8 + 2 + 10 * 12 + 4, 8 + 2 + 10 * 12 + 4 + 2 * bands
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, bands, bits_at), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 2), (273, 4, 1, strip_at), (277, 3, 1, bands), (278, 4, 1, height)]
    tags += [(279, 4, 1, len(pixels)), (284, 3, 1, 1)]
    directory = struct.pack("<H", 10) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    bits_field = struct.pack(f"<{bands}H", *[bits] * bands)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + bytes(4) + bits_field + pixels


def damaged(data: bytes, offsets: int) -> Iterator[bytes]:
    """Cut, and with one bit flipped, at evenly spaced offsets."""
    for number in range(offsets):
        offset = number * len(data) // offsets
        yield data[:offset]
        flipped = bytearray(data)
        flipped[offset] ^= 1 << number % 8
        yield bytes(flipped)


def outcomes(path: Path, variants: Iterator[bytes], read: Callable[[Path], object]) -> set[str]:
    """Read every variant; anything but a result or a MediaError ends the test."""
    seen = set()
    for data in variants:
        path.write_bytes(data)
        try:
            read(path)
            seen.add("read")
        except MediaError as error:
            assert "\n" not in str(error) and str(path) not in str(error)
            seen.add("refused")
    return seen


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_lossless_image_keeps_every_pixel(tmp_path: Path, kind: str) -> None:
    pixels = read_image(image_file(tmp_path, SCENE, kind))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, SCENE.transpose(2, 0, 1))


def test_jpeg_decodes_as_pil_does(tmp_path: Path) -> None:
    path = image_file(tmp_path, SCENE, "JPEG")
    expected = np.asarray(Image.open(path)).transpose(2, 0, 1)
    np.testing.assert_allclose(read_image(path).astype(int), expected, atol=2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_grey_image_becomes_three_equal_bands(tmp_path: Path, kind: str) -> None:
    pixels = read_image(image_file(tmp_path, np.full((8, 8), 77, np.uint8), kind))
    np.testing.assert_allclose(pixels, np.full((3, 8, 8), 77), atol=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_palette_gives_its_colours(tmp_path: Path, kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "scene", kind)
    expected = [[[10, 200]], [[20, 100]], [[30, 50]]]
    np.testing.assert_array_equal(read_image(tmp_path / "scene"), expected)


def test_palette_with_transparency_gives_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (1, 1))
    image.putpalette([10, 20, 30])
    image.save(tmp_path / "scene", "PNG", transparency=bytes([7]))
    np.testing.assert_array_equal(read_image(tmp_path / "scene").ravel(), [10, 20, 30])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_0_is_no_data_and_more_is_not_blended(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    image.putpixel((1, 0), (40, 50, 60, 1))
    image.save(tmp_path / "scene", kind)
    expected = [[[0, 40]], [[0, 50]], [[0, 60]]]
    np.testing.assert_array_equal(read_image(tmp_path / "scene"), expected)


def test_cmyk_jpeg_is_read_as_adobe_writes_it_marked_or_not(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(buffer, "JPEG", quality=100)
    marked = buffer.getvalue()
    marker = marked.index(b"\xff\xee\x00\x0eAdobe")
    for data in (marked, marked[:marker] + marked[marker + 16 :]):
        (tmp_path / "scene").write_bytes(data)
        pixels = read_image(tmp_path / "scene").astype(int)
        np.testing.assert_allclose(pixels[:, 3, 3], [255, 0, 0], atol=3)


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SCENE).save(tmp_path / "scene.jpg", exif=exif)
    assert ImageOps.exif_transpose(Image.open(tmp_path / "scene.jpg")).size == (24, 32)
    assert read_image(tmp_path / "scene.jpg").shape == (3, 24, 32)


def test_size_squashes_the_whole_scene(tmp_path: Path) -> None:
    path = image_file(tmp_path, SCENE, "PNG")
    resized = read_image(path, ImageInput(7))
    assert resized.dtype == np.uint8
    expected = Image.fromarray(SCENE).resize((7, 7), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resized.astype(int), np.asarray(expected).transpose(2, 0, 1), atol=1)


# Values 0, 10, ... 1000: their 2nd percentile is 20, their 98th 980.
RAMP = np.arange(0, 1001, 10).reshape(1, 101)
STRETCHED = {10: 0, 20: 0, 260: 64, 740: 191, 980: 255, 1000: 255}


def check_stretched(pixels: np.ndarray) -> None:
    assert pixels.dtype == np.uint8 and pixels.shape == (3, 1, 101)
    for value, expected in STRETCHED.items():
        np.testing.assert_array_equal(pixels[:, 0, value // 10], 3 * [expected], str(value))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_stretched_between_its_percentiles(tmp_path: Path, kind: str) -> None:
    check_stretched(read_image(image_file(tmp_path, RAMP.astype(np.uint16), kind)))


def test_big_endian_16_bit_tiff_is_stretched_too(tmp_path: Path) -> None:
    check_stretched(read_image(image_file(tmp_path, RAMP.astype(">u2"), "TIFF")))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bit_tiff_is_stretched_too(tmp_path: Path, dtype: type) -> None:
    check_stretched(read_image(image_file(tmp_path, RAMP.astype(dtype), "TIFF")))


def test_pixels_without_data_do_not_move_the_stretch(tmp_path: Path) -> None:
    values = np.concatenate([RAMP[0], [np.nan, np.inf]]).astype(np.float32)[None]
    pixels = read_image(image_file(tmp_path, values, "TIFF"))
    check_stretched(pixels[:, :, :101])
    assert pixels[:, :, 101:].max() == 0


def test_image_without_any_data_is_refused(tmp_path: Path) -> None:
    path = image_file(tmp_path, np.full((2, 2), np.nan, np.float32), "TIFF")
    with pytest.raises(MediaError, match=r"^holds no valid pixel$"):
        read_image(path)


def test_flat_deep_image_is_black(tmp_path: Path) -> None:
    assert read_image(image_file(tmp_path, np.full((2, 2), 9, np.uint16), "PNG")).max() == 0


@pytest.mark.parametrize("colour", [2, 6])
def test_16_bit_colours_share_one_stretch_and_keep_their_lower_bytes(
    tmp_path: Path, colour: int
) -> None:
    bands = np.stack([RAMP[0], 1000 - RAMP[0], 2 * RAMP[0], np.full(101, 65535)], axis=-1)
    row = bands[:, : 3 if colour == 2 else 4].astype(">u2").tobytes()
    step = 6 if colour == 2 else 8
    filtered = bytes(
        (byte - (row[at - step] if at >= step else 0)) % 256 for at, byte in enumerate(row)
    )
    (tmp_path / "scene.png").write_bytes(png(101, 1, 16, colour, b"\1" + filtered))
    pixels = read_image(tmp_path / "scene.png")
    low, high = np.percentile(bands[:, :3], (2, 98))
    expected = np.rint(np.clip((bands[:, :3].T - low) * 255 / (high - low), 0, 255))
    np.testing.assert_array_equal(pixels[:, 0], expected)


def test_16_bit_grey_with_alpha_is_stretched_where_alpha_is_above_0(tmp_path: Path) -> None:
    values = np.append(RAMP[0], [60_000, 0])
    alpha = np.append(np.full(101, 9), [0, 0])
    row = np.stack([values, alpha], -1).astype(">u2").tobytes()
    (tmp_path / "scene").write_bytes(png(103, 1, 16, 4, b"\0" + row))
    pixels = read_image(tmp_path / "scene")
    check_stretched(pixels[:, :, :101])
    assert pixels[:, :, 101:].max() == 0


def test_helper_writes_a_tiff_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "scene").write_bytes(tiff(2, 1, 3, 8, bytes([1, 2, 3, 4, 5, 6])))
    np.testing.assert_array_equal(
        read_image(tmp_path / "scene").reshape(3, 2).T.ravel(), range(1, 7)
    )


@pytest.mark.parametrize(("bands", "bits"), [(3, 16), (4, 16), (8, 8), (3, 32)])
def test_first_three_bands_of_a_multispectral_tiff_are_read(
    tmp_path: Path, bands: int, bits: int
) -> None:
    # GDAL says of tags like these that they name too few bands; its words stop nothing.
    values = np.arange(4 * bands, dtype=f"<u{bits // 8}").reshape(4, bands) * 5
    (tmp_path / "scene").write_bytes(tiff(2, 2, bands, bits, values.tobytes()))
    expected = values[:, :3].astype(float).T
    if bits > 8:
        low, high = np.percentile(expected, (2, 98))
        expected = np.rint(np.clip((expected - low) * 255 / (high - low), 0, 255))
    np.testing.assert_array_equal(read_image(tmp_path / "scene").reshape(3, 4), expected)


def test_tiff_of_64_bit_offsets_is_read(tmp_path: Path) -> None:
    Image.fromarray(SCENE).save(tmp_path / "scene", "TIFF", big_tiff=True)
    assert (tmp_path / "scene").read_bytes()[2] == 43
    np.testing.assert_array_equal(read_image(tmp_path / "scene"), SCENE.transpose(2, 0, 1))


def test_several_pages_are_refused_with_the_way_out(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (3, 2), colour) for colour in ((1, 2, 3), (7, 8, 9))]
    pages[0].save(tmp_path / "scene", "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(
        MediaError, match=r"^2 pages \(3 x 2\); save the scene as a file of its own$"
    ):
        read_image(tmp_path / "scene")


@pytest.mark.parametrize("side", [(10_001, 10_000), (30_000, 30_000)])
def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path, side: tuple[int, int]) -> None:
    (tmp_path / "scene").write_bytes(png(*side, 8, 2, b"no rows"))
    with pytest.raises(MediaError, match=r"more than 100000000 pixels; cut it into tiles"):
        read_image(tmp_path / "scene")


def test_large_image_below_the_cap_raises_no_warning(tmp_path: Path) -> None:
    (tmp_path / "scene").write_bytes(png(9_500, 10_000, 1, 0, b"no rows"))
    with (
        warnings.catch_warnings(record=True) as leaked,
        pytest.raises(MediaError, match=r"damaged, cut short"),
    ):
        warnings.simplefilter("always")
        read_image(tmp_path / "scene")
    assert leaked == []


@pytest.mark.parametrize("read", [read_image, read_voice])
def test_what_is_no_file_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(MediaError, match=r"^no such file$"):
        read(tmp_path / "none")
    with pytest.raises(MediaError, match=r"^not a file$"):
        read(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(MediaError, match=r"^empty file$"):
        read(tmp_path / "empty")


def test_file_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", 9)
    (tmp_path / "scene").write_bytes(bytes(10))
    with pytest.raises(MediaError, match=r"^10 bytes, more than the 9 that are read$"):
        read_image(tmp_path / "scene")


def test_kind_of_image_is_told_by_content(tmp_path: Path) -> None:
    Image.fromarray(SCENE).save(tmp_path / "scene.jpg", "GIF")
    with pytest.raises(MediaError, match=r"^not a JPEG, PNG, TIFF or JPEG 2000 image$"):
        read_image(tmp_path / "scene.jpg")
    Image.fromarray(SCENE).save(tmp_path / "scene.wav", "PNG")
    assert read_image(tmp_path / "scene.wav").shape == (3, 24, 32)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_half_an_image_is_an_error(tmp_path: Path, kind: str, mode: str) -> None:
    mode = "P" if (kind, mode) == ("PNG", "CMYK") else mode
    path = image_file(tmp_path, SCENE, kind, mode)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=f"damaged, cut short, or a kind of {kind}"):
        read_image(path)


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("PNG", "I;16", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "F", {}),
    ],
)
def test_damaged_image_is_read_or_refused_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    mode: str,
    options: dict[str, object],
) -> None:
    monkeypatch.setattr(media, "MAX_PIXELS", 1_000_000)  # flipped sizes are refused, not decoded
    image = Image.fromarray(SCENE)
    buffer = BytesIO()
    (image.convert("L") if mode == "I;16" else image).convert(mode).save(buffer, kind, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = outcomes(tmp_path / "scene", damaged(buffer.getvalue(), 60), read_image)
    assert "refused" in seen


def test_tiff_tags_of_any_value_are_read_or_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "MAX_PIXELS", 1_000_000)
    good = tiff(2, 1, 3, 8, bytes(6))
    variants = (
        good[:at] + bytes([value]) + good[at + 1 :]
        for at in range(4, len(good) - 6)
        for value in (2, 12, 255)  # as types: text and float64
    )
    assert outcomes(tmp_path / "scene", variants, read_image) == {"read", "refused"}


@pytest.mark.parametrize("name", [b"iCCP", b"IHDR", b"fdAT", b"pHYs", b"cHRM", b"zTXt"])
def test_png_chunks_of_any_content_are_read_or_refused_in_one_line(
    tmp_path: Path, name: bytes
) -> None:
    good = png(1, 1, 8, 2, bytes(4))
    contents = (b"", b"\0", b"a\0\0", b"a\0\0bad", bytes(26), b"\xff" * 40)
    variants = (
        good[:at] + chunk(name, content) + good[at:] for content in contents for at in (33, -12)
    )
    assert outcomes(tmp_path / "scene", variants, read_image)


def test_damaged_deflate_stream_with_right_checksums_is_refused(tmp_path: Path) -> None:
    # torchvision 0.29 ends the process here: "IDAT: invalid distance code".
    good = png(20, 24, 8, 2, b"".join(b"\0" + row.tobytes() for row in SCENE[:24, :20]))
    start = good.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", good[start - 8 : start - 4])
    for offset in range(2, length):
        stream = bytearray(good[start : start + length])
        stream[offset] ^= 0xFF
        data = good[: start - 8] + chunk(b"IDAT", bytes(stream)) + good[start + length + 4 :]
        (tmp_path / "scene").write_bytes(data)
        with pytest.raises(MediaError, match=r"damaged, cut short"):
            read_image(tmp_path / "scene")


def pcm_wave(path: Path, frames: bytes, width: int, channels: int = 1, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)
    return path


def encoded(samples: np.ndarray, kind: str, subtype: str, rate: int = 16_000) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


TONE = 0.5 * np.sin(2 * np.pi * 300 * np.arange(3200) / 16_000)


@pytest.mark.parametrize(
    ("width", "frames"),
    [
        (1, bytes([128, 192, 64])),
        (2, struct.pack("<3h", 0, 1 << 14, -(1 << 14))),
        (3, bytes([0, 0, 0, 0, 0, 0x40, 0, 0, 0xC0])),
        (4, struct.pack("<3i", 0, 1 << 30, -(1 << 30))),
    ],
)
def test_pcm_of_every_width_is_scaled_to_one(tmp_path: Path, width: int, frames: bytes) -> None:
    samples, sample_rate = read_voice(pcm_wave(tmp_path / "voice.wav", frames, width))
    assert sample_rate == 16_000 and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, [0, 0.5, -0.5])


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_float_wave_keeps_its_values(tmp_path: Path, subtype: str) -> None:
    (tmp_path / "voice").write_bytes(encoded(np.array([0.25, -2.0, 0.0]), "WAV", subtype))
    np.testing.assert_array_equal(read_voice(tmp_path / "voice")[0], [0.25, -2.0, 0.0])


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.array([[0.5, -0.25], [0.25, 0.25]])
    (tmp_path / "voice").write_bytes(encoded(stereo, "WAV", "FLOAT"))
    np.testing.assert_array_equal(read_voice(tmp_path / "voice")[0], [0.125, 0.25])


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_sample_rate_is_that_of_the_file(tmp_path: Path, rate: int) -> None:
    assert read_voice(pcm_wave(tmp_path / "v", bytes(200), 2, rate=rate))[1] == rate


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [("FLAC", "PCM_16", 2**-15), ("FLAC", "PCM_24", 2**-23), ("OGG", "VORBIS", 0.05)],
)
def test_compressed_voices_are_read(
    tmp_path: Path, kind: str, subtype: str, tolerance: float
) -> None:
    (tmp_path / "voice").write_bytes(encoded(TONE, kind, subtype))
    samples, sample_rate = read_voice(tmp_path / "voice")
    assert sample_rate == 16_000 and samples.shape == TONE.shape
    np.testing.assert_allclose(samples, TONE, atol=tolerance)


def test_voice_longer_than_a_block_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voice").write_bytes(encoded(TONE, "OGG", "VORBIS"))
    whole, _ = read_voice(tmp_path / "voice")
    monkeypatch.setattr(voice_file, "_BLOCK", 1000)
    np.testing.assert_allclose(read_voice(tmp_path / "voice")[0], whole, atol=1e-6)


def test_kind_of_voice_is_told_by_content(tmp_path: Path) -> None:
    assert len(read_voice(pcm_wave(tmp_path / "voice.raw", bytes(200), 2))[0]) == 100
    (tmp_path / "voice.wav").write_bytes(encoded(TONE, "AIFF", "PCM_16"))
    assert len(read_voice(tmp_path / "voice.wav")[0]) == len(TONE)
    (tmp_path / "voice.wav").write_bytes(b"no sound at all")
    with pytest.raises(MediaError, match=r"^not a WAV, FLAC, Ogg, MP3"):
        read_voice(tmp_path / "voice.wav")


def test_voice_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"^holds no samples$"):
        read_voice(pcm_wave(tmp_path / "voice", b"", 2))


def test_tags_behind_no_samples_are_not_samples(tmp_path: Path) -> None:
    data = bytearray(pcm_wave(tmp_path / "voice", b"", 2).read_bytes() + b"LIST\4\0\0\0INFO")
    data[4:8] = struct.pack("<I", len(data) - 8)
    (tmp_path / "voice").write_bytes(data)
    with pytest.raises(MediaError, match=r"^holds no samples$"):
        read_voice(tmp_path / "voice")


@pytest.mark.parametrize("values", [(0.0, np.nan), (np.inf, 0.0), (np.inf, -np.inf)])
def test_values_that_are_no_sound_are_refused(tmp_path: Path, values: tuple[float, float]) -> None:
    for samples in (np.array(values), np.array([values])):
        (tmp_path / "voice").write_bytes(encoded(samples, "WAV", "FLOAT"))
        with (
            warnings.catch_warnings(),
            pytest.raises(MediaError, match=r"^holds NaN or infinite samples$"),
        ):
            warnings.simplefilter("error")
            read_voice(tmp_path / "voice")


def test_values_whose_power_overflows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "voice").write_bytes(encoded(np.array([0.0, -1e20]), "WAV", "FLOAT"))
    with pytest.raises(MediaError, match=r"holds samples beyond"):
        read_voice(tmp_path / "voice")


def test_wave_cut_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = pcm_wave(tmp_path / "voice", bytes(1000), 2)
    path.write_bytes(path.read_bytes()[:544])
    with pytest.raises(MediaError, match=r"^cut short: 500 of 1000 bytes of samples$"):
        read_voice(path)


def test_wave_cut_in_its_header_is_refused(tmp_path: Path) -> None:
    path = pcm_wave(tmp_path / "voice", bytes(1000), 2)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(MediaError, match=r"^cut short before its samples$"):
        read_voice(path)


def test_odd_tags_before_the_samples_are_skipped_with_their_padding(tmp_path: Path) -> None:
    path = pcm_wave(tmp_path / "voice", bytes(1000), 2)
    data = path.read_bytes()
    path.write_bytes(data[:36] + b"LIST\5\0\0\0INFOx\0" + data[36:600])
    with pytest.raises(MediaError, match=r"^cut short: 556 of 1000 bytes of samples$"):
        read_voice(path)


def test_wave_cut_in_the_tags_behind_its_samples_is_read(tmp_path: Path) -> None:
    path = pcm_wave(tmp_path / "voice", bytes(1000), 2)
    data = bytearray(path.read_bytes() + b"LIST\x10\0\0\0INF")
    data[4:8] = struct.pack("<I", len(data) + 5)
    path.write_bytes(data)
    assert len(read_voice(path)[0]) == 500


@pytest.mark.parametrize(
    ("whole", "samples"),
    [(0, 0), (0xFFFF_FFFF, 0xFFFF_FFFF), (0x7FFF_F024, 0x7FFF_F000)],
    ids=["zero", "ffmpeg", "sox and espeak-ng"],
)
def test_wave_written_into_a_pipe_is_read_to_its_end(
    tmp_path: Path, whole: int, samples: int
) -> None:
    path = pcm_wave(tmp_path / "voice", struct.pack("<500h", *range(500)), 2)
    data = bytearray(path.read_bytes())
    data[4:8], data[40:44] = struct.pack("<I", whole), struct.pack("<I", samples)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_voice(path)[0], np.arange(500) / 32768)


def flac_claiming(total: int) -> bytes:
    """FLAC of TONE whose STREAMINFO gives ``total`` samples (the last 36 bits before the MD5)."""
    data = bytearray(encoded(TONE, "FLAC", "PCM_16"))
    data[21] = data[21] & 0xF0 | total >> 32
    data[22:26] = struct.pack(">I", total & 0xFFFF_FFFF)
    return bytes(data)


def test_flac_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voice").write_bytes(flac_claiming(len(TONE) + 1000))
    with pytest.raises(MediaError, match=r"cut short|damaged"):
        read_voice(tmp_path / "voice")


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS")])
@pytest.mark.parametrize("lost", [1, 30, 300])
def test_compressed_voice_cut_short_is_refused(
    tmp_path: Path, kind: str, subtype: str, lost: int
) -> None:
    (tmp_path / "voice").write_bytes(encoded(TONE, kind, subtype)[:-lost])
    with pytest.raises(MediaError, match=r"cut short|damaged"):
        read_voice(tmp_path / "voice")


def test_ogg_without_its_last_page_is_refused(tmp_path: Path) -> None:
    data = encoded(np.tile(TONE, 40), "OGG", "VORBIS")
    assert data.count(b"OggS") > 3
    (tmp_path / "voice").write_bytes(data[: data.rindex(b"OggS")])
    with pytest.raises(MediaError, match=r"^cut short: the last page of the Ogg stream"):
        read_voice(tmp_path / "voice")


def test_ogg_with_a_damaged_page_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded(np.tile(TONE, 40), "OGG", "VORBIS"))
    page = data.index(b"OggS", 4000)
    data[page + 500] ^= 1
    (tmp_path / "voice").write_bytes(data)
    message = f"^damaged or cut short: wrong checksum of the Ogg page at byte {page}$"
    with pytest.raises(MediaError, match=message):
        read_voice(tmp_path / "voice")


def test_decoder_that_gives_less_than_it_claims_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(soundfile.SoundFile):
        frames = len(TONE) + 1

    monkeypatch.setattr(soundfile, "SoundFile", Short)
    (tmp_path / "voice").write_bytes(encoded(TONE, "WAV", "PCM_16"))
    with pytest.raises(MediaError, match=r"^cut short: 3200 of 3201 samples$"):
        read_voice(tmp_path / "voice")


@pytest.mark.parametrize(
    ("channels", "rate", "seconds", "message"),
    [
        (17, 16_000, 0.1, "^17 channels, more than 16$"),
        (1, 3_999, 0.1, "^sample rate of 3999 Hz, not within 4000 to 192000 Hz$"),
        (1, 192_001, 0.1, "^sample rate of 192001 Hz, not within 4000 to 192000 Hz$"),
        (1, 4_000, 600.5, "^longer than 600 s; cut it into sentences$"),
    ],
)
def test_voice_outside_the_caps_is_refused(
    tmp_path: Path, channels: int, rate: int, seconds: float, message: str
) -> None:
    frames = bytes(int(seconds * rate) * channels)
    with pytest.raises(MediaError, match=message):
        read_voice(pcm_wave(tmp_path / "voice", frames, 1, channels, rate))


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")],
)
def test_damaged_voice_is_read_or_refused_in_one_line(
    tmp_path: Path, kind: str, subtype: str
) -> None:
    data = encoded(TONE, kind, subtype)
    head = 60 * len(data) // 200  # headers are short: damage the first part more densely
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = outcomes(tmp_path / "voice", damaged(data, 60), read_voice)
        seen |= outcomes(tmp_path / "voice", damaged(data[:head], 60), read_voice)
    assert "refused" in seen
