import ctypes
import shutil
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import ivr
from ivr.pipeline.datasets.manifest import read_manifest
from ivr.pipeline.demo import speech
from ivr.pipeline.demo.canvas import Canvas
from ivr.pipeline.demo.captions import captions, draw_captions
from ivr.pipeline.demo.demo_config import DemoConfig
from ivr.pipeline.demo.demo_report import KIND_TOLD, ceiling_in_words, in_words, report_demo
from ivr.pipeline.demo.demo_set import (
    DemoError,
    _new_sound,
    require_own_folder,
    write_demo_set,
)
from ivr.pipeline.demo.main_job import demo
from ivr.pipeline.demo.scenes import SCENES, draw_scene
from ivr.pipeline.demo.speech import SPEAKERS, Speaker, SpeechError, Voice, speak
from ivr.pipeline.report.query_cards import Hit, Medium, QueryCard
from ivr.pipeline.report.report import ReportResult

needs_espeak = pytest.mark.skipif(
    find_spec("espeakng_loader") is None, reason='no espeak-ng: pip install -e ".[demo]"'
)
SMALL = DemoConfig(images_per_class=2, voices_per_image=2, classes=2)


@pytest.fixture(scope="module")
def scenes() -> dict[str, np.ndarray]:
    """Four scenes of every class, uint8 [4, 256, 256, 3]."""
    return {
        label: np.stack([draw_scene(label, np.random.default_rng([7, n])) for n in range(4)])
        for label in SCENES
    }


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "set"
    write_demo_set(folder, SMALL)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fundamental(voice: Voice) -> float:
    """Hz of the strongest repetition between 60 and 300 Hz, by autocorrelation."""
    sound = voice.samples / 32768
    spectrum = np.abs(np.fft.rfft(sound, 2 * len(sound))) ** 2
    shortest, longest = voice.sample_rate // 300, voice.sample_rate // 60
    repetition = np.fft.irfft(spectrum)[shortest:longest]
    return voice.sample_rate / (shortest + int(repetition.argmax()))


def look(image: np.ndarray) -> np.ndarray:
    """Tint, patchiness and edge strengths at two scales, all relative to the brightness."""
    relative = image / image.mean()
    grey = relative.mean(axis=2)
    thumbnail = relative.reshape(8, 32, 8, 32, 3).mean(axis=(1, 3))
    edges = [np.abs(np.diff(grey[::step, ::step], axis=0)) for step in (1, 4)]
    strengths = [edges[0].mean(), edges[1].mean(), np.percentile(edges[0], 98)]
    colourful = (relative.max(axis=2) - relative.min(axis=2)).std()
    tint = thumbnail.mean(axis=(0, 1))
    return np.concatenate([tint, thumbnail.std(axis=(0, 1)), strengths, [colourful, grey.std()]])


def nearest_class(looks: np.ndarray, number: int) -> np.ndarray:
    """Class whose mean, without image ``number``, is nearest to that image of each class."""
    means = np.delete(looks, number, axis=1).mean(axis=1)
    return np.linalg.norm(looks[:, number, None] - means, axis=-1).argmin(axis=-1)


@pytest.mark.parametrize("label", SCENES)
def test_every_scene_is_a_picture_of_256_by_256(label: str, scenes: dict[str, np.ndarray]) -> None:
    assert scenes[label].shape == (4, 256, 256, 3)
    assert scenes[label].dtype == np.uint8
    assert all(image.std() > 10 for image in scenes[label])


def test_no_two_scenes_of_a_class_are_alike(scenes: dict[str, np.ndarray]) -> None:
    for images in scenes.values():
        for one, other in combinations(images.astype(float), 2):
            assert np.abs(one - other).mean() > 8


def test_classes_differ_in_colour_and_texture(scenes: dict[str, np.ndarray]) -> None:
    looks = np.array([[look(image) for image in images] for images in scenes.values()])
    looks = (looks - looks.mean(axis=(0, 1))) / looks.std(axis=(0, 1))
    found = np.stack([nearest_class(looks, number) for number in range(4)], axis=1)
    right = found == np.arange(len(SCENES))[:, None]
    assert right.mean() > 0.7  # chance is one in eight


