"""Extraction: the right rows, each made once, whatever stops it and whatever the files are."""

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import (
    SAMPLE_RATE,
    TINY_VOICE,
    assert_free,
    describe_tiny_encoder,
    drawn,
    load_tiny_encoder,
    spoken,
)
from PIL import Image

from ivr.features.atomic_files import InTheWayError
from ivr.features.blueprint import EncoderError
from ivr.features.image import load_encoder
from ivr.features.image_bands import PixelConfig
from ivr.features.image_config import ImageConfig
from ivr.features.image_file import read_image
from ivr.features.image_input import ImageInput
from ivr.features.spectral_encoders import MfccReader
from ivr.features.store import StoreError, open_table, text_column, write_table
from ivr.features.voice import voice_vectors
from ivr.features.voice_file import read_voice
from ivr.pipeline.datasets.manifest import (
    Manifest,
    ManifestError,
    ManifestRow,
    read_manifest,
    write_manifest,
)
from ivr.pipeline.extraction import media_rows, modality, row_shards, target
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.extraction.extract_result import ExtractedModality
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES
from ivr.pipeline.extraction.job_array import JobArrayTask
from ivr.pipeline.extraction.parallel_readers import LostReadersError
from ivr.pipeline.extraction.plan import plan
from ivr.pipeline.extraction.target import ExtractError
from ivr.pipeline.extraction.worker_tasks import SkippedFile, listen
from ivr.pipeline.runs.verify import verify
from ivr.pipeline.runtime.device import DeviceError, choose_device
from ivr.pipeline.runtime.lock import BusyError, only_writer

RANDOM = ImageConfig("squeezenet1_0", "random")
CONFIG = ExtractConfig(RANDOM, TINY_VOICE, batch_size=4, shard_rows=4, jobs=1, device="cpu")
STOPPED_AT_ONCE = replace(CONFIG, time_limit=1e-9)


def rows_of(path: Path, kind: str) -> dict[str, np.ndarray]:
    table = open_table(path, kind)
    return dict(zip(table.text("names"), table.read("vectors"), strict=True))


def made(folder: Path, images: int, voices: int) -> Path:
    """A manifest of so many images and voices, side by side."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(images):
        Image.fromarray(drawn("pond", rng)).save(folder / f"{number}.png")
        rows.append(ManifestRow(f"{number}.png", "", "pond"))
    for number in range(voices):
        soundfile.write(folder / f"{number}.wav", spoken("pond", rng), SAMPLE_RATE)
        rows.append(ManifestRow("", f"{number}.wav", "pond"))
    write_manifest(folder / "all.csv", Manifest(tuple(rows)))
    return folder / "all.csv"


def single(folder: Path, name: str) -> Path:
    """A manifest of the image or voice ``name``."""
    is_voice = name.endswith(".wav")
    row = ManifestRow("" if is_voice else name, name if is_voice else "", "pond")
    write_manifest(folder / "one.csv", Manifest((row,)))
    return folder / "one.csv"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read, in order, while images have a tiny encoder."""
    names: list[str] = []

    def counting(function: Callable[..., object]) -> Callable[..., object]:
        def read(name: str, *arguments: object) -> object:
            names.append(name)
            return function(name, *arguments)

        return read

    monkeypatch.setattr(media_rows, "decode", counting(media_rows.decode))
    monkeypatch.setattr(media_rows, "listen", counting(media_rows.listen))
    monkeypatch.setattr(target, "describe_encoder", describe_tiny_encoder)
    monkeypatch.setattr(modality, "load_encoder", load_tiny_encoder)
    return names


def test_rows_are_those_of_the_encoder_and_of_the_mfcc(media_set: Path, tmp_path: Path) -> None:
    rows = read_manifest(media_set / "manifest.csv").rows
    write_manifest(media_set / "some.csv", Manifest(rows[:9]))
    images, voices = extract(media_set / "some.csv", tmp_path / "out", CONFIG)
    assert (images.rows, images.new, voices.rows, voices.new) == (5, 5, 9, 9)
    encoder = load_encoder(RANDOM, torch.device("cpu"))
    found = rows_of(images.path, IMAGES)
    assert set(found) == {row.image for row in rows[:9]}
    for name, vector in found.items():
        pixels = torch.from_numpy(read_image(media_set / name, ImageInput(224)))[None]
        np.testing.assert_allclose(vector, encoder(pixels).numpy()[0], rtol=1e-4, atol=1e-5)
    table = open_table(voices.path, VOICES)
    frames = dict(zip(table.text("names"), table.read("frames"), strict=True))
    for name, vector in rows_of(voices.path, VOICES).items():
        expected, length = voice_vectors(*read_voice(media_set / name), TINY_VOICE)
        np.testing.assert_array_equal(vector, expected.reshape(-1))
        assert frames[name] == length == 31  # 0.15 s every 5 ms, and the first
    assert sorted(os.listdir(tmp_path / "out")) == [
        ".lock", "digests.json", "images.h5", "manifest.csv", "roots.json", "voices.h5",
    ]  # fmt: skip


