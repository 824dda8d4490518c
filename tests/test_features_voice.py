"""Voices as vectors: librosa's numbers, at a fixed length, with the true one beside it."""

import os
import struct
import subprocess
import sys
import wave
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr

from ivr.features.media import MediaError
from ivr.features.mfcc import VoiceConfig, constants, mel_filters
from ivr.features.spectral_encoders import log_mel, mfcc
from ivr.features.voice import BACKENDS, voice_vectors
from ivr.features.voice_blueprint import VoiceEncoderError
from ivr.features.voice_encoder_config import VoiceChoices
from ivr.features.voice_file import read_voice

SHARED = Path(os.environ.get("IVR_SHARED", Path(__file__).parents[2] / "shared"))
DIGITS = SHARED / "data" / "speech" / "spoken_digits"
RATES = (8_000, 16_000, 22_050, 44_100)


def rate_config(sample_rate: int) -> VoiceConfig:
    """16 ms every 5 ms at any rate."""
    window, hop = round(0.016 * sample_rate), round(0.005 * sample_rate)
    fft = 512 if sample_rate <= 16_000 else 2048
    return VoiceConfig(sample_rate=sample_rate, window=window, hop=hop, fft=fft, mels=64)


def clip(seconds: float, sample_rate: int) -> np.ndarray:
    """Noise and two tones, loud in the middle and 40 dB less at both ends; float64 [samples]."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    tones = np.sin(2 * np.pi * 220 * time) + np.sin(2 * np.pi * 1800 * time)
    swell: np.ndarray = np.maximum(0.01, np.sin(2 * np.pi * time / seconds - 0.5))
    return 0.2 * swell * (tones + 0.2 * noise)


def librosa_vectors(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    cepstra = librosa.feature.mfcc(
        y=samples,
        sr=config.sample_rate,
        n_mfcc=config.coefficients,
        n_fft=config.fft,
        win_length=config.window,
        hop_length=config.hop,
        n_mels=config.mels,
    )
    deltas = [librosa.feature.delta(cepstra, width=config.delta_width, order=n) for n in (1, 2)]
    return np.stack([cepstra, *deltas])


def recordings(sample_rate: int) -> list[np.ndarray]:
    if not DIGITS.is_dir():
        pytest.skip(f"no recordings in {DIGITS}; set IVR_SHARED to the folder of shared data")
    # Every seventh: all six speakers.
    read = [soundfile.read(path) for path in sorted(DIGITS.glob("*.wav"))[::7]]
    assert read
    return [soxr.resample(samples, rate, sample_rate, quality="HQ") for samples, rate in read]


def check_backends(samples: np.ndarray, config: VoiceConfig) -> None:
    for backend in BACKENDS.values():
        exact = backend(samples, config)
        assert exact.dtype == np.float64
        np.testing.assert_allclose(exact, librosa_vectors(samples, config), rtol=0, atol=1e-4)
        single = backend(samples.astype(np.float32), config)
        assert single.dtype == np.float32
        expected = librosa_vectors(samples.astype(np.float32), config)
        assert np.abs(single - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("sample_rate", RATES)
def test_backends_equal_librosa_on_noise_and_tones(sample_rate: int) -> None:
    check_backends(clip(0.7, sample_rate), rate_config(sample_rate))


@pytest.mark.parametrize("sample_rate", RATES)
def test_backends_equal_librosa_on_real_recordings(sample_rate: int) -> None:
    for samples in recordings(sample_rate):
        check_backends(samples, rate_config(sample_rate))


@pytest.mark.parametrize(
    "config",
    [
        VoiceConfig(),
        VoiceConfig(window=255, hop=75, fft=401, mels=30, coefficients=30, delta_width=5),
        VoiceConfig(window=512, hop=512, coefficients=1, delta_width=3),
        VoiceConfig(mels=3, coefficients=2),
    ],
)
def test_backends_equal_librosa_for_other_sizes(config: VoiceConfig) -> None:
    for samples in (11_999, 12_000, 12_001):
        check_backends(clip(1, 16_000)[:samples], config)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dynamic_range_is_that_of_the_config(backend: str) -> None:
    config = VoiceConfig(top_db=30.0)
    samples = clip(0.5, 16_000)
    powers = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=512, win_length=256, hop_length=80, n_mels=64
    )
    expected = librosa.feature.mfcc(S=librosa.power_to_db(powers, top_db=30.0), n_mfcc=20)
    np.testing.assert_allclose(BACKENDS[backend](samples, config)[0], expected, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_silence_has_one_constant_coefficient(backend: str) -> None:
    # 64 bands of -100 dB: the 0th coefficient of the orthonormal transform is -100 * sqrt(64).
    expected = np.zeros((3, 20, 201))
    expected[0, 0] = -800
    silence = np.zeros(16_000, np.float32)
    np.testing.assert_allclose(BACKENDS[backend](silence, VoiceConfig()), expected, atol=1e-3)


@pytest.mark.parametrize(("sample_rate", "fft", "mels"), [(16_000, 512, 64), (44_100, 2048, 128)])
def test_mel_filters_are_librosas(sample_rate: int, fft: int, mels: int) -> None:
    expected = librosa.filters.mel(sr=sample_rate, n_fft=fft, n_mels=mels, dtype=np.float64)
    np.testing.assert_allclose(mel_filters(sample_rate, fft, mels), expected, rtol=0, atol=1e-12)


def test_short_voice_is_padded_with_zeros_and_keeps_its_true_length() -> None:
    # Frames centred on samples 0, 80, ... 1600.
    vectors, length = voice_vectors(clip(0.1, 16_000), 16_000, VoiceConfig(frames=30))
    assert vectors.shape == (3, 20, 30) and vectors.dtype == np.float32 and length == 21
    assert (np.abs(vectors[0, :, :21]).max(axis=0) > 0).all()
    np.testing.assert_array_equal(vectors[:, :, 21:], 0)


def test_long_voice_is_truncated_and_keeps_its_true_length() -> None:
    samples = clip(0.1, 16_000)
    whole, _ = voice_vectors(samples, 16_000, VoiceConfig(frames=21))
    vectors, length = voice_vectors(samples, 16_000, VoiceConfig(frames=12))
    assert length == 21
    np.testing.assert_array_equal(vectors, whole[:, :, :12])


def test_voice_shorter_than_the_derivative_window_is_refused() -> None:
    # Nine frames, 80 samples apart, need 8 * 80 samples.
    assert voice_vectors(clip(1, 16_000)[:640], 16_000, VoiceConfig())[1] == 9
    message = r"^lasts 0\.0399 s, at least 0\.0400 s are needed \(delta_width=9 frames\)$"
    with pytest.raises(MediaError, match=message):
        voice_vectors(clip(1, 16_000)[:639], 16_000, VoiceConfig())
    with pytest.raises(MediaError, match=r"^lasts 0\.0001 s, at least 0\.0400 s are needed"):
        voice_vectors(np.zeros(1), 16_000, VoiceConfig())


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_other_rates_are_resampled(rate: int) -> None:
    samples = clip(0.5, rate).astype(np.float32)
    vectors, length = voice_vectors(samples, rate, VoiceConfig(frames=101))
    assert length == 1 + round(len(samples) * 16_000 / rate) // 80
    resampled = soxr.resample(samples, rate, 16_000, quality="HQ")
    expected = librosa_vectors(resampled, VoiceConfig())
    assert expected.shape[2] == length
    np.testing.assert_allclose(vectors[:, :, :length], expected, rtol=0, atol=1e-3)


def test_the_same_voice_at_two_rates_has_nearly_the_same_vectors() -> None:
    tone = [0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate) for rate in (16_000, 44_100)]
    first, second = (
        voice_vectors(samples, rate, VoiceConfig(frames=150))[0][:, :, 50:]
        for samples, rate in zip(tone, (16_000, 44_100), strict=True)
    )
    np.testing.assert_allclose(first, second, rtol=0, atol=0.5)


def test_vectors_are_the_same_every_time() -> None:
    samples = clip(0.3, 16_000).astype(np.float32)
    first, _ = voice_vectors(samples, 16_000, VoiceConfig())
    voice_vectors(samples[::-1].copy(), 8_000, VoiceConfig())
    np.testing.assert_array_equal(voice_vectors(samples, 16_000, VoiceConfig())[0], first)


def test_samples_are_left_as_they_were() -> None:
    samples = clip(0.3, 16_000)
    before = samples.copy()
    voice_vectors(samples, 16_000, VoiceConfig())
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize("samples", [np.zeros(9000, np.int16), np.zeros((9000, 2))])
def test_samples_of_another_shape_or_type_are_refused(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"samples must be float32 or float64 \[samples\], got"):
        voice_vectors(samples, 16_000, VoiceConfig())


@pytest.mark.parametrize(
    ("name", "kind", "subtype", "rate"),
    [
        ("8 kHz", "WAV", "PCM_16", 8_000),
        ("24 bit", "WAV", "PCM_24", 16_000),
        ("float", "WAV", "FLOAT", 44_100),
        ("flac", "FLAC", "PCM_16", 22_050),
        ("ogg", "OGG", "VORBIS", 16_000),
    ],
)
def test_files_of_every_kind_become_vectors_of_one_shape(
    tmp_path: Path, name: str, kind: str, subtype: str, rate: int
) -> None:
    stereo = np.stack([clip(0.5, rate), clip(0.5, rate)], axis=1)
    soundfile.write(tmp_path / name, stereo, rate, format=kind, subtype=subtype)
    vectors, length = voice_vectors(*read_voice(tmp_path / name), VoiceConfig(frames=120))
    assert vectors.shape == (3, 20, 120) and length == 101
    expected, _ = voice_vectors(clip(0.5, rate), rate, VoiceConfig(frames=120))
    loud = slice(15, 50)
    tolerance = 30 if subtype == "VORBIS" else 2
    np.testing.assert_allclose(vectors[0, :, loud], expected[0, :, loud], atol=tolerance)


def test_unusable_file_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "voice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(struct.pack("<100h", *range(100)))
    with pytest.raises(MediaError, match=r"^lasts 0\.0063 s, at least 0\.0400 s are needed"):
        voice_vectors(*read_voice(tmp_path / "voice.wav"), VoiceConfig())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample_rate": 0}, "sample_rate must be at least 1, got 0"),
        ({"window": 1}, "window must be at least 2, got 1"),
        ({"hop": 0}, r"hop must be at least 1, got 0"),
        ({"hop": 257}, r"hop must be in \(0, window=256\], got 257"),
        ({"fft": 255}, "fft must be at least window=256, got 255"),
        ({"mels": 0}, "mels must be at least 1, got 0"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"delta_width": 8}, "delta_width must be odd, got 8"),
        ({"top_db": 0.0}, r"top_db must be above 0, got 0\.0"),
        ({"backend": "kaldi"}, "backend must be one of auto, fast, librosa, torch, got 'kaldi'"),
    ],
)
def test_config_without_meaning_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        VoiceConfig(**values)


def test_empty_mel_filters_are_refused_where_librosa_only_warns() -> None:
    with pytest.warns(UserWarning, match="Empty filters detected"):
        bank = librosa.filters.mel(sr=16_000, n_fft=256, n_mels=128)
    empty = int((bank.max(axis=1) == 0).sum())
    message = rf"^{empty} of mels=128 mel filters hold no frequency of fft=256 at 16000 Hz; "
    with pytest.raises(ValueError, match=message + "lower mels or raise fft$"):
        constants(VoiceConfig(fft=256, mels=128), "<f4")
    with pytest.raises(VoiceEncoderError, match=message + "lower mels or raise fft$"):
        log_mel(VoiceChoices(mfcc=VoiceConfig(fft=256, mels=128)))


def test_more_coefficients_than_bands_are_refused() -> None:
    config = VoiceConfig(coefficients=65)
    with pytest.raises(ValueError, match=r"^coefficients must be in \(0, mels=64\], got 65$"):
        voice_vectors(clip(0.1, 16_000), 16_000, config)
    with pytest.raises(
        VoiceEncoderError, match=r"^coefficients must be in \(0, mels=64\], got 65$"
    ):
        mfcc(VoiceChoices(mfcc=config))


def test_fast_backend_imports_neither_librosa_nor_torch() -> None:
    program = (
        "import sys, numpy\n"
        "from ivr.features.mfcc import VoiceConfig\n"
        "from ivr.features.voice import voice_vectors\n"
        "voice_vectors(numpy.zeros(8000), 8000, VoiceConfig())\n"
        "print(sorted({'librosa', 'torch', 'numba'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr
