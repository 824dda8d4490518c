"""JPEG and PNG of which part was not decoded are refused; readers that end are survived."""

import errno
import os
import signal
import struct
import subprocess
import sys
import threading
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ivr.features import jpeg_file, media, raster_process
from ivr.features.exact_percentiles import exact_percentiles
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import read_image
from ivr.features.media import MediaError
from ivr.features.raster_process import RasterReaderError, read_raster_apart
from ivr.pipeline.datasets.audit import check
from ivr.pipeline.datasets.media_files import from_file
from ivr.pipeline.extraction.extract import extract

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
EOI = b"\xff\xd9"


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(NOISE).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def scans_of(data: bytes) -> list[int]:
    """Places of the scan headers."""
    return [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]


def read(folder: Path, data: bytes, pixels: PixelConfig | None = None) -> np.ndarray:
    (folder / "scene").write_bytes(data)
    return read_image(folder / "scene", None, pixels)


# --- JPEG -------------------------------------------------------------------------------------

KINDS = [
    ("RGB", {}),
    ("RGB", {"subsampling": 0, "quality": 95}),
    ("RGB", {"restart_marker_blocks": 2}),
    ("RGB", {"progressive": True}),
    ("L", {}),
    ("CMYK", {}),
]


@pytest.mark.parametrize(("mode", "options"), KINDS)
def test_a_missing_end_marker_alone_is_no_damage(
    tmp_path: Path, mode: str, options: dict[str, object]
) -> None:
    data = jpeg(mode, **options)
    assert data.endswith(EOI)
    np.testing.assert_array_equal(read(tmp_path, data[:-2]), read(tmp_path, data))
    np.testing.assert_array_equal(read(tmp_path, data + b"tags behind"), read(tmp_path, data))


@pytest.mark.parametrize(("mode", "options"), KINDS)
def test_a_jpeg_of_which_a_part_was_not_decoded_is_refused(
    tmp_path: Path, mode: str, options: dict[str, object]
) -> None:
    data = jpeg(mode, **options)
    start = scans_of(data)[0] + 20
    length = len(data) - start
    for share in (0.1, 0.5, 0.9):
        place = start + int(length * share)
        for damaged in (
            data[:place] + EOI,  # half a picture with an end marker
            data[:place],
            data[:place] + data[place + length // 4 :],  # bytes lost in the middle
        ):
            with pytest.raises(MediaError, match=r"^damaged, cut short, or a kind of JPEG"):
                read(tmp_path, damaged)


def test_a_progressive_jpeg_cut_between_two_scans_is_refused(tmp_path: Path) -> None:
    data = jpeg(progressive=True)
    scans = scans_of(data)
    tables = [data.rfind(b"\xff\xc4", 0, at) for at in scans]
    assert len(scans) > 5
    for at, table in list(zip(scans, tables, strict=True))[1:]:
        with pytest.raises(MediaError, match=r"the last scans are missing"):
            read(tmp_path, data[: table if table > 0 else at] + EOI)


def test_lost_and_exchanged_restart_markers_are_refused(tmp_path: Path) -> None:
    data = jpeg(restart_marker_blocks=1)
    start = scans_of(data)[0]
    places = [at for at in range(start, len(data)) if data[at : at + 2] == b"\xff\xd1"]
    at = places[0]
    for damaged in (data[:at] + data[at + 2 :], data[:at] + b"\xff\xd5" + data[at + 2 :]):
        with pytest.raises(MediaError, match=r"^damaged, cut short, or a kind of JPEG"):
            read(tmp_path, damaged)


def test_a_jpeg_of_too_many_scans_is_refused_from_its_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg(progressive=True)
    count = len(scans_of(data))
    monkeypatch.setattr(jpeg_file, "MAX_SCANNED_PIXELS", count * 64 * 64)
    assert read(tmp_path, data).shape == (3, 64, 64)
    monkeypatch.setattr(jpeg_file, "MAX_SCANNED_PIXELS", count * 64 * 64 - 1)
    with pytest.raises(MediaError, match=rf"^{count} scans of 4096 pixels take too long"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("marker", "bits", "message"),
    [
        (0xC3, 8, r"^lossless JPEG; save it as a baseline JPEG$"),
        (0xC1, 12, r"^JPEG of 12 bits; save it with 8 bits or as TIFF$"),
    ],
)
def test_a_kind_of_jpeg_that_is_not_read_is_named(
    tmp_path: Path, marker: int, bits: int, message: str
) -> None:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    with pytest.raises(MediaError, match=message):
        read(tmp_path, bytes(data))


def test_too_many_pixels_of_a_jpeg_are_refused_from_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "MAX_PIXELS", 64 * 64 - 1)
    with pytest.raises(MediaError, match=r"^64 x 64 pixels, more than 4095 pixels"):
        read(tmp_path, jpeg())


