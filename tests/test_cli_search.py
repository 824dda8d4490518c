import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import write_media
from PIL import Image

from ivr.cli import main
from ivr.features.encoders import encoder_blueprint
from ivr.hashing.codes import unpack
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.query_vectors import QueryVectors


def ivr(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the made-up media, beside the media."""
    folder = tmp_path_factory.mktemp("search")
    manifest = write_media(folder / "media")
    extracted = ivr(
        "extract", manifest, "--out", folder / "features", "--encoder", "squeezenet1_0",
        "--weights", "random", "--voice-option", "frames=30", "--jobs", "1", "--device", "cpu",
    )  # fmt: skip
    assert extracted.exit_code == 0, extracted.output
    trained = ivr(
        "train-hash", folder / "features", "--out", folder / "run", "--bits", "16", "--epochs", "2",
        "--set", "network.voice_channels=8", "--set", "network.voice_stride=1",
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    return folder / "run"


def test_a_voice_of_the_archive_finds_images_in_the_order_of_its_stored_code(run: Path) -> None:
    voice = run.parent / "media" / "voices" / "pond" / "2_1.wav"
    found = json.loads(ivr("search", run, "--voice", voice, "--count", "18", "--json").stdout)
    codes = read_codes(run / "codes.h5")
    stored = dict(zip(codes.voices.names, unpack(codes.voices.codes, 16), strict=True))
    images = unpack(codes.images.codes, 16).astype(int)
    distances = (16 - images @ stored["voices/pond/2_1.wav"].astype(int)) // 2
    assert {hit["name"]: hit["distance"] for hit in found} == dict(
        zip(codes.images.names, distances.tolist(), strict=True)
    )
    assert [hit["distance"] for hit in found] == sorted(distances.tolist())


def test_an_image_of_the_archive_finds_voices_in_the_order_of_its_stored_code(run: Path) -> None:
    image = run.parent / "media" / "images" / "river" / "4.png"
    found = json.loads(ivr("search", run, "--image", image, "--count", "5", "--json").stdout)
    codes = read_codes(run / "codes.h5")
    stored = dict(zip(codes.images.names, unpack(codes.images.codes, 16), strict=True))
    voices = unpack(codes.voices.codes, 16).astype(int)
    distances = (16 - voices @ stored["images/river/4.png"].astype(int)) // 2
    assert [hit["distance"] for hit in found] == np.sort(distances)[:5].tolist()


def test_hits_are_lines_of_place_distance_name_and_label(run: Path) -> None:
    voice = run.parent / "media" / "voices" / "pond" / "2_1.wav"
    lines = ivr("search", run, "--voice", voice, "--count", "3").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert [line for line in lines if line != line.rstrip()] == []
    assert all(
        line.split()[2] == "bits" and line.split()[3].startswith("images/") for line in lines
    )


def test_codes_of_another_model_are_refused(run: Path, tmp_path: Path) -> None:
    other = ivr(
        "train-hash", run.parent / "features", "--out", tmp_path / "other", "--bits", "16",
        "--epochs", "1", "--seed", "1",
        "--set", "network.voice_channels=8", "--set", "network.voice_stride=1",
    )  # fmt: skip
    assert other.exit_code == 0, other.output
    voice = run.parent / "media" / "voices" / "pond" / "2_1.wav"
    result = ivr("search", run, "--voice", voice, "--codes", tmp_path / "other" / "codes.h5")
    assert result.exit_code == 1
    assert "was not made with the model of" in result.stderr


def test_a_damaged_recording_is_named_in_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    result = ivr("search", run, "--voice", tmp_path / "empty.wav")
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {tmp_path / 'empty.wav'}: empty file\n",
    )


@pytest.mark.parametrize("arguments", [(), ("--voice", "a.wav", "--image", "b.png")])
def test_one_query_is_wanted(run: Path, arguments: tuple[str, ...]) -> None:
    result = ivr("search", run, *arguments)
    assert result.exit_code == 2
    assert "give either --voice or --image" in result.stderr


def test_a_file_of_weights_has_to_be_given_again(run: Path, tmp_path: Path) -> None:
    for name in ("codes.h5", "model.safetensors", "splits.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    config = json.loads((run / "config.json").read_text())
    config["features"]["weights"] = "mine.pth"
    (tmp_path / "config.json").write_text(json.dumps(config))
    image = run.parent / "media" / "images" / "river" / "4.png"
    result = ivr("search", tmp_path, "--image", image)
    assert result.exit_code == 1
    assert "were made with mine.pth: give it with --weights" in result.stderr
    again = ivr("search", tmp_path, "--image", image, "--weights", "random")
    assert again.exit_code == 0, again.output


def test_a_file_of_weights_is_found_again_where_it_was_unless_it_is_another_one(
    run: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "mine.pth"
    torch.save(encoder_blueprint("squeezenet1_0").net.state_dict(), weights)
    media = run.parent / "media"
    extracted = ivr(
        "extract", media / "manifest.csv", "--out", tmp_path / "features", "--encoder",
        "squeezenet1_0", "--weights", weights, "--voice-option", "frames=30", "--jobs", "1",
        "--device", "cpu",
    )  # fmt: skip
    assert extracted.exit_code == 0, extracted.output
    trained = ivr("train-hash", tmp_path / "features", "--out", tmp_path / "own", "--method", "lsh")
    assert trained.exit_code == 0, trained.output
    query = ("search", tmp_path / "own", "--image", media / "images" / "river" / "4.png")
    found = ivr(*query)
    assert found.exit_code == 0, found.output
    assert found.stdout == ivr(*query, "--weights", weights).stdout
    weights.write_bytes(weights.read_bytes() + b"\0")
    refused = ivr(*query)
    assert refused.exit_code == 1
    assert "were made with mine.pth: give it with --weights" in refused.stderr


def test_a_method_that_ranks_otherwise_is_searched_by_its_codes_and_that_is_said(
    run: Path, tmp_path: Path
) -> None:
    other = ivr(
        "train-hash", run.parent / "features", "--out", tmp_path / "other", "--bits", "16",
        "--epochs", "1", "--method", "dvan", "--set", "hidden=24", "--set", "length=512",
    )  # fmt: skip
    assert other.exit_code == 0, other.output
    voice = run.parent / "media" / "voices" / "pond" / "2_1.wav"
    image = run.parent / "media" / "images" / "river" / "4.png"
    for query in (("--voice", voice), ("--image", image)):
        result = ivr("search", tmp_path / "other", *query, "--count", "2", "--json")
        assert result.exit_code == 0, result.output
        assert "note: dvan ranks by matching; this search compares its sign codes" in result.stderr
        assert all(hit["distance"] <= 16 for hit in json.loads(result.stdout))
    assert "note" not in ivr("search", run, "--voice", voice).stderr


def image_vectors(run: Path, image: Path, **changed: object) -> np.ndarray:
    """Vectors that a run whose image settings are ``changed`` makes of ``image``."""
    config = json.loads((run / "config.json").read_text())
    settings = {**config["features"]["images"], **changed}
    config["features"]["images"] = {name: one for name, one in settings.items() if one is not None}
    return QueryVectors(config, "the run").of_images([image], torch.device("cpu")).numpy()


def test_an_image_is_read_with_the_bands_that_the_features_were_made_of(
    run: Path, tmp_path: Path
) -> None:
    image = run.parent / "media" / "images" / "river" / "4.png"
    turned = np.ascontiguousarray(np.asarray(Image.open(image).convert("RGB"))[..., ::-1])
    Image.fromarray(turned).save(tmp_path / "turned.png")
    swapped = {"bands": ["3", "2", "1"], "stretch": "percentile", "join_pages": False}
    expected = image_vectors(run, tmp_path / "turned.png")
    np.testing.assert_array_equal(image_vectors(run, image, pixels=swapped), expected)
    assert not np.array_equal(image_vectors(run, image), expected)


def test_a_run_on_features_of_an_earlier_reader_of_images_says_so(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = run.parent / "media" / "images" / "river" / "4.png"
    expected = image_vectors(run, image)
    assert caplog.text == ""
    found = image_vectors(run, image, pixels=None, reader=None)
    np.testing.assert_array_equal(found, expected)
    assert "the run: its features come from an earlier reader of images" in caplog.text
