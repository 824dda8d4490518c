"""Log-mel spectra and spectrograms: librosa's own numbers, as voice encoders."""

import json
import os
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from test_features_voice import RATES, clip, rate_config, recordings

from ivr.features import voice_torch
from ivr.features.media import MediaError
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import SPECTRA, decode_recording
from ivr.features.voice_blueprint import VoiceBlueprint, VoiceEncoderError
from ivr.features.voice_encoder_config import VoiceChoices, VoiceEncoderConfig
from ivr.features.voice_encoders import voice_blueprint
from ivr.features.voice_torch import BATCHES
from ivr.pipeline.extraction.feature_schema import compared_settings
from ivr.pipeline.extraction.recorded_settings import recorded_voice_encoder
from ivr.pipeline.runtime.config_options import StoredConfigError

SHARED = Path(os.environ.get("IVR_SHARED", Path(__file__).parents[2] / "shared"))
CASES = SHARED / "cases" / "voices"
CPU = torch.device("cpu")


def of_librosa(encoder: str, samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Only functions that librosa offers by these names."""
    sizes = {"n_fft": config.fft, "win_length": config.window, "hop_length": config.hop}
    if encoder == "log-mel":
        powers = librosa.feature.melspectrogram(
            y=samples, sr=config.sample_rate, n_mels=config.mels, **sizes
        )
    else:
        powers = np.abs(librosa.stft(samples, **sizes)) ** 2
    expected: np.ndarray = librosa.power_to_db(powers, top_db=config.top_db)[None]
    return expected


def check_backends(encoder: str, samples: np.ndarray, config: VoiceConfig) -> None:
    """Compare all implementations with librosa in both precisions.

    In float32 the error of a Fourier transform is a share of the loudest frequency, so that it is
    powers which are alike; the weakest that ``top_db`` leaves differ by hundredths of a dB.
    """
    for make in SPECTRA[encoder].values():
        exact = make(samples, config)
        assert exact.dtype == np.float64
        np.testing.assert_allclose(exact, of_librosa(encoder, samples, config), rtol=0, atol=1e-4)
        single = make(samples.astype(np.float32), config)
        assert single.dtype == np.float32
        expected = of_librosa(encoder, samples.astype(np.float32), config)
        np.testing.assert_allclose(single, expected, rtol=0, atol=0.03)
        powers, theirs = (10 ** (one.astype(np.float64) / 10) for one in (single, expected))
        assert np.abs(powers - theirs).max() <= 1e-5 * theirs.max()


@pytest.mark.parametrize("encoder", SPECTRA)
@pytest.mark.parametrize("sample_rate", RATES)
def test_backends_equal_librosa_on_noise_and_tones(encoder: str, sample_rate: int) -> None:
    check_backends(encoder, clip(0.7, sample_rate), rate_config(sample_rate))


@pytest.mark.parametrize("encoder", SPECTRA)
@pytest.mark.parametrize("sample_rate", RATES)
def test_backends_equal_librosa_on_real_recordings(encoder: str, sample_rate: int) -> None:
    for samples in recordings(sample_rate):
        check_backends(encoder, samples, rate_config(sample_rate))


@pytest.mark.parametrize("encoder", SPECTRA)
def test_backends_equal_librosa_for_other_sizes(encoder: str) -> None:
    odd = VoiceConfig(window=255, hop=75, fft=401, mels=30, top_db=40.0)
    for count in (11_999, 12_000, 12_001):
        check_backends(encoder, clip(1, 16_000)[:count], odd)
        check_backends(encoder, clip(1, 16_000)[:count], VoiceConfig(mels=3))


@pytest.mark.parametrize("encoder", SPECTRA)
@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(16_000),
        np.eye(1, 700, 350)[0],
        np.full(5_000, 0.25),
        np.sign(np.sin(np.arange(9_000) / 7)),
        1e-6 * np.random.default_rng(1).standard_normal(4_000),
        3e4 * np.random.default_rng(2).standard_normal(4_000),
    ],
    ids=["silence", "click", "offset", "clipped", "whisper", "16-bit scale"],
)
def test_backends_equal_librosa_on_odd_sounds(encoder: str, samples: np.ndarray) -> None:
    for make in SPECTRA[encoder].values():
        for values in (samples, samples.astype(np.float32)):
            expected = of_librosa(encoder, values, VoiceConfig())
            np.testing.assert_allclose(make(values, VoiceConfig()), expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("encoder", SPECTRA)
def test_odd_files_have_the_spectra_that_librosa_gives_their_samples(encoder: str) -> None:
    if not CASES.is_dir():
        pytest.skip(f"no odd voices in {CASES}; set IVR_SHARED to the folder of shared data")
    config, read = VoiceConfig(), 0
    for path in sorted(one for one in CASES.rglob("*") if one.is_file()):
        try:
            samples = decode_recording(path.read_bytes(), config)
        except MediaError:
            continue
        read += 1
        found, frames = blueprint(encoder).reader.read(samples)
        expected = of_librosa(encoder, samples, config)
        assert frames == expected.shape[2]
        np.testing.assert_allclose(found, expected[:, :, : config.frames], rtol=0, atol=0.05)
    assert read > 5


def blueprint(encoder: str, **settings: object) -> VoiceBlueprint:
    config = VoiceConfig(**settings)  # type: ignore[arg-type]
    return voice_blueprint(VoiceChoices(VoiceEncoderConfig(encoder), config))


@pytest.mark.parametrize("encoder", SPECTRA)
def test_a_recording_in_a_batch_has_the_spectrum_that_it_has_alone(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = VoiceConfig(top_db=30.0)
    batch = [10.0**n * clip(seconds, 16_000) for n, seconds in enumerate((0.2, 0.5, 0.06))]
    whole = BATCHES[encoder](batch, config, CPU)
    monkeypatch.setattr(voice_torch, "BLOCK", 7)
    monkeypatch.setattr(voice_torch, "MOST_FRAMES", 60)
    parts = BATCHES[encoder](batch, config, CPU)
    for samples, one, other in zip(batch, whole, parts, strict=True):
        np.testing.assert_allclose(one, SPECTRA[encoder]["fast"](samples, config), atol=1e-8)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("encoder", "width"), [("log-mel", 64), ("spectrogram", 257)])
def test_a_spectrum_is_one_stream_of_fixed_length(encoder: str, width: int) -> None:
    made = blueprint(encoder, frames=30)
    assert (made.streams, made.shape) == ((encoder,), (1, width, 30))
    samples = clip(0.1, 16_000).astype(np.float32)  # frames centred on samples 0, 80, ... 1600
    read, frames = made.reader.read(samples)
    assert (read.shape, read.dtype, frames) == ((1, width, 21), np.float32, 21)
    vectors = made.of_fixed_length(read)
    assert not vectors[:, :, 21:].any() and vectors[:, :, :21].any()
    longer, frames = made.reader.read(clip(0.5, 16_000).astype(np.float32))
    assert (longer.shape, frames) == ((1, width, 30), 101)


@pytest.mark.parametrize("encoder", SPECTRA)
def test_on_a_gpu_the_network_makes_what_the_reader_makes_elsewhere(encoder: str) -> None:
    batched = blueprint(encoder, backend="torch")
    assert batched.settings | {"backend": "auto"} == dict(blueprint(encoder).settings)
    samples = clip(0.3, 16_000).astype(np.float32)
    given, frames = batched.reader.read(samples)
    (made,) = batched.encoder("cpu")([given])
    expected, count = blueprint(encoder).reader.read(samples)
    assert frames == count
    np.testing.assert_allclose(made, expected, rtol=0, atol=0.01)


def test_settings_that_a_spectrum_does_not_have_are_refused() -> None:
    for encoder, settings in (
        ("log-mel", {"coefficients": 13}),
        ("log-mel", {"delta_width": 5}),
        ("spectrogram", {"mels": 40}),
        ("spectrogram", {"coefficients": 13}),
    ):
        (name,) = settings
        message = f"^{name} is a setting of the MFCC, which {encoder} does not have$"
        with pytest.raises(VoiceEncoderError, match=message):
            blueprint(encoder, **settings)
    with pytest.raises(VoiceEncoderError, match=r"of mels=128 mel filters hold no frequency"):
        blueprint("log-mel", fft=256, mels=128)
    assert blueprint("log-mel", mels=10).width == 10
    assert blueprint("spectrogram", fft=256).width == 129


def test_only_what_decides_a_spectrum_is_recorded() -> None:
    recorded = compared_settings(blueprint("spectrogram").settings)
    assert recorded == {
        "voice_encoder": "spectrogram", "scale": "hertz", "sample_rate": 16_000, "window": 256,
        "hop": 80, "fft": 512, "frames": 1000, "top_db": 80.0,
    }  # fmt: skip
    assert set(compared_settings(blueprint("log-mel").settings)) == {*recorded, "mels"}


@pytest.mark.parametrize("encoder", SPECTRA)
def test_a_query_gets_the_recorded_settings(encoder: str) -> None:
    made = blueprint(encoder, hop=160, top_db=60.0, trim_silence="energy", frames=200)
    stored = json.loads(json.dumps(compared_settings(made.settings)))
    again = recorded_voice_encoder(stored, "", "run")
    assert again.settings == made.settings and again.load is None
    with pytest.raises(StoredConfigError, match=r"^run: its features lack hop$"):
        recorded_voice_encoder({k: v for k, v in stored.items() if k != "hop"}, "", "run")
