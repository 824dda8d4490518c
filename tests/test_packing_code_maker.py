"""A run and its packed model as makers of codes."""

import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
from conftest import SAMPLE_RATE
from PIL import Image
from tiny_world import World, tiny_blueprint

from ivr.features import encoders
from ivr.features.media import MediaError
from ivr.pipeline.packing.code_maker import CodeMaker, open_model
from ivr.pipeline.packing.model_folder import PackError, model_identity
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.run_folder import read_config
from ivr.pipeline.runtime.device import DeviceError
from ivr.pipeline.runtime.digests import record_digests


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)


@pytest.fixture(params=["run", "packed"])
def maker(request: pytest.FixtureRequest, world: World, packed: Path) -> CodeMaker:
    folder = world.run if request.param == "run" else packed
    return open_model(folder, device="cpu", threads=1)


@pytest.fixture
def copied(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "model"))


def test_codes_of_files_are_those_that_the_run_stored(maker: CodeMaker, world: World) -> None:
    stored = read_codes(world.run / "codes.h5")
    pixels = [maker.pixels((world.media / name).read_bytes()) for name in stored.images.names]
    voices = [maker.streams((world.media / name).read_bytes()) for name in stored.voices.names]

    images = maker.codes_of_pixels(np.stack(pixels))
    spoken = maker.codes_of_streams(
        np.stack([streams for streams, _, _ in voices]),
        np.array([frames for _, frames, _ in voices]),
    )

    np.testing.assert_array_equal(images, stored.images.codes)
    np.testing.assert_array_equal(spoken, stored.voices.codes)


def test_a_run_and_its_packed_model_are_one_model(world: World, packed: Path) -> None:
    run, model = open_model(world.run, device="cpu"), open_model(packed)

    for name in ("bits", "method", "distance", "classes", "identity", "model_sha256", "input"):
        assert getattr(run, name) == getattr(model, name), name
    assert run.pixels_config == model.pixels_config
    assert run.voices.reader == model.voices.reader


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("images", "sha256", "0"), ("images", "views", 4), ("voices", "hop", 81), ("", "bits", 16)],
)
def test_the_identity_changes_with_all_that_decides_a_code(
    world: World, section: str, name: str, value: object
) -> None:
    config = read_config(world.run)
    before = model_identity(config, "a")
    changed = json.loads(json.dumps(config))
    (changed["features"][section] if section else changed)[name] = value

    assert model_identity(config, "a") == before
    assert model_identity(config, "b") != before
    assert model_identity(changed, "a") != before
    assert model_identity(config, "a", {}) != before


def test_no_items_have_no_codes(maker: CodeMaker) -> None:
    pixels = np.empty((0, 3, 8, 8), np.uint8)
    streams = np.empty((0, 3, 3, 16), np.float32)

    assert maker.codes_of_pixels(pixels).shape == (0, 1)
    assert maker.codes_of_streams(streams, np.empty(0, np.int64)).shape == (0, 1)


def test_codes_do_not_depend_on_the_batch(maker: CodeMaker) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (70, 3, 8, 8)).astype(np.uint8)
    streams = rng.normal(0, 5, (300, 3, 3, 16)).astype(np.float32)
    frames = rng.integers(1, 20, 300)

    images, voices = maker.codes_of_pixels(pixels), maker.codes_of_streams(streams, frames)

    np.testing.assert_array_equal(maker.codes_of_pixels(pixels[69:]), images[69:])
    np.testing.assert_array_equal(maker.codes_of_streams(streams[299:], frames[299:]), voices[299:])


def test_arrays_of_another_shape_are_refused(maker: CodeMaker) -> None:
    with pytest.raises(ValueError, match=r"pixels must be uint8 \[n, 3, 8, 8\], got uint8"):
        maker.codes_of_pixels(np.zeros((1, 3, 9, 9), np.uint8))
    with pytest.raises(ValueError, match=r"streams must be float32 \[m, 3, 3, 16\], got float64"):
        maker.codes_of_streams(np.zeros((1, 3, 3, 16)), np.array([3]))
    with pytest.raises(ValueError, match=r"frames must be integers \[1\], got float64"):
        maker.codes_of_streams(np.zeros((1, 3, 3, 16), np.float32), np.array([3.0]))


def test_what_is_odd_about_a_recording_is_told(maker: CodeMaker) -> None:
    content = BytesIO()
    soundfile.write(content, np.zeros(SAMPLE_RATE), SAMPLE_RATE, format="WAV")

    _, frames, warnings = maker.streams(content.getvalue())

    assert frames == 201
    assert [one.key for one in warnings] == ["silent", "cut"]