# --- PNG --------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(depth: int, rows: bytes, side: int, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, depth, 2, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_whose_data_end_early_is_refused(tmp_path: Path, depth: int) -> None:
    rows = (b"\0" + bytes(range(1, 1 + 3 * depth))) * 8  # 8 x 8
    assert read(tmp_path, png(depth, zlib.compress(rows), 8)).shape == (3, 8, 8)
    # The compressed data are whole, and so are the checksums, but there are fewer rows.
    for kept in (len(rows) - 1, len(rows) // 2, 1):
        with pytest.raises(MediaError, match=r"^damaged, cut short, or a kind of PNG"):
            read(tmp_path, png(depth, zlib.compress(rows[:kept]), 8))


def test_a_black_and_an_interlaced_png_are_whole(tmp_path: Path) -> None:
    black = png(8, zlib.compress(bytes(8 * 25)), 8)
    assert read(tmp_path, black).max() == 0
    sizes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]  # columns and rows
    rows = b"".join((b"\0" + b"\7" * 3 * columns) * lines for columns, lines in sizes)
    assert (read(tmp_path, png(8, zlib.compress(rows), 8, interlaced=1)) == 7).all()
    with pytest.raises(MediaError, match=r"its data end early"):
        read(tmp_path, png(8, zlib.compress(rows[:-25]), 8, interlaced=1))


@pytest.mark.parametrize("depth", [8, 16])
def test_other_bytes_in_a_png_are_noticed_by_its_checksum(tmp_path: Path, depth: int) -> None:
    stored = zlib.compress(b"".join(b"\0" + bytes(3 * depth) for _ in range(8)), 0)
    data = bytearray(png(depth, stored, 8))
    data[data.index(b"IDAT") + 60] ^= 1
    with pytest.raises(MediaError, match=r"the checksum of its pixels is wrong"):
        read(tmp_path, bytes(data))


def test_a_transparent_colour_of_a_png_is_no_data(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (40, 50, 60))
    image.save(tmp_path / "scene", "PNG", transparency=(10, 20, 30))
    assert read_image(tmp_path / "scene")[:, 0].tolist() == [[0, 40], [0, 50], [0, 60]]


# --- percentiles ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "i8"])
def test_percentiles_are_those_of_numpy_to_the_last_bit(dtype: str) -> None:
    rng = np.random.default_rng(int(dtype[1]))
    for count in (1, 2, 3, 50, 1001):
        values = rng.normal(0, 120, count)
        values = (abs(values) if dtype[0] == "u" else values).clip(-120, 120).astype(dtype)
        expected = np.percentile(values.astype(np.float64), (2, 50, 98, 100)).tolist()
        parts = np.array_split(values, 3)
        found = exact_percentiles(lambda p=parts: iter(p), values.dtype, (2, 50, 98, 100))
        assert found == expected


# --- the reader of rasters --------------------------------------------------------------------


@pytest.fixture
def raster(tmp_path: Path) -> bytes:
    tifffile.imwrite(tmp_path / "a.tif", NOISE, photometric="rgb", metadata=None)
    return (tmp_path / "a.tif").read_bytes()


@pytest.fixture
def own_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster_process, "_idle", [])


