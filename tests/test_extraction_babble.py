"""Babble: which voices are mixed into a voice, and rows that never depend on anything else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, TINY_VOICE, assert_one_line, ivr, spoken
from test_extraction_extract import CONFIG, counted, made, rows_of

from ivr.features.store import open_table
from ivr.features.voice import voice_vectors
from ivr.features.voice_file import read_voice
from ivr.features.voice_properties import without_silence
from ivr.features.waveform_augmentation import change_of, changed_voice, file_of
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.feature_schema import VOICES
from ivr.pipeline.extraction.job_array import JobArrayTask
from ivr.pipeline.extraction.merge import merge
from ivr.pipeline.extraction.other_voices import FewVoicesError, OtherVoices
from ivr.pipeline.extraction.plan import plan

__all__ = ["counted"]  # a fixture

BABBLE = replace(CONFIG, augment=("babble=10", "noise=10"))


def in_splits(count: int) -> Manifest:
    """Two voices of each image; every third image is of the test split."""
    rows = [
        ManifestRow(f"{n // 2}.tif", f"{n}.wav", "pond", split="train" if n // 2 % 3 else "test")
        for n in range(count)
    ]
    return Manifest(rows)


def babbles(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The voices that are mixed into each voice."""
    of = OtherVoices(manifest).of
    return {name: of(f"{name}//babble=10") for name in manifest.voice_names()}


def shuffled(manifest: Manifest, seed: int) -> Manifest:
    order = np.random.default_rng(seed).permutation(len(manifest.rows))
    return Manifest([manifest.rows[place] for place in order])


def write_voice(path: Path, seed: int) -> None:
    samples = spoken("river", np.random.default_rng(seed), 0.17)
    soundfile.write(path, samples, SAMPLE_RATE)


def content(path: Path) -> bytes:
    return path.read_bytes()


def test_a_babble_is_of_other_voices_of_the_split_and_of_other_images() -> None:
    manifest = in_splits(120)
    items = {voice.name: voice for voice in manifest.voices()}
    found = babbles(manifest)
    assert set(found) == set(items)
    for name, others in found.items():
        assert len(others) == len(set(others)) == 5
        assert {items[other].split for other in others} == {items[name].split}
        assert items[name].image not in {items[other].image for other in others}
    used = Counter(other for others in found.values() for other in others)
    assert len(used) > 80  # not the same few in every babble
    assert len(set(found.values())) == 120


def test_voices_without_an_image_and_without_splits_are_mixed_with_any_other() -> None:
    manifest = Manifest([ManifestRow("", f"{n}.wav", "pond") for n in range(6)])
    for name, others in babbles(manifest).items():
        assert sorted((name, *others)) == [f"{n}.wav" for n in range(6)]


def test_a_voice_without_a_split_has_that_of_its_group() -> None:
    rows = [
        ManifestRow("", f"{n}.wav", "pond", split="" if n == 3 else "train", group=f"g{n // 4}")
        for n in range(12)
    ]
    tested = [ManifestRow("", f"t{n}.wav", "pond", split="test") for n in range(12)]
    found = babbles(Manifest([*rows, *tested]))
    assert len(found["3.wav"]) == 5
    assert not [other for other in found["3.wav"] if other.startswith("t")]


@pytest.mark.parametrize("seed", range(3))
def test_neither_the_order_of_the_manifest_nor_the_level_chooses_the_voices(seed: int) -> None:
    manifest = in_splits(60)
    assert babbles(shuffled(manifest, seed)) == babbles(manifest)
    of = OtherVoices(manifest).of
    assert of("7.wav//babble=0") == of("7.wav//babble=10")
    assert of("7.wav") == of("7.wav//noise=10") == ()


def test_a_voice_more_enters_few_babbles_and_changes_no_other() -> None:
    manifest = in_splits(300)
    rows = (*manifest.rows, ManifestRow("new.tif", "new.wav", "pond", split="train"))
    before, after = babbles(manifest), babbles(Manifest(rows))
    changed = [name for name, others in before.items() if after[name] != others]
    assert 0 < len(changed) < 60
    assert all("new.wav" in after[name] for name in changed)