@pytest.mark.parametrize("label", SCENES)
def test_a_scene_follows_from_its_random_stream(label: str, scenes: dict[str, np.ndarray]) -> None:
    again = draw_scene(label, np.random.default_rng([7, 0]))
    np.testing.assert_array_equal(again, scenes[label][0])


def test_an_unknown_scene_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no scene 'volcano'; there are farmland, runway"):
        draw_scene("volcano", np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(4))
def test_shadows_fall_away_from_the_sun(seed: int) -> None:
    canvas = Canvas(np.random.default_rng(seed))
    canvas.cover(np.full(canvas.pixels.shape, 200.0))
    block = np.array([(-20, -20), (20, -20), (20, 20), (-20, 20)], dtype=float)
    canvas.raised([(block, (255, 255, 255))], 40)
    rows, columns = np.nonzero(canvas.pixels[..., 0] == 255)
    shadow_rows, shadow_columns = np.nonzero(canvas.pixels[..., 0] < 190)
    offset = np.array([shadow_columns.mean() - columns.mean(), shadow_rows.mean() - rows.mean()])
    assert offset @ canvas.sun > 0.95 * np.linalg.norm(offset) > 5


@pytest.mark.parametrize("seed", range(4))
def test_a_slope_that_faces_the_sun_is_fully_lit(seed: int) -> None:
    canvas = Canvas(np.random.default_rng(seed))
    turns = np.linspace(0, 2 * np.pi, 361)
    light = [canvas.light_on(np.cos(turn), np.sin(turn)) for turn in turns]
    brightest = turns[int(np.argmax(light))]
    canvas.shapes([(np.array([(-2, -2), (2, -2), (2, 2), (-2, 2)]), (255, 0, 0))])
    there = 90 * np.array([np.cos(brightest), np.sin(brightest)])
    canvas.shapes([(there + np.array([(-2, -2), (2, -2), (2, 2), (-2, 2)]), (0, 255, 0))])
    here = np.argwhere(canvas.pixels[..., 0] == 255).mean(axis=0)
    moved = (np.argwhere(canvas.pixels[..., 1] == 255).mean(axis=0) - here)[::-1]
    assert max(light) == pytest.approx(1, abs=1e-3)
    assert moved @ canvas.sun < -0.99 * np.linalg.norm(moved)


def test_the_alternatives_of_a_caption_are_all_combined() -> None:
    # 2 x 2 x 2, and three patterns of 2 x 2.
    assert len(captions("farmland")) == 8 + 4 + 4 + 4
    assert "striped fields in green and brown are divided by dirt roads" in captions("farmland")


@pytest.mark.parametrize("label", SCENES)
def test_every_class_has_a_dozen_different_sentences(label: str) -> None:
    sentences = captions(label)
    assert len(set(sentences)) == len(sentences) >= 12
    assert not any(mark in sentence for sentence in sentences for mark in "[]|")


def test_no_sentence_is_said_of_two_classes() -> None:
    sentences = [sentence for label in SCENES for sentence in captions(label)]
    assert len(set(sentences)) == len(sentences)


def test_captions_of_one_image_differ() -> None:
    drawn = draw_captions("river", 16, np.random.default_rng(0))
    assert sorted(drawn) == sorted(captions("river"))


@needs_espeak
def test_every_caption_is_spoken_in_one_to_eight_seconds() -> None:
    sentences = [sentence for label in SCENES for sentence in captions(label)]
    for number, sentence in enumerate(sentences):
        voice = speak(sentence, SPEAKERS[number % len(SPEAKERS)])
        assert 1 < len(voice.samples) / voice.sample_rate < 8


