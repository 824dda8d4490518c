"""What is odd about a voice: stable keys, severities and sentences."""

from io import BytesIO

import numpy as np
import pytest
import soundfile

from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import used_recording
from ivr.pipeline.datasets.voice_warnings import voice_warnings

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)  # 1 s
PAUSE = np.zeros(RATE)
CONFIG = VoiceConfig(frames=300)  # 1.5 s


def warned(samples: np.ndarray, config: VoiceConfig = CONFIG) -> list[tuple[str, str]]:
    """Key and severity of each warning about a float WAV file of ``samples``."""
    buffer = BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="FLOAT")
    return warned_of(buffer.getvalue(), config)


def warned_of(data: bytes, config: VoiceConfig = CONFIG) -> list[tuple[str, str]]:
    found = voice_warnings(used_recording(data, config), config)
    assert all(one.text and "\n" not in one.text for one in found)
    return [(one.key, one.severity) for one in found]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (TONE, []),
        (0.0015 * TONE, [("silent", "problem")]),
        (PAUSE, [("silent", "problem")]),
        (PAUSE + 0.3, [("constant", "problem")]),
        (0.0015 * TONE + 0.3, [("constant", "problem")]),
        (np.stack([TONE, -TONE], 1), [("opposite-channels", "warning")]),
        (np.stack([TONE, -0.98 * TONE], 1), [("opposite-channels", "warning")]),
        (np.stack([TONE, 0.1 * TONE], 1), []),
        (np.clip(3 * TONE, -1, 1), [("clipped", "warning")]),
        (2.2 * TONE, [("beyond-one", "note")]),
        (32767 * TONE, [("beyond-one", "problem")]),
        (np.concatenate([TONE, TONE]), [("cut", "note")]),
        (np.concatenate([PAUSE, PAUSE, TONE]), [("late-speech", "problem")]),
        (np.concatenate([PAUSE, PAUSE]), [("silent", "problem"), ("cut", "note")]),
    ],
)
def test_what_is_odd_about_a_voice_has_a_key_and_a_severity(
    samples: np.ndarray, expected: list[tuple[str, str]]
) -> None:
    assert warned(samples) == expected


def test_what_is_wrong_with_a_header_is_said_too() -> None:
    buffer = BytesIO()
    soundfile.write(buffer, TONE, RATE, format="WAV", subtype="PCM_16")
    data = bytearray(buffer.getvalue())
    for size, key in ((0, "no-length"), (len(data), "wrong-sizes")):
        data[40:44] = size.to_bytes(4, "little")
        assert warned_of(bytes(data)) == [(key, "note")]
    data[40:44] = (20_000).to_bytes(4, "little")
    assert warned_of(bytes(data)) == [("bytes-after-samples", "warning")]


def test_the_way_out_of_late_speech_works() -> None:
    late = np.concatenate([PAUSE, PAUSE, TONE])
    assert warned(late, VoiceConfig(frames=300, trim_silence="energy")) == []


def test_the_sentence_on_a_wrong_scale_names_the_number() -> None:
    buffer = BytesIO()
    soundfile.write(buffer, 25884 * 2 * TONE, RATE, format="WAV", subtype="FLOAT")
    (found,) = voice_warnings(used_recording(buffer.getvalue(), CONFIG), CONFIG)
    assert found.text == "its samples reach 25884 instead of 1; divide them by that number"
