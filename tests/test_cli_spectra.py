"""Log-mel spectra and spectrograms from the recording to the hit, on the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_one_line, ivr, merged, succeeded, write_media
from test_cli_train_evaluate import SHORT
from tiny_world import tiny_blueprint

from ivr.features import encoders
from ivr.hashing.methods import method_entry, method_names
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.runs.codes_file import read_codes

FRAMES = 24
WIDTHS = {"log-mel": 20, "spectrogram": 129}
SETTINGS = {
    "log-mel": ("--voice-option", "mels=20"),
    "spectrogram": ("--voice-option", "fft=256"),
}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of images and voices; tests read them only."""
    folder = tmp_path_factory.mktemp("spectra")
    write_media(folder / "media")
    return folder / "media" / "manifest.csv"


def use_tiny_encoder(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)


def options(encoder: str, *more: object) -> list[object]:
    usual = (
        "--encoder", "tiny", "--weights", "random", "--device", "cpu", "--jobs", 1,
        "--voice-encoder", encoder, "--voice-option", f"frames={FRAMES}", *SETTINGS[encoder],
    )  # fmt: skip
    return merged(usual, *more)


@pytest.fixture(scope="module", params=WIDTHS)
def features(
    request: pytest.FixtureRequest, media: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Extracted features in a folder of the encoder's name; tests read them only."""
    out = tmp_path_factory.mktemp("features") / str(request.param)
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_encoder(patch)
        succeeded(ivr("extract", media, "--out", out, *options(request.param)))
    return out


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests read it only."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    succeeded(ivr("train-hash", features, "--out", folder, *SHORT))
    return folder


def test_a_spectrum_lies_beside_its_true_length(features: Path) -> None:
    data = open_features(features)
    settings = data.voice_settings()
    assert settings["shape"] == [1, WIDTHS[features.name], FRAMES]
    assert (settings["streams"], settings["voice_encoder"]) == ([features.name], features.name)
    assert "coefficients" not in settings and "voice_seconds" not in settings
    vectors, frames = data.voice_vectors([item.name for item in data.voice_items()])
    assert vectors.dtype == np.float32
    assert set(frames.tolist()) == {31}  # 0.15 s, of which 24 are kept
    assert np.isfinite(vectors).all() and vectors.std() > 1


def test_a_call_that_goes_on_and_a_job_array_make_the_same_rows(
    features: Path, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch)
    for task in ("1/2", "2/2"):
        given = options(features.name, "--shard", task)
        succeeded(ivr("extract", media, "--out", tmp_path / "parts", *given))
    succeeded(ivr("merge", tmp_path / "parts"))
    short = options(features.name, "--batch-size", 4, "--time-limit", 1e-9)
    calls = [ivr("extract", media, "--out", tmp_path / "on", *short) for _ in range(30)]

    assert 75 in {call.exit_code for call in calls} and calls[-1].exit_code == 0
    whole = open_features(features)
    names = [item.name for item in whole.voice_items()]
    for folder in (tmp_path / "parts", tmp_path / "on"):
        found = open_features(folder).voice_vectors(names)[0]
        np.testing.assert_array_equal(found, whole.voice_vectors(names)[0])


def test_rows_of_other_settings_are_refused(
    features: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch)
    for given, words in (
        (("--voice-option", "hop=40"), "hop: 80, now 40"),
        (("--voice-option", "top_db=60"), "top_db: 80.0, now 60.0"),
        (("--voice-encoder", "mfcc"), f"voice_encoder: {features.name}, now mfcc"),
    ):
        result = ivr("extract", media, "--out", features, *options(features.name, *given))
        assert_one_line(result, words)


def test_settings_that_a_spectrum_does_not_have_are_told(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tiny_encoder(monkeypatch)
    given = options("spectrogram", "--voice-option", "mels=20")
    result = ivr("extract", media, "--out", tmp_path / "out", *given)
    assert_one_line(result, "mels is a setting of the MFCC, which spectrogram does not have")
    given = options("log-mel", "--voice-seconds", 2)
    result = ivr("extract", media, "--out", tmp_path / "out", *given)
    assert_one_line(result, "voice_seconds is for pretrained speech encoders; log-mel has", 2)


@pytest.mark.parametrize("method", method_names())
def test_every_method_learns_from_spectra(features: Path, method: str, tmp_path: Path) -> None:
    train = ("train-hash", features, "--out", tmp_path / "run", "--method", method)
    size = ("--bits", 16, "--device", "cpu", "--streams", features.name)
    short = ("--epochs", 1, "--batch-size", 6) if method_entry(method).trained else ()

    succeeded(ivr(*train, *size, *short))

    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["streams"] == [features.name]
    sizes = config["sizes"]
    assert sizes["voice_shape"] == [1, WIDTHS[features.name], FRAMES]
    assert sizes["mels"] == WIDTHS[features.name]
    assert sizes["scale"] == {"log-mel": "mel", "spectrogram": "hertz"}[features.name]


def test_the_voice_network_of_spectra_is_that_of_the_mfcc(run: Path) -> None:
    weights = (run / "model.safetensors").read_bytes()
    assert b"voice.convolutions.0.weight" in weights


def test_a_recording_finds_what_its_cached_row_finds_with_the_run_and_the_packed_model(
    features: Path, run: Path, media: Path, tmp_path: Path
) -> None:
    succeeded(ivr("encode", run, "--features", features))
    codes = read_codes(run / "codes.h5")
    voice = "voices/river/3_1.wav"
    row = codes.voices.names.index(voice)
    distances = np.bitwise_count(codes.images.codes ^ codes.voices.codes[row]).sum(1)
    expected = dict(zip(codes.images.names, distances.tolist(), strict=True))
    succeeded(ivr("pack", run, "--out", tmp_path / "model", "--no-encoder"))
    query = ("--voice", media.parent / voice, "--count", 18, "--json")

    for found in (
        ivr("search", run, *query),
        ivr("search", tmp_path / "model", "--codes", run / "codes.h5", *query),
    ):
        hits = json.loads(succeeded(found).stdout)
        assert {hit["name"]: hit["distance"] for hit in hits} == expected


def test_a_packed_query_imports_neither_torch_nor_librosa(
    run: Path, media: Path, tmp_path: Path
) -> None:
    succeeded(ivr("pack", run, "--out", tmp_path / "model", "--no-encoder"))
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ivr.pipeline.packing.code_maker import open_model\n"
        "import numpy as np\n"
        f"model = open_model(Path({str(tmp_path / 'model')!r}))\n"
        f"data = Path({str(media.parent / 'voices/river/3_1.wav')!r}).read_bytes()\n"
        "streams, frames, _ = model.streams(data)\n"
        "print(model.codes_of_streams(streams[None], np.array([frames])).shape)\n"
        "print(sorted({'librosa', 'torch', 'numba'} & set(sys.modules)))\n"
    )
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert made.stdout.splitlines()[-1:] == ["[]"], made.stderr
