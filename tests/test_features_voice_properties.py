"""Loudness, clipping and the start of speech, on voices whose answer is known."""

import numpy as np
import pytest

from ivr.features.mfcc import VoiceConfig
from ivr.features.voice_file import Recording
from ivr.features.voice_properties import (
    clipped_share,
    speech_start,
    voice_properties,
    without_silence,
)

RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)).astype(np.float32)  # 1 s


def test_peak_swing_and_lengths_are_those_of_the_samples() -> None:
    samples = np.array([0.5, -0.25, 0.25, 0.0], np.float32)
    found = voice_properties(Recording(samples, 8_000), VoiceConfig(frames=100))
    assert (found.peak, found.swing) == (0.5, 0.375)
    assert (found.seconds, found.limit) == (4 / 8_000, 0.5)


def test_flat_peaks_are_clipped_and_a_pure_tone_is_not() -> None:
    assert clipped_share(TONE) == 0
    clipped = np.clip(TONE, -0.3, 0.3)
    # asin(0.3 / 0.5) of a quarter period of 90 degrees is below the level: 59 % lie above it.
    assert clipped_share(clipped) == pytest.approx(0.59, abs=0.01)
    assert clipped_share(np.zeros(10, np.float32)) == 0
    assert clipped_share(np.ones(1, np.float32)) == 0


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_speech_starts_with_the_first_frame_within_30_db_of_the_loudest(offset: float) -> None:
    quiet = 0.001 * TONE[:8_000]  # 60 dB weaker
    assert speech_start(np.concatenate([quiet, TONE]) + np.float32(offset), RATE) == 0.5
    near = 0.1 * TONE[:8_000]  # 20 dB weaker
    assert speech_start(np.concatenate([near, TONE]) + np.float32(offset), RATE) == 0
    assert speech_start(np.zeros(RATE, np.float32), RATE) == 0


def test_silence_around_speech_is_cut_off_but_for_a_tenth_of_a_second() -> None:
    pause = np.zeros(RATE, np.float32)
    kept = without_silence(np.concatenate([pause, TONE, pause, TONE, pause]), RATE)
    margin = pause[: RATE // 10]
    np.testing.assert_array_equal(kept, np.concatenate([margin, TONE, pause, TONE, margin]))


def test_speech_that_fills_the_voice_and_a_voice_without_speech_are_kept_whole() -> None:
    for samples in (TONE, np.zeros(500, np.float32), np.full(500, 0.3, np.float32)):
        np.testing.assert_array_equal(without_silence(samples, RATE), samples)
