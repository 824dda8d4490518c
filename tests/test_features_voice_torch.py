"""MFCC in batches of torch: the numbers of one recording at a time, whatever it stands beside."""

from typing import Any

import numpy as np
import pytest
import torch

from ivr.features import voice_torch
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import BACKENDS
from ivr.features.voice_torch import batch_cepstra

CPU = torch.device("cpu")


def recordings(*lengths: int) -> list[np.ndarray]:
    """Noise of such lengths, each 20 dB louder than the one before; float64."""
    rng = np.random.default_rng(0)
    return [1e-3 * 10**n * rng.standard_normal(length) for n, length in enumerate(lengths)]


@pytest.mark.parametrize(
    "config",
    [
        VoiceConfig(),
        VoiceConfig(window=255, hop=75, fft=401, mels=30, coefficients=30, delta_width=5),
    ],
)
def test_a_recording_in_a_batch_has_the_numbers_it_has_alone(config: VoiceConfig) -> None:
    batch = recordings(640, 16_000, 641, 5_000)
    for samples, found in zip(batch, batch_cepstra(batch, config, CPU), strict=True):
        expected = BACKENDS["fast"](samples, config)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_blocks_of_frames_and_halves_of_batches_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch, config = recordings(9_000, 700, 12_000), VoiceConfig()
    whole = batch_cepstra(batch, config, CPU)
    monkeypatch.setattr(voice_torch, "BLOCK", 7)
    monkeypatch.setattr(voice_torch, "MOST_FRAMES", 120)
    for one, other in zip(whole, batch_cepstra(batch, config, CPU), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


def test_no_recordings_give_no_vectors() -> None:
    assert batch_cepstra([], VoiceConfig(), CPU) == []


def test_float32_is_never_rounded_to_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    matmul, usual = torch.backends.cuda.matmul, voice_torch._mel_decibels

    def watched(*arguments: Any) -> torch.Tensor:
        seen.append(matmul.fp32_precision)
        return usual(*arguments)

    monkeypatch.setattr(voice_torch, "_mel_decibels", watched)
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        batch_cepstra(recordings(700), VoiceConfig(), CPU)
        assert (seen, matmul.fp32_precision) == (["ieee"], "tf32")
    finally:
        matmul.fp32_precision = before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_librosas_numbers() -> None:
    config, exact = VoiceConfig(), recordings(9_000, 700, 12_000)
    single = [samples.astype(np.float32) for samples in exact]
    device = torch.device("cuda")
    for samples, cepstra in zip(exact, batch_cepstra(exact, config, device), strict=True):
        np.testing.assert_allclose(cepstra, BACKENDS["librosa"](samples, config), atol=1e-4)
    for samples, cepstra in zip(single, batch_cepstra(single, config, device), strict=True):
        expected = BACKENDS["librosa"](samples, config)
        assert np.abs(cepstra - expected).max() <= 1e-6 * np.abs(expected).max()