@needs_espeak
@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.voice)
def test_a_voice_sounds_like_speech(speaker: Speaker) -> None:
    voice = speak("a plane is parked on the grey runway", speaker)
    sound = voice.samples / 32768
    frame = voice.sample_rate // 50
    loudness = np.sqrt((sound[: len(sound) // frame * frame].reshape(-1, frame) ** 2).mean(axis=1))
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1 / voice.sample_rate)
    assert voice.samples.dtype == np.int16
    assert 0.02 < np.sqrt((sound**2).mean()) < 0.4
    # Syllables and stops: some frames are more than 20 dB below others.
    assert np.percentile(loudness, 95) > 10 * np.percentile(loudness, 5)
    assert power[(frequency > 80) & (frequency < 4000)].sum() > 0.8 * power.sum()


@needs_espeak
def test_sentences_and_speakers_all_sound_different() -> None:
    sounds = {
        speak(sentence, speaker).samples.tobytes()
        for sentence in ("a dense forest", "a winding river", "white tanks")
        for speaker in SPEAKERS
    }
    assert len(sounds) == 3 * len(SPEAKERS)


@needs_espeak
@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.voice)
def test_a_sentence_sounds_the_same_whatever_was_spoken_before(speaker: Speaker) -> None:
    first = speak("several storage tanks stand on bare ground", speaker).samples
    for seed, other in enumerate(SPEAKERS):
        # espeak-ng takes the clock for the seed of its noise when it starts.
        speech._engine().library.espeak_ng_SetRandSeed(seed)
        speak("a river meanders past trees and grass", other)
        again = speak("several storage tanks stand on bare ground", speaker).samples
        np.testing.assert_array_equal(again, first)


@needs_espeak
def test_speaking_faster_takes_less_time() -> None:
    slow = speak("a dense forest", Speaker("en-us+adam", rate=120)).samples
    fast = speak("a dense forest", Speaker("en-us+adam", rate=240)).samples
    assert len(fast) < 0.7 * len(slow)


@needs_espeak
def test_a_higher_pitch_raises_the_fundamental() -> None:
    low = speak("many men are moving", Speaker("en-us+adam", pitch=20))
    high = speak("many men are moving", Speaker("en-us+adam", pitch=80))
    assert fundamental(high) > 1.3 * fundamental(low)


@needs_espeak
def test_an_unknown_variant_is_refused_not_replaced_by_the_plain_voice() -> None:
    with pytest.raises(SpeechError, match=r"^espeak-ng has no voice 'en-us\+nobody'$"):
        speak("a dense forest", Speaker("en-us+nobody"))


@needs_espeak
def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(SpeechError, match=r"^espeak-ng has no voice 'xx'$"):
        speak("a dense forest", Speaker("xx"))


@needs_espeak
def test_nothing_to_say_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        speak(" ", SPEAKERS[0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Speaker("en-us", rate=20), r"rate must be in \[80, 450\], got 20"),
        (lambda: Speaker("en-us", pitch=100), r"pitch must be in \[0, 99\], got 100"),
        (lambda: DemoConfig(images_per_class=0), "images_per_class must be at least 1, got 0"),
        (lambda: DemoConfig(voices_per_image=11), "voices_per_image must be 1 to 10, got 11"),
        (lambda: DemoConfig(classes=1), "classes must be 2 to 8, got 1"),
        (lambda: DemoConfig(seed=-1), "seed must be at least 0, got -1"),
        (lambda: captions("volcano"), "no captions of 'volcano'; there are farmland"),
        (
            lambda: draw_captions("river", 17, np.random.default_rng(0)),
            "river has 0 to 16 different captions, got 17",
        ),
    ],
)
def test_impossible_numbers_are_refused_at_the_door(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(speech, "_engine", cache(speech._engine.__wrapped__))
    with pytest.raises(SpeechError) as caught:
        speak("a dense forest", SPEAKERS[0])
    assert str(caught.value) == (
        'no espeak-ng to speak with; install it from the source checkout: pip install -e ".[demo]"'
    )


@needs_espeak
@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_voices_is_refused_not_replaced_by_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    import espeakng_loader

    monkeypatch.setenv("ESPEAK_DATA_PATH", espeakng_loader.get_data_path())
    folder = tmp_path / "no-voices-here"
    if exists:
        folder.mkdir()
    # A copy of the library starts anew, as in a new process.
    copy = shutil.copy(espeakng_loader.get_library_path(), tmp_path)
    with pytest.raises(SpeechError, match=r"^espeak-ng cannot read its voices in .*-here; use"):
        speech._start(ctypes.CDLL(copy), folder)


@needs_espeak
def test_the_manifest_lists_every_file_with_what_is_said(demo_set: Path) -> None:
    manifest = read_manifest(demo_set / "manifest.csv")
    assert len(manifest.rows) == 2 * 2 * 2
    assert len(manifest.images()) == 2 * 2
    for row in manifest.rows:
        assert row.label in ("farmland", "runway")
        assert row.image.startswith(f"images/{row.label}/{row.label}_")
        assert row.caption in captions(row.label)
        assert row.speaker in {speaker.voice for speaker in SPEAKERS}
    listed = {name for row in manifest.rows for name in (row.image, row.voice)}
    assert set(contents(demo_set)) == listed | {"manifest.csv", "demo.json"}


@needs_espeak
def test_voices_of_one_image_differ_in_words_and_speaker(demo_set: Path) -> None:
    rows = read_manifest(demo_set / "manifest.csv").rows
    for one, other in combinations(rows, 2):
        if one.image == other.image:
            assert one.caption != other.caption
            assert one.speaker != other.speaker


@needs_espeak
def test_files_are_jpeg_and_16_bit_mono_wav(demo_set: Path) -> None:
    row = read_manifest(demo_set / "manifest.csv").rows[0]
    with Image.open(demo_set / row.image) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (256, 256))
    info = soundfile.info(demo_set / row.voice)
    assert (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1)
    assert info.samplerate == 22050


