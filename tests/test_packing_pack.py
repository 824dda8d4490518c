"""Packing: what is written, what is compared, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_world import World, tiny_blueprint
from torch import Tensor, nn

import ivr
from ivr.features import encoders
from ivr.features.image_input import ImageInput
from ivr.features.media import MediaError
from ivr.hashing.methods import method_entry, own_method_names
from ivr.hashing.networks import Sizes
from ivr.pipeline.extraction.kept_manifest import MediaRoots
from ivr.pipeline.packing import check_inputs as inputs
from ivr.pipeline.packing import pack as stage
from ivr.pipeline.packing.check_inputs import check_inputs, made_up_pictures
from ivr.pipeline.packing.code_check import NOISE, compared
from ivr.pipeline.packing.code_maker import open_model
from ivr.pipeline.packing.model_folder import PackError
from ivr.pipeline.packing.onnx_export import VoiceEnd, export_voice_end
from ivr.pipeline.runs.run_folder import RunError, read_config


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)


@pytest.fixture
def run(world: World, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.run, tmp_path / "run"))


@pytest.fixture
def exported(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the networks of ``packed`` in place of exporting the same again, which takes seconds."""
    exports = {
        "export_voice_end": "voice.onnx",
        "export_image_end": "image.onnx",
        "export_encoder": "encoder.onnx",
    }
    for function, name in exports.items():

        def export(_: object, path: Path, name: str = name) -> None:
            for file in packed.glob(f"{name}*"):
                shutil.copyfile(file, path.with_name(file.name))

        monkeypatch.setattr(stage, function, export)


def test_a_model_is_whole_and_has_no_path_of_the_machine(packed: Path, world: World) -> None:
    names = {path.name for path in packed.iterdir() if not path.name.startswith(".")}

    assert ivr.verify(packed).whole
    assert names == {
        "README.md", "digests.json", "encoder.onnx", "encoder.onnx.data", "image.onnx",
        "model.json", "requirements.txt", "voice.onnx",
    }  # fmt: skip
    for name in names:
        content = (packed / name).read_bytes()
        assert str(world.run.parent).encode() not in content, name
        assert str(Path(ivr.__file__).parents[1]).encode() not in content, name


def test_codes_are_compared_on_items_of_the_run_or_on_made_up_ones(
    packed: Path, world: World
) -> None:
    checks = json.loads((packed / "model.json").read_text())["checks"]

    assert [(one["network"], one["inputs"], one["source"]) for one in checks] == [
        ("voice.onnx", 12, "features of the run"),
        ("image.onnx", 12, "features of the run"),
        ("encoder.onnx and image.onnx", 12, "images of the run"),
    ]
    config = read_config(world.run)
    gone = {**config, "features": {**config["features"], "folder": "/nowhere"}}
    made_up = check_inputs(gone, 50)
    assert (made_up.source, len(made_up.vectors), len(made_up.streams)) == ("made up", 50, 50)
    assert not made_up.streams[made_up.frames < 16][..., 15].any()
    others = {**config, "features": {**config["features"], "sha256": {"images": "0"}}}
    assert check_inputs(others, 5).source == "made up"