def test_a_row_of_babble_is_made_of_the_voices_that_it_names(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 7)
    samples, rate = read_voice(tmp_path / "2.wav")
    soundfile.write(tmp_path / "2.wav", np.pad(samples, (4 * rate, 3 * rate)), rate)
    (voices,) = extract(manifest, tmp_path / "out", BABBLE)
    rows = rows_of(voices.path, VOICES)
    assert voices.rows == 21
    for name, others in babbles(read_manifest(manifest)).items():
        samples, rate = read_voice(tmp_path / name)
        heard = [without_silence(*read_voice(tmp_path / other)) for other in others]
        noisy = changed_voice(samples, rate, f"{name}//babble=10", heard)
        expected, _ = voice_vectors(noisy, rate, TINY_VOICE)
        np.testing.assert_array_equal(rows[f"{name}//babble=10"], expected.reshape(-1))
        assert (rows[f"{name}//babble=10"] != rows[name]).any()


def test_jobs_parts_order_and_calls_that_were_stopped_make_the_same_rows(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 13)
    (whole,) = extract(manifest, tmp_path / "whole", BABBLE)
    expected = content(whole.path)
    (jobs,) = extract(manifest, tmp_path / "jobs", replace(BABBLE, jobs=2))
    assert content(jobs.path) == expected
    for number in (2, 1, 3):
        extract(manifest, tmp_path / "parts", replace(BABBLE, shard=JobArrayTask(number, 3)))
    (merged,) = merge(tmp_path / "parts")
    assert (merged.rows, content(merged.path)) == (39, expected)
    left = 1
    while left:
        (again,) = extract(manifest, tmp_path / "stopped", replace(BABBLE, time_limit=1e-9))
        left = again.left
    assert content(again.path) == expected
    extract(manifest, tmp_path / "later", replace(CONFIG, augment=("noise=10",)))
    (later,) = extract(manifest, tmp_path / "later", BABBLE)
    assert content(later.path) == expected
    write_manifest(tmp_path / "other.csv", shuffled(read_manifest(manifest), 0))
    (other,) = extract(tmp_path / "other.csv", tmp_path / "other", BABBLE)
    rows, same = rows_of(whole.path, VOICES), rows_of(other.path, VOICES)
    assert set(rows) == set(same)
    for name, vector in rows.items():
        np.testing.assert_array_equal(same[name], vector)


def test_finished_rows_of_babble_are_finished(tmp_path: Path, counted: list[str]) -> None:
    manifest = made(tmp_path, 0, 7)
    extract(manifest, tmp_path / "out", BABBLE)
    counted.clear()
    (voices,) = extract(manifest, tmp_path / "out", BABBLE)
    (kept,) = extract(manifest, tmp_path / "out", CONFIG)
    assert (voices.new, voices.rows, kept.rows, counted) == (0, 21, 21, [])


def made_again(counted: Sequence[str]) -> set[str]:
    return {file_of(name) for name in counted if change_of(name) == "babble=10"}


def test_a_replaced_recording_is_replaced_in_every_babble(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 0, 12)
    extract(manifest, tmp_path / "out", BABBLE)
    write_voice(tmp_path / "1.wav", 9)
    counted.clear()
    (voices,) = extract(manifest, tmp_path / "out", BABBLE)
    found = babbles(read_manifest(manifest))
    affected = {name for name, others in found.items() if "1.wav" in others}
    assert 0 < len(affected) < 11
    assert made_again(counted) == affected | {"1.wav"}
    (whole,) = extract(manifest, tmp_path / "whole", BABBLE)
    assert content(voices.path) == content(whole.path)


def test_a_voice_that_is_moved_to_the_test_split_leaves_the_babble_of_training_voices(
    tmp_path: Path, counted: list[str]
) -> None:
    path = made(tmp_path, 0, 18)
    rows = [
        replace(row, split="train" if n < 10 else "test")
        for n, row in enumerate(read_manifest(path).rows)
    ]
    write_manifest(path, Manifest(rows))
    extract(path, tmp_path / "out", BABBLE)
    before = babbles(read_manifest(path))
    write_manifest(path, Manifest([replace(rows[0], split="test"), *rows[1:]]))
    after = babbles(read_manifest(path))
    counted.clear()
    (voices,) = extract(path, tmp_path / "out", BABBLE)
    assert made_again(counted) == {name for name in before if after[name] != before[name]}
    assert {"0.wav"} < made_again(counted)
    (whole,) = extract(path, tmp_path / "whole", BABBLE)
    assert content(voices.path) == content(whole.path)