def test_a_file_says_how_it_was_made(media_set: Path, tmp_path: Path) -> None:
    write_manifest(
        media_set / "some.csv", Manifest(read_manifest(media_set / "manifest.csv").rows[:1])
    )
    images, voices = extract(media_set / "some.csv", tmp_path, CONFIG)
    settings = open_table(images.path, IMAGES).config["settings"]
    assert settings["encoder"] == "squeezenet1_0"
    assert (settings["stored"], settings["shape"], len(settings["sha256"])) == (
        "float32",
        [512],
        64,
    )
    config = open_table(voices.path, VOICES).config
    assert config["settings"]["shape"] == [3, 5, 40]
    assert {"hop", "window", "fft", "mels"} <= set(config["settings"])
    assert {"librosa", "numpy", "soxr", "soundfile"} <= set(config["made_with"])
    assert (config["made_with"]["backend"], config["made_with"]["device"]) == ("fast", "cpu")


@pytest.mark.parametrize("encoder", ["vgg16", "alexnet"])
def test_the_nets_of_the_literature_give_4096_numbers(tmp_path: Path, encoder: str) -> None:
    config = replace(CONFIG, image=ImageConfig(encoder, "random"))
    (images,) = extract(made(tmp_path, 2, 0), tmp_path / "out", config)
    vectors = open_table(images.path, IMAGES).read("vectors")
    assert vectors.shape == (2, 4096)
    assert vectors.min() == 0  # fc7 after its ReLU
    assert not np.array_equal(vectors[0], vectors[1])


@pytest.mark.usefixtures("tiny_encoder")
def test_an_image_without_a_voice_and_a_voice_without_an_image_are_extracted(
    tmp_path: Path,
) -> None:
    images, voices = extract(made(tmp_path, 1, 1), tmp_path / "out", CONFIG)
    assert set(rows_of(images.path, IMAGES)) == {"0.png"}
    assert set(rows_of(voices.path, VOICES)) == {"0.wav"}


@pytest.mark.usefixtures("tiny_encoder")
@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16"])
def test_a_picture_in_any_mode_has_the_vector_of_its_rgb(tmp_path: Path, mode: str) -> None:
    # White left of black: the same in all modes, also after the stretch of 16 bits.
    grey = np.zeros((8, 8), np.uint8)
    grey[:, :4] = 255
    picture = Image.fromarray(grey)
    picture.convert("RGB").save(tmp_path / "rgb.png")
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "other.tif")
    else:
        picture.convert("RGB").convert(mode).save(tmp_path / "other.tif")
    assert Image.open(tmp_path / "other.tif").mode == mode
    rows = (ManifestRow("rgb.png", "", "a"), ManifestRow("other.tif", "", "a"))
    write_manifest(tmp_path / "two.csv", Manifest(rows))
    (images,) = extract(tmp_path / "two.csv", tmp_path / "out", CONFIG)
    found = rows_of(images.path, IMAGES)
    np.testing.assert_allclose(found["other.tif"], found["rgb.png"], rtol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_a_voice_at_another_rate_is_as_long_as_at_ours(tmp_path: Path, rate: int) -> None:
    times = np.arange(int(0.15 * rate)) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * times), rate)
    (voices,) = extract(single(tmp_path, "a.wav"), tmp_path / "out", CONFIG)
    assert open_table(voices.path, VOICES).read("frames").tolist() == [31]


def test_a_stereo_voice_is_the_mean_of_its_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    left, right = spoken("pond", rng), spoken("river", rng)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), SAMPLE_RATE, "FLOAT")
    soundfile.write(tmp_path / "b.wav", (left + right) / 2, SAMPLE_RATE, "FLOAT")
    rows = (ManifestRow("", "a.wav", "a"), ManifestRow("", "b.wav", "a"))
    write_manifest(tmp_path / "two.csv", Manifest(rows))
    (voices,) = extract(tmp_path / "two.csv", tmp_path / "out", CONFIG)
    found = rows_of(voices.path, VOICES)
    np.testing.assert_allclose(found["a.wav"], found["b.wav"], atol=1e-3)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def words(path: Path) -> None:
    path.write_text("<html>404</html>")


def folder(path: Path) -> None:
    path.mkdir()


def absent(path: Path) -> None:
    pass


def link_out(path: Path) -> None:
    path.symlink_to(path.parents[1] / "secret")


def cut_image(path: Path) -> None:
    Image.fromarray(drawn("pond", np.random.default_rng(0))).save(path)
    path.write_bytes(path.read_bytes()[:500])


def no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0), SAMPLE_RATE)


def nan_samples(path: Path) -> None:
    soundfile.write(path, np.full(2400, np.nan), SAMPLE_RATE, "FLOAT")


def short_voice(path: Path) -> None:
    soundfile.write(path, np.zeros(100), SAMPLE_RATE)