def replaced_by(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    start = "import sys, os, signal; print('ready', flush=True); sys.stdin.buffer.readline(); "
    monkeypatch.setattr(raster_process, "COMMAND", (sys.executable, "-c", start + code))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"^the reader of rasters ended on it \(SIGSEGV\)"),
        ("os.kill(os.getpid(), signal.SIGPROF)", r"^takes too long to decode"),
        ("print('{\"shape\": [3, 9, 9]}')", r"^the reader of rasters ended on it \(status 0\)"),
        ("sys.exit(5)", r"^the reader of rasters ended on it \(status 5\)"),
    ],
)
def test_a_reader_that_ends_costs_its_file_only(
    code: str,
    message: str,
    raster: bytes,
    own_readers: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        replaced_by(patch, code)
        with pytest.raises(MediaError, match=message):
            read_raster_apart(raster, "GTiff", (1,), PixelConfig())
    found = read_raster_apart(raster, "GTiff", (1,), PixelConfig())
    np.testing.assert_array_equal(found, NOISE.transpose(2, 0, 1))


def test_a_reader_that_was_ended_while_idle_is_replaced(raster: bytes, own_readers: None) -> None:
    read_raster_apart(raster, "GTiff", (1,), PixelConfig())
    (idle,) = raster_process._idle
    idle.process.send_signal(signal.SIGKILL)
    idle.process.wait()
    read_raster_apart(raster, "GTiff", (1,), PixelConfig())
    assert raster_process._idle != [idle]


def test_no_reader_of_rasters_waits_after_a_check_or_an_extraction(
    own_readers: None, tiny_encoder: None, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", NOISE, photometric="rgb", metadata=None)
    (tmp_path / "all.csv").write_text("image,voice,label\na.tif,,pond\n")
    check(tmp_path / "all.csv", jobs=1)
    assert raster_process._idle == []
    options = {"encoder": "vgg16", "weights": "random", "device": "cpu"}
    assert extract(tmp_path / "all.csv", tmp_path / "out", **options).images.rows == 1
    assert raster_process._idle == []


def test_a_reader_that_does_not_start_is_no_fault_of_the_file(
    raster: bytes, own_readers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raster_process, "COMMAND", (sys.executable, "-c", "raise SystemExit(1)"))
    with pytest.raises(RasterReaderError, match=r"does not start; see what is wrong with: "):
        read_raster_apart(raster, "GTiff", (1,), PixelConfig())


def test_threads_read_at_the_same_time_without_mixing(raster: bytes, own_readers: None) -> None:
    wrong = []

    def some(bands: str) -> None:
        for _ in range(10):
            found = read_raster_apart(raster, "GTiff", (1,), PixelConfig(bands=bands))
            if not (found == NOISE[..., int(bands) - 1]).all():
                wrong.append(bands)

    threads = [threading.Thread(target=some, args=(bands,)) for bands in ("1", "2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_reader_ends_with_the_process_that_started_it(tmp_path: Path, raster: bytes) -> None:
    code = (
        "import sys, os; from ivr.features import raster_process as r;"
        "from ivr.features.image_bands import PixelConfig;"
        "r.read_raster_apart(open(sys.argv[1], 'rb').read(), 'GTiff', (1,), PixelConfig());"
        "print(r._idle[0].process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.tif")]
    # The output is inherited by no reader, so it ends with the parent; the reader's pid is waited
    # for through its own input, which the parent's death closes.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    for _ in range(600):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        threading.Event().wait(0.1)
    else:
        pytest.fail("the reader outlived its parent by a minute")


# --- work before any pixel --------------------------------------------------------------------


def test_tags_pages_segments_and_chunks_without_measure_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [np.zeros((4, 4), np.uint8)] * 3
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for part in many:
            file.write(part, photometric="minisblack", metadata=None)
    pages = (tmp_path / "a.tif").read_bytes()
    small = png(8, zlib.compress(bytes(8 * 25)), 8)
    for limit, data, message in (
        ("tiff_pages.MAX_TAGS", pages, r"^damaged: more than 2 tags$"),
        (
            "tiff_pages.MAX_PAGES",
            pages,
            r"^more than 2 pages; save the scene",
        ),
        ("jpeg_file.MAX_SEGMENTS", jpeg(), r"\(more than 2 segments\)$"),
        ("png_file.MAX_CHUNKS", small, r"\(more than 2 chunks\)$"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"ivr.features.{limit}", 2)
            with pytest.raises(MediaError, match=message):
                read(tmp_path, data)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_reader_that_the_system_does_not_start_is_no_fault_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(raster_process, "_idle", [])
    monkeypatch.setattr(raster_process.subprocess, "Popen", refused)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tif")
    with pytest.raises(RasterReaderError, match=os.strerror(number)):
        from_file("a.tif", tmp_path, read_image)
