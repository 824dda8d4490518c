"""Voices of a pretrained speech encoder from the recording to the hit, on the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_one_line, ivr, merged, succeeded, write_media
from speech_models import WIDTH, write_speech_model
from test_cli_train_evaluate import SHORT

from ivr.hashing.methods import method_entry, method_names
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.runs.codes_file import read_codes

SECONDS = 0.2
FRAMES = 5  # of 40 ms


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media and a speech encoder; tests read them only, or copy them."""
    folder = tmp_path_factory.mktemp("voice_encoders")
    write_media(folder / "media")
    write_speech_model(folder / "whisper", "whisper")
    return folder


def options(place: Path, *more: object) -> list[object]:
    usual = (
        "--encoder", "tiny", "--weights", "random", "--device", "cpu", "--jobs", 1,
        "--voice-encoder", f"transformers:{place / 'whisper'}", "--voice-seconds", SECONDS,
    )  # fmt: skip
    return merged(usual, *more)


@pytest.fixture(scope="module")
def features(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extracted features; tests read them only."""
    out = tmp_path_factory.mktemp("speech_features") / "features"
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_encoder(patch)
        succeeded(ivr("extract", place / "media" / "manifest.csv", "--out", out, *options(place)))
    return out


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests read it only."""
    folder = tmp_path_factory.mktemp("speech_runs") / "run"
    succeeded(ivr("train-hash", features, "--out", folder, *SHORT))
    return folder


def use_tiny_encoder(patch: pytest.MonkeyPatch) -> None:
    from conftest import describe_tiny_encoder, load_tiny_encoder

    patch.setattr("ivr.pipeline.extraction.modality.load_encoder", load_tiny_encoder)
    patch.setattr("ivr.pipeline.extraction.target.describe_encoder", describe_tiny_encoder)
    patch.setattr("ivr.pipeline.extraction.extract.require_known", lambda name: None)
    patch.setattr("ivr.pipeline.extraction.plan.require_known", lambda name: None)


def test_sequences_lie_beside_their_true_lengths_with_all_that_decides_them(
    features: Path, place: Path
) -> None:
    data = open_features(features)
    settings = data.voice_settings()

    assert settings["shape"] == [1, WIDTH, FRAMES]
    assert settings["streams"] == ["hidden"]
    assert (settings["stored"], settings["voice_encoder"]) == ("float16", "transformers")
    assert (settings["voice_layer"], settings["voice_pooling"]) == (2, 2)
    assert len(settings["sha256"]) == len(settings["config_sha256"]) == 64
    assert data.voices is not None
    made_with = data.voices.config["made_with"]
    assert made_with["voice_encoder"] == f"transformers:{place / 'whisper'}"
    vectors, frames = data.voice_vectors([item.name for item in data.voice_items()])
    assert vectors.dtype == np.float16
    assert set(frames.tolist()) == {4}  # 0.15 s
    assert not vectors[..., 4:].any() and vectors[..., :4].any(axis=(1, 2)).all()


def test_a_job_array_and_a_call_that_goes_on_make_the_same_rows(
    features: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch)
    manifest = place / "media" / "manifest.csv"
    for task in ("1/2", "2/2"):
        given = options(place, "--shard", task)
        succeeded(ivr("extract", manifest, "--out", tmp_path / "parts", *given))
    succeeded(ivr("merge", tmp_path / "parts"))
    short = options(place, "--batch-size", 4, "--time-limit", 1e-9)
    calls = [ivr("extract", manifest, "--out", tmp_path / "on", *short) for _ in range(30)]

    assert 75 in {call.exit_code for call in calls} and calls[-1].exit_code == 0
    whole = open_features(features)
    names = [item.name for item in whole.voice_items()]
    expected = whole.voice_vectors(names)[0].astype(np.float32)
    for folder in (tmp_path / "parts", tmp_path / "on"):
        found = open_features(folder).voice_vectors(names)[0]
        np.testing.assert_allclose(found.astype(np.float32), expected, atol=2e-3)


def test_features_of_another_voice_encoder_are_refused(
    features: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch)
    manifest = place / "media" / "manifest.csv"
    write_speech_model(tmp_path / "hubert", "hubert")
    for given, words in {
        (("--voice-layer", 1),): "voice_layer: 2, now 1",
        (("--voice-pooling", 1),): "voice_pooling: 2, now 1",
        (("--voice-encoder", "mfcc"), ("--voice-seconds", 5)): "voice_encoder: transformers, now",
        (("--voice-encoder", f"transformers:{tmp_path / 'hubert'}"),): "model_type: whisper, now",
    }.items():
        pairs = [part for pair in given for part in pair]
        for dry in ((), ("--dry-run",)):
            result = ivr("extract", manifest, "--out", features, *options(place, *pairs), *dry)
            assert_one_line(result, words)


@pytest.mark.parametrize("method", method_names())
def test_every_method_learns_from_sequences(features: Path, method: str, tmp_path: Path) -> None:
    train = ("train-hash", features, "--out", tmp_path / "run", "--method", method)
    size = ("--bits", 16, "--device", "cpu")
    short = ("--epochs", 1, "--batch-size", 6) if method_entry(method).trained else ()

    succeeded(ivr(*train, *size, *short))

    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["sizes"]["voice_shape"] == [1, WIDTH, FRAMES]
    assert (config["streams"], config["sizes"]["mels"]) == (["hidden"], 0)


def test_a_run_is_encoded_and_evaluated(features: Path, run: Path) -> None:
    succeeded(ivr("encode", run, "--features", features))

    succeeded(ivr("evaluate", run))

    results = json.loads((run / "results.json").read_text())
    assert 0 < results["chance"]["voice_to_image"]["mAP"] < 100
    assert results["voice_to_image"]["mAP"] > 0


def test_a_recording_finds_what_its_cached_row_finds(
    run: Path, place: Path, tmp_path: Path
) -> None:
    voice = "voices/river/3_1.wav"
    found = ivr("search", run, "--voice", place / "media" / voice, "--count", 18, "--json")
    codes = read_codes(run / "codes.h5")

    hits = json.loads(succeeded(found).stdout)

    row = codes.voices.names.index(voice)
    distances = np.bitwise_count(codes.images.codes ^ codes.voices.codes[row]).sum(1)
    assert {hit["name"]: hit["distance"] for hit in hits} == dict(
        zip(codes.images.names, distances.tolist(), strict=True)
    )


def test_a_speech_encoder_that_is_gone_or_another_is_told(
    features: Path, place: Path, tmp_path: Path
) -> None:
    voice = place / "media" / "voices" / "river" / "3_1.wav"
    shutil.copytree(place / "whisper", tmp_path / "whisper")
    run = tmp_path / "run"
    succeeded(ivr("train-hash", features, "--out", run, *SHORT))
    config = json.loads((run / "config.json").read_text())
    config["features"]["voice_encoder"] = f"transformers:{tmp_path / 'whisper'}"
    (run / "config.json").write_text(json.dumps(config))
    query = ("search", run, "--voice", voice)
    succeeded(ivr(*query))
    weights = tmp_path / "whisper" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert_one_line(ivr(*query), "is not the voice encoder of")
    shutil.rmtree(tmp_path / "whisper")
    assert_one_line(ivr(*query), "config.json: no such file")


def test_a_stream_that_the_features_lack_is_refused(features: Path, tmp_path: Path) -> None:
    result = ivr("train-hash", features, "--out", tmp_path / "run", *SHORT, "--streams", "mfcc")
    assert_one_line(result, "no voice stream 'mfcc'; there are hidden")
    compare = ("compare", features, "--out", tmp_path / "out", "--methods", "lsh", "--bits", 16)
    result = ivr(*compare, "--seeds", 1, "--streams", "mfcc")
    assert "Error: no voice stream 'mfcc'; there are hidden" in result.stderr
    assert not list(tmp_path.rglob("config.json"))


def test_a_run_on_sequences_is_not_packed_and_that_is_said(run: Path, tmp_path: Path) -> None:
    result = ivr("pack", run, "--out", tmp_path / "model")
    assert_one_line(result, "come from a pretrained speech encoder, which is not packed yet")
    assert not (tmp_path / "model" / "model.json").exists()
