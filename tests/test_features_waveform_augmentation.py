"""Each change does what its name says, and nothing else."""

import numpy as np
import pytest
import scipy.signal

from ivr.features.media import MediaError
from ivr.features.waveform_augmentation import (
    ChangeError,
    canonical_changes,
    change_of,
    changed_name,
    changed_voice,
    file_of,
    mixed_in,
    parse_change,
    speech_power,
)

RATE = 16_000
FORMANTS = (600.0, 1400.0, 2500.0)


def sine(hz: float, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def vowel(pitch: float = 125.0, seconds: float = 1.0) -> np.ndarray:
    """Pulses through three resonances."""
    samples = np.zeros(round(seconds * RATE))
    samples[:: round(RATE / pitch)] = 1
    for formant in FORMANTS:
        pole = np.exp(-np.pi * 80 / RATE + 2j * np.pi * formant / RATE)
        samples = scipy.signal.lfilter([1], [1, -2 * pole.real, abs(pole) ** 2], samples)
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


def changed(samples: np.ndarray, change: str) -> np.ndarray:
    return changed_voice(samples, RATE, changed_name("a/b.wav", change))


def peak_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return float(np.argmax(spectrum) * RATE / (1 << 18))


def pitch_hz(samples: np.ndarray) -> float:
    """By the largest autocorrelation at 60 to 400 Hz."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    powers = np.abs(np.fft.rfft(middle, 1 << 18)) ** 2
    correlation = np.fft.irfft(powers)
    lags = np.arange(RATE // 400, RATE // 60)
    return float(RATE / lags[np.argmax(correlation[lags])])


def formants_hz(samples: np.ndarray) -> np.ndarray:
    """By linear prediction: the three sharpest resonances, rising."""
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(np.float64)
    middle *= np.hanning(len(middle))
    order = 8
    r = np.correlate(middle, middle, "full")[len(middle) - 1 :][: order + 1]
    lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    poles = np.roots([1, *-np.linalg.solve(r[lags], r[1:])])
    poles = poles[np.angle(poles) > 0.05]
    sharpest = poles[np.argsort(-np.abs(poles))[:3]]
    return np.sort(np.angle(sharpest)) * RATE / (2 * np.pi)


def test_a_vowel_is_measured_as_it_was_made() -> None:
    assert pitch_hz(vowel()) == pytest.approx(125)
    np.testing.assert_allclose(formants_hz(vowel()), FORMANTS, rtol=0.03)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1])
def test_speed_changes_duration_pitch_and_formants_by_its_factor(factor: float) -> None:
    found = changed(sine(440), f"speed={factor}")
    assert abs(len(found) - RATE / factor) <= 1
    assert peak_hz(found) == pytest.approx(440 * factor, rel=0.002)
    spoken = changed(vowel(), f"speed={factor}")
    assert pitch_hz(spoken) == pytest.approx(125 * factor, rel=0.02)
    np.testing.assert_allclose(formants_hz(spoken), factor * formants_hz(vowel()), rtol=0.04)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_tempo_changes_duration_alone(factor: float) -> None:
    found = changed(vowel(), f"tempo={factor}")
    assert abs(len(found) - RATE / factor) <= 1
    assert pitch_hz(found) == pytest.approx(125, rel=0.02)
    np.testing.assert_allclose(formants_hz(found), formants_hz(vowel()), rtol=0.05)


@pytest.mark.parametrize("semitones", [-3, 2, 5])
def test_pitch_moves_a_sine_by_its_semitones_and_keeps_the_duration(semitones: int) -> None:
    found = changed(sine(440), f"pitch={semitones}")
    assert len(found) == RATE
    assert peak_hz(found) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.005)


@pytest.mark.parametrize("semitones", [-3, 3])
def test_pitch_moves_that_of_a_vowel_and_not_its_formants(semitones: int) -> None:
    found = changed(vowel(), f"pitch={semitones}")
    assert pitch_hz(found) == pytest.approx(125 * 2 ** (semitones / 12), rel=0.02)
    np.testing.assert_allclose(formants_hz(found), formants_hz(vowel()), rtol=0.07)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_tract_moves_the_formants_of_a_vowel_and_keeps_pitch_and_duration(factor: float) -> None:
    found = changed(vowel(), f"tract={factor}")
    assert len(found) == RATE
    assert pitch_hz(found) == pytest.approx(125, rel=0.01)
    np.testing.assert_allclose(formants_hz(found), factor * formants_hz(vowel()), rtol=0.05)


@pytest.mark.parametrize("decibels", [20, 10, 0, -5])
def test_noise_has_its_ratio_to_the_speech_whatever_pauses_there_are(decibels: int) -> None:
    spoken = np.concatenate([np.zeros(RATE, np.float32), sine(440), np.zeros(RATE, np.float32)])
    noise = changed(spoken, f"noise={decibels}") - spoken
    speech = 0.3**2 / 2
    assert 10 * np.log10(speech / np.var(noise)) == pytest.approx(decibels, abs=0.1)
    powers = np.abs(np.fft.rfft(noise)) ** 2  # white: as much in each quarter of the band
    quarters = [part.sum() for part in np.array_split(powers, 4)]
    np.testing.assert_allclose(quarters, np.mean(quarters), rtol=0.05)


def test_pauses_are_not_speech_and_weak_speech_is() -> None:
    loud, weak = sine(440), 0.1 * sine(440)
    assert speech_power(np.concatenate([loud, 1e-3 * loud]), RATE) == pytest.approx(0.045)
    assert speech_power(np.concatenate([loud, weak]), RATE) == pytest.approx(0.045 * 1.01 / 2)


def test_noise_is_that_of_the_voice_and_the_change() -> None:
    spoken = sine(440)
    one = changed_voice(spoken, RATE, "a.wav//noise=10")
    np.testing.assert_array_equal(one, changed_voice(spoken, RATE, "a.wav//noise=10"))
    for other in ("b.wav//noise=10", "a.wav//noise=20"):
        noises = one - spoken, changed_voice(spoken, RATE, other) - spoken
        assert abs(np.corrcoef(*noises)[0, 1]) < 0.05


@pytest.mark.parametrize("change", ["speed=0.9", "tempo=1.1", "pitch=2", "tract=1.1", "noise=10"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_short_and_loud_voices_stay_finite_and_of_their_type(change: str, dtype: type) -> None:
    for length in (100, 640, 5000):
        found = changed(1e9 * sine(300)[:length].astype(dtype), change)
        assert found.dtype == dtype
        assert np.isfinite(found).all()
        assert len(found) >= 0.9 * length / 1.1


@pytest.mark.parametrize("change", ["speed=0.9", "tempo=1.1", "pitch=2", "tract=1.1"])
def test_silence_stays_silence(change: str) -> None:
    assert not changed(np.zeros(RATE, np.float32), change).any()


OTHERS = [
    sine(310, 0.3),
    0.1 * sine(520, 0.7),
    3 * sine(730, 1.9),
    1e-3 * sine(940, 0.05),
    sine(1150),
]


@pytest.mark.parametrize("decibels", [20, 10, 0, -5])
def test_babble_has_its_ratio_to_the_speech_whatever_pauses_there_are(decibels: int) -> None:
    spoken = np.concatenate([np.zeros(RATE, np.float32), sine(440), np.zeros(RATE, np.float32)])
    found = changed_voice(spoken, RATE, f"a.wav//babble={decibels}", OTHERS)
    babble = found.astype(np.float64) - spoken
    speech = 0.3**2 / 2
    assert 10 * np.log10(speech / np.mean(babble**2)) == pytest.approx(decibels, abs=0.01)


def test_a_babble_holds_each_other_voice_at_equal_power_from_start_to_end() -> None:
    spoken = sine(2000, 2.0)
    babble = changed_voice(spoken, RATE, "a.wav//babble=0", OTHERS) - spoken
    for half in np.split(babble, 2):
        powers = np.abs(np.fft.rfft(half)) ** 2  # one bin per Hz
        bands = [powers[hz - 60 : hz + 60].sum() for hz in (310, 520, 730, 940, 1150)]
        np.testing.assert_allclose(np.array(bands) / powers.sum(), 0.2, atol=0.03)


def test_pauses_of_other_voices_do_not_make_them_louder() -> None:
    pause = np.zeros(RATE, np.float32)
    others = [*OTHERS[:4], np.concatenate([OTHERS[4], pause, pause, pause])]
    spoken = sine(2000, 4.0)
    babble = changed_voice(spoken, RATE, "a.wav//babble=0", others) - spoken
    powers = np.abs(np.fft.rfft(babble)) ** 2  # four bins per Hz
    with_pauses, without = (powers[4 * hz - 240 : 4 * hz + 240].sum() for hz in (1150, 310))
    assert with_pauses / without == pytest.approx(0.25, abs=0.03)


def test_babble_is_that_of_the_voice_and_the_change() -> None:
    spoken = sine(440)
    one = changed_voice(spoken, RATE, "a.wav//babble=10", OTHERS)
    np.testing.assert_array_equal(one, changed_voice(spoken, RATE, "a.wav//babble=10", OTHERS))
    assert (one != changed_voice(spoken, RATE, "b.wav//babble=10", OTHERS)).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_babble_keeps_length_and_type_of_short_and_loud_voices(dtype: type) -> None:
    for length in (100, 640, 5000):
        samples = 1e9 * sine(300)[:length].astype(dtype)
        found = changed_voice(samples, RATE, "a.wav//babble=-20", OTHERS)
        assert (found.dtype, len(found)) == (dtype, length)
        assert np.isfinite(found).all()


def test_silence_has_no_ratio_to_babble_and_silent_others_are_none() -> None:
    silence = np.zeros(RATE, np.float32)
    with pytest.raises(MediaError, match="is silent"):
        changed_voice(silence, RATE, "a.wav//babble=10", OTHERS)
    with pytest.raises(MediaError, match="cannot be mixed with a voice that is silent"):
        changed_voice(sine(440), RATE, "a.wav//babble=10", [*OTHERS[1:], silence])


def test_a_babble_is_of_as_many_voices_as_it_says() -> None:
    assert [mixed_in(change) for change in ("babble=10", "noise=10", "", "echo=1")] == [5, 0, 0, 0]
    with pytest.raises(ValueError, match="5 other voices are mixed in, got 0"):
        changed(sine(440), "babble=10")


def test_silence_has_no_ratio_to_noise() -> None:
    with pytest.raises(MediaError, match="is silent"):
        changed(np.zeros(RATE, np.float32), "noise=10")


def test_a_voice_as_recorded_is_not_touched() -> None:
    samples = sine(440)
    assert changed_voice(samples, RATE, "a/b.wav") is samples


def test_a_change_has_one_spelling() -> None:
    texts = ["noise=10.0", "noise=1e1", "speed=0.90", "noise=-0.0", "pitch=+2"]
    assert canonical_changes(texts) == ("noise=0", "noise=10", "pitch=2", "speed=0.9")


def test_a_name_says_file_and_change() -> None:
    name = changed_name("a/b=c.wav", "noise=10")
    assert name == "a/b=c.wav//noise=10"
    assert (file_of(name), change_of(name)) == ("a/b=c.wav", "noise=10")
    assert (file_of("a.wav"), change_of("a.wav"), changed_name("a.wav", "")) == (
        "a.wav",
        "",
        "a.wav",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("noise", "KIND=NUMBER, e.g. speed=0.9 or noise=10, got 'noise'"),
        ("noise=loud", "KIND=NUMBER"),
        ("echo=1", "called 'echo'; there are speed, tempo, pitch, tract, noise, babble"),
        ("speed=3", r"speed \(a factor\) must be from 0.5 to 2, got 3"),
        ("noise=nan", r"noise \(dB\) must be from -20 to 60, got nan"),
        ("babble=61", r"babble \(dB\) must be from -20 to 60, got 61"),
        ("pitch=inf", "must be from -12 to 12"),
        ("tract=1.0", "tract=1 changes nothing"),
        ("pitch=0", "pitch=0 changes nothing"),
    ],
)
def test_what_is_no_change_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ChangeError, match=words):
        parse_change(text)
