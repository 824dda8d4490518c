"""Slaney's mel scale is librosa's."""

import librosa
import numpy as np

from ivr.mel_scale import hertz_to_mel, mel_to_hertz

HERTZ = np.array([0, 1, 200, 999.9, 1000, 1000.1, 6400, 8000, 22_050])


def test_the_scale_is_that_of_librosa_on_both_sides_of_its_break() -> None:
    np.testing.assert_allclose(hertz_to_mel(HERTZ), librosa.hz_to_mel(HERTZ), rtol=1e-12)
    mel = np.array([0, 3, 14.99, 15, 15.01, 42, 50])
    np.testing.assert_allclose(mel_to_hertz(mel), librosa.mel_to_hz(mel), rtol=1e-12)


def test_one_direction_undoes_the_other() -> None:
    np.testing.assert_allclose(mel_to_hertz(hertz_to_mel(HERTZ)), HERTZ, rtol=1e-12)
    assert hertz_to_mel(np.array(1000.0)) == 15
    assert hertz_to_mel(np.array(6400.0)) == 42