def test_the_encoder_is_compared_on_images_of_the_run(
    world: World, run: Path, exported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run.parent / "model"
    found = ivr.pack(run, out, image_root=world.media)
    *_, of_images = found.checks
    assert (of_images.inputs, of_images.source) == (12, "images of the run")
    assert "(12 inputs, images of the run)" in (out / "README.md").read_text()

    shutil.copytree(world.media, run.parent / "other")
    next((run.parent / "other").rglob("*.png")).unlink()
    with pytest.raises(MediaError, match=r"other/.*\.png: no such file"):
        ivr.pack(run, out, image_root=run.parent / "other", overwrite=True)


def test_images_are_found_where_they_were_extracted_from(
    world: World, run: Path, exported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ivr.pack(run, run.parent / "model")
    assert (found.checks[-1].inputs, found.checks[-1].source) == (12, "images of the run")

    monkeypatch.setattr(inputs, "media_roots", lambda *_: MediaRoots(run, run))
    found = ivr.pack(run, run.parent / "model", overwrite=True, pictures=4)
    assert (found.checks[-1].inputs, found.checks[-1].source) == (4, "made up")
    with pytest.raises(PackError, match=r"not where they were extracted from; say where they are"):
        ivr.pack(run, run.parent / "model", overwrite=True, int8=True, pictures=4)


def test_the_encoder_is_compared_on_a_thousand_pictures_for_a_limited_time(
    run: Path, exported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "media_roots", lambda *_: MediaRoots(run, run))
    out = run.parent / "model"
    assert ivr.pack(run, out).checks[-1].inputs == 1000
    limited = ivr.pack(run, out, overwrite=True, picture_seconds=1e-9)
    assert limited.checks[-1].inputs == 32
    assert "(32 inputs, made up)" in (out / "README.md").read_text()


def test_made_up_pictures_are_the_same_everywhere_and_differ() -> None:
    pictures = np.stack([*made_up_pictures(5, ImageInput(16))])

    np.testing.assert_array_equal(pictures, np.stack([*made_up_pictures(5, ImageInput(16))]))
    assert len({picture.tobytes() for picture in pictures}) == 5


def test_a_bit_may_differ_where_its_output_is_float_noise_and_nowhere_else() -> None:
    expected = np.array([[1.0, -1.0], [1.0, 0.1 * NOISE]])
    noisy = np.array([[1.0, -1.0], [1.0, -0.1 * NOISE]])
    wrong = np.array([[1.0, 1.0], [1.0, 0.1 * NOISE]])

    check = compared("voice.onnx", "made up", expected, noisy)

    assert (check.bits, check.differ) == (4, 1)
    assert str(check) == "voice.onnx: 1 of 4 bits differ from the run (2 inputs, made up)"
    with pytest.raises(PackError, match=r"voice.onnx: 1 of 4 bits are not those of the run"):
        compared("voice.onnx", "made up", expected, wrong)
    with pytest.raises(PackError):
        compared("voice.onnx", "made up", expected, np.full((2, 2), np.nan))


def test_a_network_that_gives_other_codes_leaves_no_model(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: None
) -> None:
    encode = stage.encode_images
    monkeypatch.setattr(stage, "encode_images", lambda *arguments: -encode(*arguments))

    with pytest.raises(PackError, match=r"image.onnx: \d+ of 96 bits are not those of the run"):
        ivr.pack(run, tmp_path / "model", encoder=False)

    assert not (tmp_path / "model").exists()


def representatives() -> list[str]:
    """Return one method for each way to compute outputs."""
    found = {}
    for name in own_method_names():
        method = method_entry(name).build
        steps = ("pool", "encode_images", "encode_voices")
        found[tuple(getattr(method, step) for step in steps)] = name
    return sorted(found.values())


@pytest.mark.parametrize("name", representatives())
def test_the_voice_end_of_every_kind_of_method_is_that_of_torch(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    entry = method_entry(name)
    method = entry.build(entry.config(), Sizes(8, (2, 3, 40), 16, 3)).eval()
    streams, frames = torch.randn(7, 2, 3, 40), torch.tensor([1, 40, 39, 8, 9, 100, 17])

    export_voice_end(method, tmp_path / "voice.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "voice.onnx"))

    for rows in (slice(0, 7), slice(2, 3)):
        found = session.run(
            None, {"streams": streams[rows].numpy(), "frames": frames[rows].numpy()}
        )[0]
        with torch.inference_mode():
            expected = VoiceEnd(method).eval()(streams[rows], frames[rows]).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


class Choosing(nn.Module):
    """What no exporter can follow: a branch by a value."""

    sizes = Sizes(8, (1, 2, 8), 8, 2)

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        return voices, frames

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        sums = voices.sum((1, 2))
        return sums if float(voices.mean()) > 0 else -sums


def test_a_network_that_chooses_by_values_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"voice.onnx: this network cannot be exported") as error:
        export_voice_end(Choosing(), tmp_path / "voice.onnx")
    assert "\n" not in str(error.value)


def test_a_method_that_ranks_otherwise_is_packed_as_its_sign_codes_and_says_so(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    exported: None,
) -> None:
    monkeypatch.setattr(method_entry("divh").build, "distance", "euclidean")

    ivr.pack(run, tmp_path / "model", encoder=False)

    assert "divh ranks by euclidean; the packed model makes its sign codes" in caplog.text
    assert open_model(tmp_path / "model").distance == "euclidean"
    assert "divh itself ranks by euclidean" in (tmp_path / "model" / "README.md").read_text()


def test_a_model_without_encoder_answers_voices_only(
    run: Path, tmp_path: Path, exported: None
) -> None:
    found = ivr.pack(run, tmp_path / "model", encoder=False)
    model = open_model(tmp_path / "model")

    assert "encoder.onnx" not in found.files
    assert model.codes_of_streams(np.zeros((1, 3, 3, 16), np.float32), np.array([4])).shape == (
        1,
        1,
    )
    with pytest.raises(PackError, match="was packed without its image encoder"):
        model.codes_of_pixels(np.zeros((1, 3, 8, 8), np.uint8))
    assert model.identity == open_model(run, device="cpu").identity


def test_the_card_has_the_results_of_this_model_alone(
    run: Path, world: World, exported: None
) -> None:
    ivr.evaluate(run)
    results = json.loads((run / "results.json").read_text())
    out = run.parent / "model"

    ivr.pack(run, out, encoder=False, licence="CC0", data_licence="by hand", author="the team")
    card = (out / "README.md").read_text()

    measured = results["voice_to_image"]["mAP"], results["chance"]["voice_to_image"]["mAP"]
    assert f"| voice to image | mAP | {measured[0]:.2f} | {measured[1]:.2f} |" in card
    assert "3 classes: forest, pond, river" in card
    assert "* model: CC0\n* data: by hand\n* questions to: the team\n" in card
    results["codes"]["model_sha256"] = "another"
    (run / "results.json").write_text(json.dumps(results))
    ivr.pack(run, out, encoder=False, overwrite=True)
    card = (out / "README.md").read_text()
    assert "The results of the run are of other weights and not shown." in card
    assert "* model: not stated" in card


def test_vectors_of_lower_precision_are_refused_with_the_ways_out(
    run: Path, exported: None
) -> None:
    config = json.loads((run / "config.json").read_text())
    config["features"]["images"]["precision"] = "bfloat16"
    (run / "config.json").write_text(json.dumps(config))

    with pytest.raises(PackError, match=r"made in bfloat16.*--precision float32, or .*--no-enc"):
        ivr.pack(run, run.parent / "model")
    assert ivr.pack(run, run.parent / "model", encoder=False).bits == 8


def test_a_model_that_was_fitted_on_arrays_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 4)).astype(np.float32)
    streams = rng.normal(size=(12, 3, 3, 16)).astype(np.float32)
    model = ivr.fit(vectors, streams, ["a", "b", "c"] * 4, method="lsh", bits=8)
    model.save(tmp_path / "run")

    with pytest.raises(RunError, match="was fitted on arrays and knows no settings of the voices"):
        ivr.pack(tmp_path / "run", tmp_path / "model")


def test_int8_says_what_it_costs_and_is_another_model(
    world: World, run: Path, exported: None
) -> None:
    out = run.parent / "model"
    with pytest.raises(MediaError, match="no such file"):
        ivr.pack(run, out, int8=True, image_root=run)

    found = ivr.pack(run, out, int8=True)  # where the images were extracted from
    recorded = json.loads((out / "model.json").read_text())["int8"]

    assert set(recorded["files"]) == {"voice.onnx", "image.onnx", "encoder.onnx"}
    for loss in found.int8:
        assert recorded["mAP"][loss.direction] == {
            "float32": loss.float32, "queries": loss.queries, "both": loss.both
        }  # fmt: skip
        assert 0 < loss.both <= 100
        assert f"int8, {loss.direction.replace('_', ' ')}: mAP {loss.float32:.2f} %" in repr(found)
    assert (
        f"{found.int8[0].float32:.2f} | {found.int8[0].queries:.2f}"
        in (out / "README.md").read_text()
    )
    assert open_model(out).identity != open_model(run, device="cpu").identity
    assert ivr.verify(out).whole
    pictures = np.stack([*made_up_pictures(40, ImageInput(8))])
    codes = open_model(out).codes_of_pixels(pictures)
    plain = open_model(run, device="cpu").codes_of_pixels(pictures)
    assert np.unpackbits(codes ^ plain).mean() < 0.1


def test_int8_needs_codes_and_features_to_measure_its_loss(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["features"]["folder"] = str(run / "gone")
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(PackError, match="features of the run are gone or others now"):
        ivr.pack(run, run.parent / "model", int8=True, encoder=False)
    (run / "codes.h5").unlink()
    with pytest.raises(PackError, match="--int8 measures its loss on it: ivr encode"):
        ivr.pack(run, run.parent / "model", int8=True, encoder=False)
