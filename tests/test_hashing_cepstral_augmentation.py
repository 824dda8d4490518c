"""What training changes in voices: the change that is named, where it is asked for, no more."""

import math

import numpy as np
import pytest
import scipy.fft
import torch

from ivr.features.mfcc import mel_filters
from ivr.hashing.cepstral_augmentation import (
    WARPS,
    Scale,
    _warp_matrices,
    stretched,
    tilted,
    warped,
)
from ivr.mel_scale import hertz_to_mel, mel_to_hertz

MELS, RATE = 64, 16_000


def cepstra_of(peak: float) -> np.ndarray:
    """All 64 cepstra of a spectrum with one broad peak at ``peak`` Hz."""
    hertz = np.fft.rfftfreq(2048, 1 / RATE)
    spectrum = np.exp(-(((hertz - peak) / 400) ** 2)) + 1e-3
    filters = mel_filters(RATE, 2048, MELS)
    bands = filters @ spectrum / filters.sum(1)
    return scipy.fft.dct(10 * np.log10(bands), norm="ortho")


@pytest.mark.parametrize("number", [0, 8, 24, WARPS - 1])
def test_a_warp_moves_a_peak_of_the_spectrum_by_its_factor(number: int) -> None:
    factor = float(np.exp(np.linspace(-0.2, 0.2, WARPS))[number])
    matrix = _warp_matrices(0.2, MELS, MELS, RATE, "cepstra")[number].numpy()
    bands = [
        scipy.fft.idct(c, norm="ortho")
        for c in (matrix @ cepstra_of(2000), cepstra_of(2000 / factor))
    ]
    assert abs(int(bands[0].argmax()) - int(bands[1].argmax())) <= 1
    assert (
        abs(int(bands[0].argmax()) - int(scipy.fft.idct(cepstra_of(2000), norm="ortho").argmax()))
        >= 1
    )


@pytest.mark.parametrize("number", [0, 8, 24, WARPS - 1])
@pytest.mark.parametrize("scale", ["mel", "hertz"])
def test_a_warp_of_a_spectrum_moves_a_peak_by_its_factor(scale: Scale, number: int) -> None:
    factor = float(np.exp(np.linspace(-0.2, 0.2, WARPS))[number])
    top = float(hertz_to_mel(np.array(RATE / 2)))
    centres = {
        "mel": mel_to_hertz(np.linspace(0, top, MELS + 2)[1:-1]),
        "hertz": np.linspace(0, RATE / 2, 257),
    }[scale]
    matrix = _warp_matrices(0.2, len(centres), len(centres), RATE, scale)[number].numpy()
    peak = matrix @ np.exp(-(((centres - 2000) / 400) ** 2))
    expected = np.exp(-(((factor * centres - 2000) / 400) ** 2))
    assert np.abs(peak - expected).max() < 0.05
    assert np.abs(matrix.sum(1) - 1).max() < 1e-5


@pytest.mark.parametrize("scale", ["mel", "hertz"])
def test_the_middle_warp_of_a_spectrum_changes_nothing(scale: Scale) -> None:
    middle = _warp_matrices(0.2, 30, 30, RATE, scale)[WARPS // 2]
    torch.testing.assert_close(middle, torch.eye(30), rtol=0, atol=1e-6)


def test_the_middle_warp_and_a_fifth_of_the_voices_stay_as_they_are() -> None:
    torch.testing.assert_close(
        _warp_matrices(0.2, 20, MELS, RATE, "cepstra")[WARPS // 2], torch.eye(20)
    )
    torch.manual_seed(0)
    values = torch.randn(2000, 2, 20, 1)
    same = (warped(values, 0.2, MELS, RATE) - values).abs().amax((1, 2, 3)) < 1e-5
    expected = 0.2 + 0.8 / WARPS
    assert abs(float(same.float().mean()) - expected) < 5 * math.sqrt(expected / 2000)


def test_streams_of_a_voice_are_warped_alike_and_silence_stays_silence() -> None:
    values = torch.randn(50, 1, 20, 6).repeat(1, 3, 1, 1)
    values[..., 4:] = 0
    changed = warped(values, 0.2, MELS, RATE)
    torch.testing.assert_close(changed[:, 0], changed[:, 2])
    assert (changed[..., 4:] == 0).all()


def test_a_stretched_voice_has_its_values_at_other_times() -> None:
    torch.manual_seed(1)
    frames = torch.tensor([60, 100, 30])
    ramp = torch.arange(100.0).expand(3, 1, 1, 100).clone()
    changed, count = stretched(ramp, frames, 0.3)
    factor = count / frames
    assert ((factor > math.exp(-0.31)) & (factor < math.exp(0.31))).all()
    assert len({float(value) for value in factor}) > 1
    for voice in range(3):
        end = int(count[voice])
        expected = np.minimum(np.arange(end) / float(factor[voice]), float(frames[voice]) - 1)
        np.testing.assert_allclose(changed[voice, 0, 0, :end], expected, atol=1.0)
    assert changed.amax((1, 2, 3)).tolist() <= (frames - 1).tolist()


def test_a_voice_that_gets_too_long_is_cut() -> None:
    torch.manual_seed(0)
    _, count = stretched(torch.zeros(200, 1, 1, 50), torch.full((200,), 48), 0.3)
    assert int(count.max()) == 50
    assert int(count.min()) >= round(48 * math.exp(-0.3))


def test_a_tilt_has_one_factor_for_each_coefficient_of_a_voice() -> None:
    torch.manual_seed(0)
    values = torch.rand(500, 2, 6, 4) + 1
    factor = tilted(values, 0.2) / values
    torch.testing.assert_close(factor, factor[:, :1, :, :1].expand_as(factor))
    assert abs(float(factor[:, 0, :, 0].log().std()) - 0.2) < 0.02


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    values, frames = torch.randn(4, 1, 3, 8), torch.tensor([8, 8, 4, 2])
    assert warped(values, 0.0, MELS, RATE) is values
    assert tilted(values, 0.0) is values
    assert stretched(values, frames, 0.0) == (values, frames)