@needs_espeak
def test_the_same_config_gives_the_same_bytes(demo_set: Path, tmp_path: Path) -> None:
    write_demo_set(tmp_path / "again", SMALL)
    assert contents(tmp_path / "again") == contents(demo_set)


@needs_espeak
def test_another_seed_gives_other_images_and_voices(demo_set: Path, tmp_path: Path) -> None:
    write_demo_set(tmp_path, DemoConfig(images_per_class=1, classes=2, seed=1))
    first, other = contents(demo_set), contents(tmp_path)
    for name in ("images/runway/runway_00.jpg", "voices/runway/runway_00_0.wav"):
        assert first[name] != other[name]


@needs_espeak
def test_a_larger_set_begins_with_the_images_of_the_smaller(demo_set: Path, tmp_path: Path) -> None:
    write_demo_set(tmp_path, DemoConfig(images_per_class=3, voices_per_image=3, classes=3))
    larger = contents(tmp_path)
    images = {name: data for name, data in contents(demo_set).items() if name.endswith(".jpg")}
    assert len(images) == 4
    assert {name: larger[name] for name in images} == images


@needs_espeak
def test_a_complete_set_is_left_as_it_is(demo_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(demo_set)
    monkeypatch.setattr("ivr.pipeline.demo.demo_set.draw_scene", None)
    monkeypatch.setattr("ivr.pipeline.demo.demo_set.speak", None)
    assert write_demo_set(demo_set, SMALL) == demo_set / "manifest.csv"
    assert contents(demo_set) == before


@needs_espeak
def test_an_interrupted_set_is_made_whole(demo_set: Path, tmp_path: Path) -> None:
    whole = contents(demo_set)
    (tmp_path / "demo.json").write_bytes(whole["demo.json"])
    write_demo_set(tmp_path, SMALL)
    assert contents(tmp_path) == whole


@needs_espeak
def test_a_set_of_another_config_is_refused_in_one_line(demo_set: Path) -> None:
    with pytest.raises(DemoError) as caught:
        write_demo_set(demo_set, DemoConfig(images_per_class=3, classes=2))
    assert str(caught.value) == (
        f"{demo_set} holds a demonstration set made with another config (demo.json); "
        "delete the folder or name another"
    )


@needs_espeak
def test_no_two_voices_are_copies_and_the_set_has_no_problem(tmp_path: Path) -> None:
    # With 24 images per class a speaker says one sentence twice at one speed.
    manifest = write_demo_set(tmp_path, DemoConfig(images_per_class=24, classes=2))
    found = ivr.check(manifest)
    assert found.problems() == ()
    (warning,) = found.warnings()
    assert "captions on two sides" in str(warning)


@needs_espeak
def test_a_speaker_at_every_speed_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Voice(np.zeros(4, np.int16), 22050)
    monkeypatch.setattr("ivr.pipeline.demo.demo_set.speak", lambda *_: sound)
    heard: set[bytes] = set()
    assert _new_sound("a river", SPEAKERS[0], heard) is sound
    with pytest.raises(DemoError, match="has said 'a river' at every speed"):
        _new_sound("a river", SPEAKERS[0], heard)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(DemoError, match="holds files that are not a demonstration set"):
        write_demo_set(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["features", "run"])
def test_features_and_runs_of_the_user_are_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("weeks of work")
    with pytest.raises(DemoError, match=f"{name} is there and was not made by the demonstration"):
        demo(tmp_path, SMALL)
    assert contents(tmp_path) == {f"{name}/mine.txt": b"weeks of work"}


def test_features_and_run_beside_a_demonstration_set_are_made_again(
    demo_set: Path, tmp_path: Path
) -> None:
    shutil.copytree(demo_set, tmp_path / "set")
    (tmp_path / "features").mkdir()
    require_own_folder(tmp_path, "set", ("features", "run"))


@pytest.mark.parametrize(
    ("value", "most", "words"),
    [
        (48.0, 50.0, "P@10 is 48.0 %, near its ceiling of 50.0 %: in this small set"),
        (30.0, 50.0, "P@10 is 30.0 %, below its ceiling of 50.0 %: in this small set"),
        (90.0, 100.0, "P@10 is 90.0 % of 100 %"),
    ],
)
def test_the_ceiling_of_precision_is_told_beside_it(value: float, most: float, words: str) -> None:
    results = {
        "voice_to_image": {"P@10": value},
        "ceiling": {"voice_to_image": {"P@10": most}},
    }
    assert words in ceiling_in_words(results)


def test_the_last_lines_say_what_the_three_queries_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = Medium("images/a.jpg", False, "river", "", "")
    hit = Hit(image, "3 bits", "1", True)
    query = Medium("voices/a.wav", True, "river", "a river", "anna")
    cards = tuple(
        QueryCard(kind, "voice_to_image", kind, query, 50.0, (hit,), 1, 1.0, "", "right", 1, 1,
                  None, 4, 8)
        for kind in ("best", "drawn", "worst")
    )  # fmt: skip
    written = ReportResult(tmp_path / "report.html", None, 1, 3, 1, 1, (), 0, cards)
    monkeypatch.setattr("ivr.pipeline.demo.demo_report.report", lambda *_: written)
    results = {"voice_to_image": {"P@10": 48.0}, "ceiling": {"voice_to_image": {"P@10": 50.0}}}
    with caplog.at_level("INFO", logger="ivr"):
        report_demo(tmp_path, tmp_path, results)
    told = [record.getMessage() for record in caplog.records]
    start = next(n for n, line in enumerate(told) if "three spoken queries of the report" in line)
    assert "the classes of the first 5 images" in told[start]
    for line, words in zip(told[start + 1 : start + 4], KIND_TOLD.values(), strict=True):
        assert f'{words}: "a river" (river, AP 50.0 %) finds river (right, 3 bits)' in line
    assert in_words(cards[0]).startswith("the best answer: ")
