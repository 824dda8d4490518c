"""``ivr extract --trim-silence``: rows without silence, recorded, and queries alike."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, ivr, spoken, succeeded, write_media

from ivr.features.mfcc import VoiceConfig
from ivr.features.store import open_table
from ivr.features.voice import voice_vectors
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.extraction.feature_schema import VOICES

VOICE = spoken("pond", np.random.default_rng(0), 0.5)
PAUSE = np.zeros(SAMPLE_RATE)


def extract(folder: Path, *options: str) -> str:
    result = ivr(
        "extract", folder / "manifest.csv", "--out", folder / "out", "--jobs", "1", "--device",
        "cpu", "--voice-option", "frames=200", *options,
    )  # fmt: skip
    return succeeded(result).stderr


def settings_and_row(folder: Path) -> tuple[dict[str, object], np.ndarray]:
    table = open_table(folder / "out" / "voices.h5", VOICES)
    return table.config["settings"], table.read("vectors")[0]


@pytest.fixture
def padded(tmp_path: Path) -> Path:
    """A folder with one voice of half a second after a second of silence."""
    soundfile.write(
        tmp_path / "a.wav", np.concatenate([PAUSE, VOICE, PAUSE]), SAMPLE_RATE, subtype="FLOAT"
    )
    write_manifest(tmp_path / "manifest.csv", Manifest((ManifestRow("", "a.wav", "pond"),)))
    return tmp_path


def test_rows_without_silence_are_recorded_and_never_mixed_with_others(padded: Path) -> None:
    extract(padded)
    settings, whole = settings_and_row(padded)
    assert "trim_silence" not in settings  # so that files of earlier versions have the same ones
    said = extract(padded, "--trim-silence", "energy", "--overwrite")
    assert "was made with other settings (trim_silence: off, now energy" in said
    settings, trimmed = settings_and_row(padded)
    assert settings["trim_silence"] == "energy"
    margin = np.zeros(SAMPLE_RATE // 10)
    kept = np.concatenate([margin, VOICE, margin]).astype(np.float32)
    expected, _ = voice_vectors(kept, SAMPLE_RATE, VoiceConfig(frames=200))
    np.testing.assert_array_equal(trimmed, expected.ravel())
    assert not np.array_equal(trimmed, whole)
    assert "was made with other settings (trim_silence: energy, now off" in extract(
        padded, "--overwrite"
    )


def test_the_setting_has_one_value_by_either_option(padded: Path) -> None:
    extract(padded, "--trim-silence", "energy")
    assert "other settings" not in extract(padded, "--voice-option", "trim_silence=energy")


def test_queries_lose_their_silence_as_the_voices_of_the_run_did(tmp_path: Path) -> None:
    write_media(tmp_path)
    extract(
        tmp_path, "--encoder", "squeezenet1_0", "--weights", "random", "--trim-silence", "energy"
    )
    succeeded(ivr(
        "train-hash", tmp_path / "out", "--out", tmp_path / "run", "--bits", "16", "--epochs", "1",
        "--set", "network.voice_channels=8", "--set", "network.voice_stride=1", "--device", "cpu",
    ))  # fmt: skip
    margin = np.zeros(SAMPLE_RATE // 10)
    queries = {"short": (margin, VOICE, margin), "long": (PAUSE, PAUSE, VOICE, PAUSE)}
    found = {}
    for name, parts in queries.items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.concatenate(parts), SAMPLE_RATE, subtype="FLOAT")
        result = succeeded(ivr("search", tmp_path / "run", "--voice", path, "--json"))
        found[name] = json.loads(result.stdout)
        assert "warning" not in result.stderr and "problem" not in result.stderr
    assert found["short"] == found["long"]
    soundfile.write(tmp_path / "silent.wav", PAUSE, SAMPLE_RATE)
    result = succeeded(ivr("search", tmp_path / "run", "--voice", tmp_path / "silent.wav"))
    assert f"problem: {tmp_path / 'silent.wav'}: zeros only" in result.stderr