def test_merging_keeps_no_babble_of_a_recording_that_was_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = made(tmp_path, 0, 12)
    extract(manifest, tmp_path / "out", BABBLE)
    write_voice(tmp_path / "1.wav", 9)
    config = replace(CONFIG, augment=("noise=10",))
    for number in (1, 2):
        extract(manifest, tmp_path / "out", replace(config, shard=JobArrayTask(number, 2)))
    merge(tmp_path / "out")
    names = open_table(tmp_path / "out" / "voices.h5", VOICES).text("names")
    found = babbles(read_manifest(manifest))
    kept = {name for name, others in found.items() if "1.wav" not in (name, *others)}
    assert {file_of(name) for name in names if change_of(name) == "babble=10"} == kept
    assert f"no row of babble=10 for {12 - len(kept)} voices" in caplog.text


def test_a_recording_that_is_gone_keeps_the_babble_with_it_and_a_new_one_does_not(
    tmp_path: Path,
) -> None:
    manifest = made(tmp_path, 0, 7)
    extract(manifest, tmp_path / "out", BABBLE)
    found = babbles(read_manifest(manifest))
    (tmp_path / "1.wav").unlink()
    name = next(name for name, others in found.items() if "1.wav" in others)
    write_voice(tmp_path / name, 9)
    (voices,) = extract(manifest, tmp_path / "out", CONFIG)
    held = rows_of(voices.path, VOICES)
    assert "1.wav//babble=10" in held
    assert f"{name}//babble=10" not in held


@pytest.mark.parametrize("of_silence", [True, False])
def test_a_babble_with_a_voice_that_cannot_be_used_is_skipped_and_says_with_which(
    of_silence: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = made(tmp_path, 0, 12)
    if of_silence:
        soundfile.write(tmp_path / "1.wav", np.zeros(2400), SAMPLE_RATE)
    else:
        (tmp_path / "1.wav").write_bytes(b"no sound")
    (voices,) = extract(manifest, tmp_path / "out", replace(CONFIG, augment=("babble=10",)))
    found = babbles(read_manifest(manifest))
    affected = {f"{name}//babble=10" for name, others in found.items() if "1.wav" in others}
    own = "1.wav//babble=10" if of_silence else "1.wav"
    assert set(voices.skipped) == affected | {own}
    reason = "is silent" if of_silence else "not a WAV"
    for name in affected:
        assert f"skipped {name}: cannot be mixed with 1.wav: {reason}" in caplog.text


def test_too_few_voices_are_refused_in_one_line_before_anything_is_read(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = made(tmp_path, 0, 5)
    for stage in (extract, plan):
        with pytest.raises(FewVoicesError, match=r"^babble=10 mixes 5 voices .*there are 4 for "):
            stage(manifest, tmp_path / "out", BABBLE)
    assert counted == []
    assert not (tmp_path / "out" / "voices.h5").exists()
    rows = [replace(row, split="train") for row in read_manifest(made(tmp_path, 0, 8)).rows]
    write_manifest(manifest, Manifest([replace(rows[0], split="val"), *rows[1:]]))
    refused = ivr("extract", manifest, "--out", tmp_path / "out", "--augment", "babble=10")
    assert_one_line(refused, "in the split val into each voice, there are 0 for 0.wav")
    rows = [ManifestRow("one.tif", row.voice, "pond") for row in rows]
    with pytest.raises(FewVoicesError, match="of other images"):
        OtherVoices(Manifest(rows)).require_enough(["babble=10"])
    OtherVoices(Manifest(rows)).require_enough(["noise=10", "speed=0.9"])


def test_a_task_of_a_job_array_sees_the_voices_of_all_tasks(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    for number in (1, 2, 3):  # two voices each
        extract(manifest, tmp_path / "out", replace(BABBLE, shard=JobArrayTask(number, 3)))
    (merged,) = merge(tmp_path / "out")
    assert merged.rows == 18