def test_content_that_is_no_medium_is_refused(maker: CodeMaker) -> None:
    with pytest.raises(MediaError, match="not a JPEG, PNG"):
        maker.pixels(b"neither")
    with pytest.raises(MediaError, match="not a WAV"):
        maker.streams(b"neither")


def test_bands_are_taken_as_the_features_of_the_run_took_them(world: World, copied: Path) -> None:
    description = json.loads((copied / "model.json").read_text())
    description["images"]["pixels"]["bands"] = ["3", "2", "1"]
    (copied / "model.json").write_text(json.dumps(description))
    record_digests(copied, ["model.json"])
    rng = np.random.default_rng(0)
    picture, turned = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8), BytesIO()
    Image.fromarray(picture).save(turned, "PNG")

    found = open_model(copied).pixels(turned.getvalue())

    np.testing.assert_array_equal(found, picture.transpose(2, 0, 1)[::-1])


@pytest.mark.parametrize("name", ["voice.onnx", "image.onnx", "encoder.onnx", "encoder.onnx.data"])
def test_a_flipped_bit_is_found_before_the_network_is_used(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    model = open_model(copied)

    with pytest.raises(PackError, match=rf"{name}: damaged, does not match its sha256"):
        if name == "voice.onnx":
            model.codes_of_streams(np.zeros((1, 3, 3, 16), np.float32), np.array([5]))
        else:
            model.codes_of_pixels(np.zeros((1, 3, 8, 8), np.uint8))


def test_a_missing_network_is_named(copied: Path) -> None:
    (copied / "encoder.onnx.data").unlink()

    with pytest.raises(PackError, match=r"encoder.onnx.data: missing; pack the run again"):
        open_model(copied).codes_of_pixels(np.zeros((1, 3, 8, 8), np.uint8))


def test_a_network_that_is_no_onnx_file_is_one_line(copied: Path) -> None:
    (copied / "voice.onnx").write_bytes(b"no network")
    record_digests(copied, ["voice.onnx"])

    with pytest.raises(PackError, match=r"voice.onnx: onnxruntime cannot load it") as error:
        open_model(copied).codes_of_streams(np.zeros((1, 3, 3, 16), np.float32), np.array([5]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", 2, "of another version of ivr; pack the run again"),
        ("bits", "many", "not the description of a model"),
        ("voices", {}, "its features lack sample_rate"),
    ],
)
def test_a_description_that_cannot_be_used_is_one_line(
    copied: Path, key: str, value: object, words: str
) -> None:
    description = json.loads((copied / "model.json").read_text())
    (copied / "model.json").write_text(json.dumps({**description, key: value}))
    with pytest.raises(PackError, match=r"model.json: damaged"):
        open_model(copied)
    record_digests(copied, ["model.json"])
    with pytest.raises(ValueError, match=words):
        open_model(copied)


def test_a_model_whose_voices_are_not_those_of_its_sizes_is_damaged(
    copied: Path, world: World
) -> None:
    description = json.loads((copied / "model.json").read_text())
    description["voices"]["frames"] += 8
    (copied / "model.json").write_text(json.dumps(description))
    record_digests(copied, ["model.json"])
    voice = next(world.media.glob("*.wav")).read_bytes()
    with pytest.raises(PackError, match=r"model.json: damaged, its voices are not those of its"):
        open_model(copied).streams(voice)


def test_a_model_for_another_reader_of_images_says_so(
    copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    description = json.loads((copied / "model.json").read_text())
    description["images"]["reader"] = "1"
    (copied / "model.json").write_text(json.dumps(description))
    record_digests(copied, ["model.json"])

    open_model(copied).codes_of_pixels(np.zeros((1, 3, 8, 8), np.uint8))

    assert "was packed for another reader of images" in caplog.text


def test_a_folder_that_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="neither a packed model nor a run"):
        open_model(tmp_path)


def test_weights_belong_to_a_run_only(packed: Path) -> None:
    with pytest.raises(PackError, match="has its image encoder inside; leave out --weights"):
        open_model(packed, weights="random")


def test_a_gpu_that_onnxruntime_does_not_know_is_refused(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])

    with pytest.raises(DeviceError, match="this onnxruntime has no CUDA; install onnxruntime-gpu"):
        open_model(packed, device="cuda:0")
    with pytest.raises(DeviceError, match="device must be auto, cpu, cuda or cuda:N, got 'gpu'"):
        open_model(packed, device="gpu")
    assert open_model(packed, device="auto").bits == 8