@pytest.mark.usefixtures("tiny_encoder")
@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.png", empty, "empty file"),
        ("a.png", words, "not a JPEG, PNG, TIFF or JPEG 2000 image"),
        ("a.png", folder, "not a file"),
        ("a.png", absent, "no such file"),
        ("a.png", cut_image, "damaged, cut short, or a kind of PNG that is not supported"),
        ("a.png", link_out, "through a link; copy the file in"),
        ("a.wav", empty, "empty file"),
        ("a.wav", words, "not a WAV, FLAC, Ogg, MP3, M4A, AIFF, AMR or WebM file"),
        ("a.wav", absent, "no such file"),
        ("a.wav", no_samples, "holds no samples"),
        ("a.wav", nan_samples, "holds NaN or infinite samples"),
        ("a.wav", short_voice, "lasts 0.0063 s, at least 0.0400 s are needed"),
        ("a.wav", link_out, "through a link; copy the file in"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_skipped(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    make: Callable[[Path], None],
    reason: str,
) -> None:
    (tmp_path / "secret").write_text("secret")
    media = tmp_path / "media"
    media.mkdir()
    made(media, 1, 1)
    make(media / name)
    good = "0.png" if name == "a.png" else "0.wav"
    columns = ("image", "voice") if name == "a.png" else ("voice", "image")
    lines = [f"{good},,pond", f"{name},,pond"]
    (media / "two.csv").write_text("\n".join([f"{columns[0]},{columns[1]},label", *lines]))
    (result,) = extract(media / "two.csv", tmp_path / "out", CONFIG)
    assert (result.rows, result.new, result.skipped) == (1, 1, (name,))
    said = caplog.text
    assert f"skipped {name}: " in said
    assert reason in said


@pytest.mark.usefixtures("tiny_encoder")
def test_nothing_readable_is_an_error_that_names_the_roots(tmp_path: Path) -> None:
    manifest = made(tmp_path, 3, 0)
    words = r"none of 3 images could be read, e\.g\. 0\.png; say where they are with --image-root"
    with pytest.raises(ExtractError, match=words):
        extract(manifest, tmp_path / "out", CONFIG, image_root=tmp_path / "elsewhere")
    assert not (tmp_path / "out" / "images.h5").exists()


@pytest.mark.usefixtures("tiny_encoder")
def test_rows_of_an_earlier_manifest_do_not_hide_that_nothing_is_readable(tmp_path: Path) -> None:
    extract(made(tmp_path, 3, 0), tmp_path / "out", CONFIG)
    with pytest.raises(ExtractError, match="none of 1 images could be read"):
        extract(single(tmp_path, "absent.png"), tmp_path / "out", CONFIG)


def test_strict_stops_at_a_damaged_file_and_keeps_what_was_finished(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 0, 12)
    (tmp_path / "6.wav").write_bytes(b"")
    with pytest.raises(ExtractError, match=r"^6\.wav: empty file \(stopped by --strict\)$"):
        extract(manifest, tmp_path / "out", replace(CONFIG, strict=True, shard_rows=99))
    (before,) = plan(manifest, tmp_path / "out", CONFIG)
    assert before.done == 7  # all of the first batch, and three of the second
    counted.clear()
    (voices,) = extract(manifest, tmp_path / "out", CONFIG)
    assert (voices.rows, voices.new, voices.skipped) == (11, 4, ("6.wav",))
    assert counted == [f"{number}.wav" for number in (6, 8, 9, 10, 11)]


def test_a_second_call_reads_no_file(tmp_path: Path, counted: list[str]) -> None:
    manifest = made(tmp_path, 5, 5)
    extract(manifest, tmp_path / "out", CONFIG)
    assert sorted(counted) == sorted([f"{n}.{kind}" for n in range(5) for kind in ("png", "wav")])
    before = (tmp_path / "out" / "images.h5").stat().st_mtime_ns
    counted.clear()
    images, voices = extract(manifest, tmp_path / "out", CONFIG)
    assert counted == []
    assert (images.rows, images.new, voices.rows, voices.new) == (5, 0, 5, 0)
    assert (tmp_path / "out" / "images.h5").stat().st_mtime_ns == before


def test_a_longer_manifest_reads_what_is_new_and_keeps_what_left_it(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 0, 6)
    rows = read_manifest(manifest).rows
    write_manifest(tmp_path / "first.csv", Manifest(rows[:4]))
    write_manifest(tmp_path / "last.csv", Manifest(rows[2:]))
    extract(tmp_path / "first.csv", tmp_path / "out", CONFIG)
    counted.clear()
    (voices,) = extract(tmp_path / "last.csv", tmp_path / "out", CONFIG)
    assert counted == ["4.wav", "5.wav"]
    assert (voices.rows, voices.new) == (6, 2)
    expected = ("2.wav", "3.wav", "4.wav", "5.wav", "0.wav", "1.wav")
    assert open_table(voices.path, VOICES).text("names") == expected
    assert read_manifest(tmp_path / "out" / "manifest.csv").rows == rows[2:]


def test_a_call_that_is_out_of_time_has_made_a_batch_and_the_next_goes_on(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 10, 3)
    extract(manifest, tmp_path / "whole", CONFIG)
    counted.clear()
    seen = []
    for _ in range(4):
        images, voices = extract(manifest, tmp_path / "out", STOPPED_AT_ONCE)
        seen.append((images.new, images.left, voices.new, voices.left))
    assert seen == [(4, 6, 0, 3), (4, 2, 0, 3), (2, 0, 0, 3), (0, 0, 3, 0)]
    assert len(counted) == len(set(counted)) == 13
    for name in ("images.h5", "voices.h5", "manifest.csv"):
        one, other = tmp_path / "out" / name, tmp_path / "whole" / name
        assert one.read_bytes() == other.read_bytes()
    assert sorted(os.listdir(tmp_path / "out")) == sorted(os.listdir(tmp_path / "whole"))


def test_damaged_files_at_the_front_do_not_use_up_the_time(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 0, 12)
    for number in range(8):
        (tmp_path / f"{number}.wav").write_bytes(b"")
    (voices,) = extract(manifest, tmp_path / "out", STOPPED_AT_ONCE)
    assert (voices.new, voices.left, len(voices.skipped)) == (4, 0, 8)


def test_an_unfinished_modality_says_what_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (voices,) = extract(made(tmp_path, 0, 6), out, STOPPED_AT_ONCE)
    assert voices.summary() == f"{out}/voices.h5: not written yet, 4 rows made, 2 left"
    assert not voices.path.exists()


def test_the_last_bits_do_not_tell_that_the_work_was_interrupted(tmp_path: Path) -> None:
    # AlexNet's last bits depend on the size of the batch; a damaged image shifts what is missing.
    config = replace(CONFIG, image=ImageConfig("alexnet", "random"), batch_size=3)
    manifest = made(tmp_path, 7, 0)
    (tmp_path / "0.png").write_bytes(b"")
    extract(manifest, tmp_path / "whole", config)
    for _ in range(3):
        extract(manifest, tmp_path / "out", replace(config, time_limit=1e-9))
    one, other = (tmp_path / name / "images.h5" for name in ("out", "whole"))
    np.testing.assert_array_equal(
        open_table(one, IMAGES).read("vectors"), open_table(other, IMAGES).read("vectors")
    )
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("tiny_encoder")
@pytest.mark.parametrize(("shard_rows", "shard_seconds"), [(1, 30.0), (512, 30.0), (512, 0.0)])
def test_a_file_does_not_tell_how_its_rows_were_cut_into_shards(
    tmp_path: Path, shard_rows: int, shard_seconds: float
) -> None:
    manifest = made(tmp_path, 9, 9)
    extract(manifest, tmp_path / "one", CONFIG)
    config = replace(CONFIG, shard_rows=shard_rows, shard_seconds=shard_seconds, jobs=2)
    extract(manifest, tmp_path / "other", config)
    for name in ("images.h5", "voices.h5"):
        one, other = tmp_path / "one" / name, tmp_path / "other" / name
        assert one.read_bytes() == other.read_bytes()


def test_shards_are_closed_after_their_rows_or_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = row_shards._write_shard

    def watched(of: modality.Modality, rows: Sequence[object]) -> None:
        sizes.append(len(rows))
        write(of, rows)

    monkeypatch.setattr(row_shards, "_write_shard", watched)
    manifest = made(tmp_path, 0, 10)
    extract(manifest, tmp_path / "a", replace(CONFIG, shard_rows=6))
    extract(manifest, tmp_path / "b", replace(CONFIG, shard_rows=99))
    extract(manifest, tmp_path / "c", replace(CONFIG, shard_rows=99, shard_seconds=0.0))
    assert sizes == [8, 2, 10, 4, 4, 2]


def test_features_of_another_encoder_are_made_anew_and_it_is_said_once(
    tmp_path: Path, counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    manifest = made(tmp_path, 3, 2)
    out = tmp_path / "out"
    extract(manifest, out, CONFIG)
    other = replace(CONFIG, image=ImageConfig("alexnet", "random"))
    extract(manifest, tmp_path / "fresh", other)
    counted.clear()
    caplog.clear()
    with pytest.raises(ExtractError, match=r"images\.h5: was made with other settings"):
        extract(manifest, out, other)
    assert counted == []
    images, voices = extract(manifest, out, other, overwrite=True)
    assert (images.new, voices.new) == (3, 0)
    assert counted == ["0.png", "1.png", "2.png"]
    assert (out / "images.h5").read_bytes() == (tmp_path / "fresh" / "images.h5").read_bytes()
    assert (
        caplog.text.count(
            f"{out}/images.h5: was made with other settings "
            "(encoder: squeezenet1_0, now alexnet; all rows are made anew)\n"
        )
        == 1
    )


@pytest.mark.parametrize("pixels", [PixelConfig(bands="3,2,1"), PixelConfig(stretch="minmax")])
def test_rows_of_other_bands_and_of_another_stretch_are_refused_until_overwritten(
    tmp_path: Path, counted: list[str], pixels: PixelConfig
) -> None:
    manifest = made(tmp_path, 2, 0)
    out = tmp_path / "out"
    extract(manifest, out, CONFIG)
    other = replace(CONFIG, image=replace(CONFIG.image, pixels=pixels))
    with pytest.raises(ExtractError, match=r"was made with other settings \(pixels: "):
        extract(manifest, out, other)
    counted.clear()
    (images,) = extract(manifest, out, other, overwrite=True)
    assert (images.new, counted) == (2, ["0.png", "1.png"])


def test_rows_of_an_earlier_reader_of_images_are_refused_until_overwritten(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = made(tmp_path, 2, 0)
    with monkeypatch.context() as patch:
        patch.setattr("ivr.pipeline.extraction.target.READER", "1")
        extract(manifest, tmp_path / "out", CONFIG)
    with pytest.raises(ExtractError, match=r"was made with other settings \(reader: 1, now 2"):
        extract(manifest, tmp_path / "out", CONFIG)
    counted.clear()
    extract(manifest, tmp_path / "out", CONFIG, overwrite=True)
    assert counted == ["0.png", "1.png"]


def test_images_of_a_version_that_recorded_no_reader_are_replaced_on_request_only(
    tmp_path: Path, counted: list[str]
) -> None:
    extract(made(tmp_path, 2, 0), tmp_path / "out", CONFIG)
    path = tmp_path / "out" / "images.h5"
    table = open_table(path, IMAGES)
    columns = {name: table.read(name) for name in table.columns}
    settings = dict(table.config["settings"])
    del settings["pixels"], settings["reader"]
    write_table(path, IMAGES, {**table.config, "settings": settings}, columns)
    counted.clear()
    with pytest.raises(ExtractError, match=r"pixels: not recorded, .*reader: not recorded, now"):
        extract(tmp_path / "all.csv", tmp_path / "out", CONFIG)
    assert counted == []
    extract(tmp_path / "all.csv", tmp_path / "out", CONFIG, overwrite=True)
    assert counted == ["0.png", "1.png"]


def test_shards_of_another_setting_are_never_mixed_in(
    tmp_path: Path, counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    manifest = made(tmp_path, 0, 6)
    out = tmp_path / "out"
    extract(manifest, out, STOPPED_AT_ONCE)
    longer = replace(CONFIG, voice=replace(TINY_VOICE, hop=100))
    counted.clear()
    with pytest.raises(ExtractError, match=r"made with other settings \(hop: 80, now 100\)"):
        extract(manifest, out, longer)
    (voices,) = extract(manifest, out, longer, overwrite=True)
    assert (voices.new, len(counted)) == (6, 6)
    assert "was made with other settings (hop: 80, now 100" in caplog.text
    extract(manifest, tmp_path / "fresh", longer)
    assert (out / "voices.h5").read_bytes() == (tmp_path / "fresh" / "voices.h5").read_bytes()


def test_an_overwriting_that_was_stopped_goes_on_without_being_asked_again(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 0, 6)
    out = tmp_path / "out"
    extract(manifest, out, CONFIG)
    longer = replace(STOPPED_AT_ONCE, voice=replace(TINY_VOICE, hop=100), overwrite=True)
    (voices,) = extract(manifest, out, longer)
    assert voices.left
    # The old file still has the old settings: neither they nor others may drop the new rows.
    for other in (CONFIG, replace(CONFIG, voice=replace(TINY_VOICE, hop=60))):
        with pytest.raises(ExtractError, match="made with other settings"):
            extract(manifest, out, other)
    counted.clear()
    (voices,) = extract(manifest, out, replace(longer, overwrite=False, time_limit=0))
    assert (voices.rows, voices.left) == (6, 0)
    assert len(counted) < 6


def test_a_task_does_not_make_rows_that_cannot_be_merged_into_the_features(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 0, 4)
    extract(manifest, tmp_path / "out", CONFIG)
    counted.clear()
    task = replace(CONFIG, stored="float16", shard=JobArrayTask(1, 2))
    with pytest.raises(ExtractError, match=r"out/voices\.h5: was made with other settings"):
        extract(manifest, tmp_path / "out", task)
    assert counted == []
    assert not (tmp_path / "out" / "parts").exists()


def test_an_extraction_that_fails_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    manifest = made(tmp_path, 2, 0)
    for image in tmp_path.glob("*.png"):
        image.write_bytes(b"no image")
    with pytest.raises(ExtractError, match="none of 2 images could be read"):
        extract(manifest, tmp_path / "new" / "out", CONFIG)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(ExtractError, match="none of 2 images could be read"):
        extract(manifest, tmp_path / "mine", CONFIG)
    assert (tmp_path / "mine").exists()


def test_a_whole_number_is_the_same_setting_as_the_float(
    tmp_path: Path, counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    manifest = made(tmp_path, 0, 1)
    extract(manifest, tmp_path / "out", CONFIG)
    counted.clear()
    extract(manifest, tmp_path / "out", replace(CONFIG, voice=replace(TINY_VOICE, top_db=80)))
    assert counted == []
    assert "other settings" not in caplog.text


def test_a_damaged_shard_is_made_again(tmp_path: Path, counted: list[str]) -> None:
    manifest = made(tmp_path, 0, 8)
    extract(manifest, tmp_path / "whole", CONFIG)
    out = tmp_path / "out"
    extract(manifest, out, STOPPED_AT_ONCE)
    (shard,) = (out / "voices.shards").iterdir()
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    counted.clear()
    (voices,) = extract(manifest, out, CONFIG)
    assert (voices.new, len(counted)) == (8, 8)
    assert (out / "voices.h5").read_bytes() == (tmp_path / "whole" / "voices.h5").read_bytes()


def test_half_precision_takes_half_the_room_and_the_same_values(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 2)
    extract(manifest, tmp_path / "float32", CONFIG)
    extract(manifest, tmp_path / "float16", replace(CONFIG, stored="float16"))
    wide, half = (
        open_table(tmp_path / name / "voices.h5", VOICES).read("vectors")
        for name in ("float32", "float16")
    )
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, wide.astype(np.float16))


def test_a_vector_beyond_half_precision_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loud(config: ImageConfig, device: torch.device) -> torch.nn.Module:
        encoder = load_tiny_encoder(config, device)
        encoder.net[1].bias.data[3] = 1e6
        return encoder

    monkeypatch.setattr(modality, "load_encoder", loud)
    manifest = made(tmp_path, 2, 0)
    with pytest.raises(ExtractError, match=r"^0\.png: its vector holds values beyond float16"):
        extract(manifest, tmp_path / "out", replace(CONFIG, stored="float16"))
    assert extract(manifest, tmp_path / "out", CONFIG).images.new == 2


def test_a_plan_counts_and_writes_nothing(tmp_path: Path, counted: list[str]) -> None:
    manifest = made(tmp_path, 10, 3)
    out = tmp_path / "out"
    images, voices = plan(manifest, out, CONFIG)
    assert (images.items, images.done, images.bytes) == (10, 0, 10 * 6 * 4)
    assert (voices.items, voices.done, voices.bytes) == (3, 0, 3 * 3 * 5 * 40 * 4)
    assert not out.exists()
    extract(manifest, out, STOPPED_AT_ONCE)
    counted.clear()
    files = sorted(out.rglob("*"))
    images, voices = plan(manifest, out, CONFIG)
    assert (images.done, voices.done) == (4, 0)
    assert counted == []
    assert sorted(out.rglob("*")) == files


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 1)
    with only_writer(tmp_path / "out"), pytest.raises(BusyError, match="is writing here"):
        extract(manifest, tmp_path / "out", CONFIG)
    assert os.listdir(tmp_path / "out") == [".lock"]


def test_a_manifest_inside_the_output_folder_stays_as_it_is(tmp_path: Path) -> None:
    made(tmp_path, 0, 1)
    text = "image,voice,label,source\n,0.wav,pond,my own notes\n"
    (tmp_path / "manifest.csv").write_text(text)
    extract(tmp_path / "manifest.csv", tmp_path, CONFIG)
    assert (tmp_path / "manifest.csv").read_text() == text


@pytest.mark.parametrize("call", [extract, plan])
def test_a_file_in_the_place_of_the_manifest_is_told_before_anything_is_extracted(
    tmp_path: Path, counted: list[str], call: Callable[..., object]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.csv").write_text("my own notes\n")
    with pytest.raises(InTheWayError, match=r"manifest\.csv: holds something else"):
        call(made(tmp_path, 1, 1), tmp_path / "out", CONFIG)
    assert counted == []
    assert set(os.listdir(tmp_path / "out")) <= {"manifest.csv", ".lock"}


def test_what_a_killed_call_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".voices.h5.123.partial").write_bytes(b"half")
    extract(made(tmp_path, 0, 1), tmp_path / "out", CONFIG)
    assert sorted(os.listdir(tmp_path / "out")) == [
        ".lock",
        "digests.json",
        "manifest.csv",
        "roots.json",
        "voices.h5",
    ]


def test_a_call_killed_while_it_removed_its_shards_leaves_no_folder_for_ever(
    tmp_path: Path,
) -> None:
    manifest = made(tmp_path, 0, 1)
    extract(manifest, tmp_path / "out", CONFIG)
    (tmp_path / "out" / "voices.shards").mkdir()
    extract(manifest, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out" / "voices.shards").exists()


def test_a_file_that_is_not_ours_is_refused_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "voices.h5").write_bytes(b"mine")
    with pytest.raises(InTheWayError, match=r"voices\.h5: holds something else than an HDF5 file"):
        extract(made(tmp_path, 0, 1), out, CONFIG)
    assert (out / "voices.h5").read_bytes() == b"mine"
    (out / "voices.h5").unlink()
    write_table(out / "voices.h5", VOICES, {}, {"names": text_column(["a"])})
    with pytest.raises(StoreError, match="not a table that ivr extract writes"):
        extract(tmp_path / "all.csv", out, CONFIG)


def signalling(*numbers: int) -> Callable[[ImageConfig, torch.device], torch.nn.Module]:
    """A loader of an encoder that signals this process at its first batch."""

    def load(config: ImageConfig, device: torch.device) -> torch.nn.Module:
        encoder = load_tiny_encoder(config, device)
        left = list(numbers)

        def send(*_: object) -> None:
            while left:
                os.kill(os.getpid(), left.pop())

        encoder.register_forward_pre_hook(send)
        return encoder

    return load


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_batch_finish_and_is_then_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(modality, "load_encoder", signalling(number))
    before = signal.getsignal(number)
    images, voices = extract(made(tmp_path, 6, 2), tmp_path / "out", CONFIG)
    assert (images.new, images.left, voices.new, voices.left) == (4, 2, 0, 2)
    assert signal.getsignal(number) is before


def test_a_second_signal_acts_as_usual_and_loses_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = made(tmp_path, 9, 0)
    monkeypatch.setattr(modality, "load_encoder", load_tiny_encoder)
    config = replace(CONFIG, shard_rows=99)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def load(config: ImageConfig, device: torch.device) -> torch.nn.Module:
        encoder = load_tiny_encoder(config, device)
        calls = iter([None, interrupted])
        encoder.register_forward_pre_hook(lambda *_: (next(calls) or print)())
        return encoder

    monkeypatch.setattr(modality, "load_encoder", load)
    with pytest.raises(KeyboardInterrupt):
        extract(manifest, tmp_path / "out", config)
    monkeypatch.setattr(target, "describe_encoder", describe_tiny_encoder)
    assert plan(manifest, tmp_path / "out", config).images.done == 4
    assert_free(tmp_path / "out")


@pytest.mark.usefixtures("tiny_encoder")
def test_stopping_early_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = replace(STOPPED_AT_ONCE, jobs=2, shard_rows=99)
        (images,) = extract(made(tmp_path, 12, 0), tmp_path / "out", config)
    assert images.left == 8


def test_reader_processes_make_the_same_rows(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    extract(manifest, tmp_path / "one", CONFIG)
    extract(manifest, tmp_path / "two", replace(CONFIG, jobs=2))
    one, two = (tmp_path / name / "voices.h5" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_batches_of_torch_make_the_rows_of_the_readers(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    (tmp_path / "2.wav").write_bytes(b"")
    extract(manifest, tmp_path / "one", CONFIG)
    torch_voice = replace(CONFIG, voice=replace(TINY_VOICE, backend="torch"), batch_size=3)
    (voices,) = extract(manifest, tmp_path / "two", torch_voice)
    assert (voices.rows, voices.skipped) == (5, ("2.wav",))
    assert open_table(voices.path, VOICES).config["made_with"]["backend"] == "torch"
    one, two = (rows_of(tmp_path / name / "voices.h5", VOICES) for name in ("one", "two"))
    assert list(one) == list(two)
    for name, vector in one.items():
        np.testing.assert_allclose(two[name], vector, rtol=0, atol=1e-6 * np.abs(vector).max())
    again = extract(manifest, tmp_path / "two", replace(torch_voice, time_limit=1e-9))
    assert again.voices.new == 0


def test_a_call_goes_on_with_the_batch_size_that_was_begun_with(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 7)
    for size in (3, 0):  # 0 is what this machine would take, if nothing were begun
        extract(manifest, tmp_path / "out", replace(STOPPED_AT_ONCE, batch_size=size))
    assert plan(manifest, tmp_path / "out", CONFIG).voices.done == 6
    (voices,) = extract(manifest, tmp_path / "out", CONFIG)
    assert open_table(voices.path, VOICES).config["made_with"]["batch_size"] == "3 and 4"


def test_a_flipped_byte_of_the_old_file_is_not_blessed_by_new_rows(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    write_manifest(tmp_path / "first.csv", Manifest(read_manifest(manifest).rows[:4]))
    (voices,) = extract(tmp_path / "first.csv", tmp_path / "out", CONFIG)
    content = bytearray(voices.path.read_bytes())
    content[open_table(voices.path, VOICES).columns["vectors"].offset] ^= 1
    voices.path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged, its content does not match its sha256"):
        extract(manifest, tmp_path / "out", CONFIG)


def fatal(name: str, *_: object) -> SkippedFile:
    if name == "5.wav":
        os.kill(os.getpid(), signal.SIGKILL)
    return SkippedFile(name, "not read")


def test_a_reader_process_that_is_killed_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_rows, "listen", fatal)
    with pytest.raises(LostReadersError, match=r"a reader process was, .* ended from outside"):
        extract(made(tmp_path, 0, 6), tmp_path / "out", replace(CONFIG, jobs=2))


def test_a_reader_process_leaves_signals_to_its_caller() -> None:
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from ivr.pipeline.extraction.worker_tasks import listen;"
        "from ivr.features.spectral_encoders import MfccReader;"
        "from ivr.features.mfcc import VoiceConfig;"
        "assert 'torch' not in sys.modules and 'librosa' not in sys.modules;"
        "listen('absent.wav', Path('.'), MfccReader(VoiceConfig()), os.getppid());"
        "[os.kill(os.getpid(), number) for number in (signal.SIGINT, signal.SIGTERM)]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_reader_in_the_process_of_its_caller_does_not_touch_its_signals() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert listen("absent.wav", Path("."), MfccReader(TINY_VOICE), os.getpid()) == SkippedFile(
        "absent.wav", "no such file"
    )
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


TORTURE = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from ivr.features.mfcc import VoiceConfig
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.plan import plan
from ivr.pipeline.extraction.extract_config import ExtractConfig

manifest, folder = Path(sys.argv[1]), Path(sys.argv[2])
voice = VoiceConfig(frames=40, coefficients=5, mels=20)
config = ExtractConfig(voice=voice, batch_size=2, shard_rows=2, jobs=1)
began = time.monotonic()
extract(manifest, folder / "whole", config)
usual, done, rng = time.monotonic() - began, 0, np.random.default_rng(0)
for kill in range(12):
    child = os.fork()
    if not child:
        extract(manifest, folder / "out", config)
        os._exit(0)
    time.sleep(rng.uniform(0, 0.4) * usual)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    now = plan(manifest, folder / "out", config).voices.done
    assert now >= done, (now, done)
    done = now
result = extract(manifest, folder / "out", config).voices
assert result.rows == 16, result
names = set(os.listdir(folder / "out"))
assert names == {".lock", "digests.json", "manifest.csv", "roots.json", "voices.h5"}, names
one, other = ((folder / name / "voices.h5").read_bytes() for name in ("out", "whole"))
assert one == other
"""


def test_calls_killed_at_any_moment_lose_nothing_that_was_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TORTURE, str(made(tmp_path, 0, 16)), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stored": "float64"}, "stored must be float32 or float16, got 'float64'"),
        ({"batch_size": -1}, "batch_size must be at least 0, got -1"),
        ({"gpu_memory_fraction": 0.0}, r"gpu_memory_fraction must be in \(0, 1\], got 0.0"),
        ({"shard_rows": 0}, "shard_rows must be at least 1, got 0"),
        ({"jobs": -1}, "jobs must be at least 0, got -1"),
        ({"time_limit": float("nan")}, "time_limit must be a finite number, got nan"),
    ],
)
def test_a_config_without_meaning_is_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CONFIG, **changed)


def test_a_network_that_gives_no_such_vector_is_refused_in_one_line(tmp_path: Path) -> None:
    config = replace(CONFIG, image=replace(RANDOM, relu=False))
    with pytest.raises(EncoderError, match="does not come straight from a ReLU"):
        extract(made(tmp_path, 1, 0), tmp_path / "out", config)


def test_paths_out_of_the_root_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("image,voice,label\n../secret.png,,a\n")
    with pytest.raises(ManifestError, match=r"must be a path below the root, without '\.\.'"):
        extract(tmp_path / "all.csv", tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()


def test_a_summary_counts_rows_new_ones_and_skipped() -> None:
    path = Path("out/images.h5")
    assert ExtractedModality(path, 9, 4, (), 0).summary() == "out/images.h5: 9 rows, 4 of them new"
    assert ExtractedModality(path, 9, 0, ("a", "b"), 0).summary() == (
        "out/images.h5: 9 rows, 0 of them new, 2 files skipped"
    )


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:99", "cuda:-1", ""])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=r"device must be auto|CUDA devices here"):
        choose_device(name)


def test_devices_go_by_name() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected


def test_another_data_set_with_the_same_names_is_not_taken_for_this_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write_manifest(tmp_path / folder / "m.csv", Manifest((ManifestRow("", "1.wav", "pond"),)))
        sound = rng.normal(0, 0.1, 2400).astype(np.float32)  # both files have the same size
        soundfile.write(tmp_path / folder / "1.wav", sound, 16_000)
    config = ExtractConfig(voice=TINY_VOICE, jobs=1)
    stored = []
    for folder in ("first", "second"):
        (done,) = extract(tmp_path / folder / "m.csv", tmp_path / "out", config)
        assert (done.new, done.rows) == (1, 1)
        stored.append(open_table(tmp_path / "out" / "voices.h5", VOICES).read("vectors"))
    expected, _ = voice_vectors(*read_voice(tmp_path / "second" / "1.wav"), TINY_VOICE)
    assert not np.array_equal(stored[0], stored[1])
    np.testing.assert_array_equal(stored[1][0], expected.reshape(-1))


def test_a_copy_of_a_file_is_the_same_file_and_one_that_is_gone_keeps_its_row(
    tmp_path: Path,
) -> None:
    write_manifest(tmp_path / "m.csv", Manifest((ManifestRow("", "1.wav", "pond"),)))
    sound = np.random.default_rng(5).normal(0, 0.1, 2400)
    soundfile.write(tmp_path / "1.wav", sound, 16_000)
    config = ExtractConfig(voice=TINY_VOICE, jobs=1)
    extract(tmp_path / "m.csv", tmp_path / "out", config)
    content = (tmp_path / "1.wav").read_bytes()
    (tmp_path / "1.wav").unlink()
    assert extract(tmp_path / "m.csv", tmp_path / "out", config).voices.new == 0
    (tmp_path / "1.wav").write_bytes(content)
    assert extract(tmp_path / "m.csv", tmp_path / "out", config).voices.new == 0


def test_random_weights_are_said_aloud(
    media_set: Path, tmp_path: Path, tiny_encoder: None, caplog: pytest.LogCaptureFixture
) -> None:
    config = ExtractConfig(ImageConfig("alexnet", "random"), TINY_VOICE, jobs=1)
    plan(media_set / "manifest.csv", tmp_path / "out", config)
    assert "note: alexnet has RANDOM weights" in caplog.text


def test_a_file_replaced_by_an_unreadable_one_loses_its_row(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 5)
    extract(manifest, tmp_path / "out", CONFIG)
    (tmp_path / "2.wav").write_bytes(b"RIFFnothing")
    (voices,) = extract(manifest, tmp_path / "out", CONFIG)
    assert (voices.rows, voices.new, voices.skipped) == (4, 0, ("2.wav",))
    assert "2.wav" not in open_table(voices.path, VOICES).text("names")
    again = extract(manifest, tmp_path / "out", CONFIG).voices
    assert (again.rows, again.skipped) == (4, ("2.wav",))


def test_a_manifest_that_is_extracted_where_it_lies_has_its_new_digest(tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(made(tmp_path, 0, 1), out, CONFIG)
    copy = out / "manifest.csv"
    copy.write_text(copy.read_text() + "\n")
    assert not verify(out).whole
    extract(copy, out, CONFIG, root=tmp_path)
    assert verify(out).whole
