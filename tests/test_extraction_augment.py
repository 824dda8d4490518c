"""Changed voices from extraction to figures: made once, kept, and only where they are asked for."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import (
    SAMPLE_RATE,
    TINY_VOICE,
    assert_one_line,
    ivr,
    load_tiny_encoder,
    spoken,
    succeeded,
    write_media,
)
from test_extraction_extract import CONFIG, counted, made, rows_of
from test_runs_encode import CONFIG as RUN_CONFIG

from ivr.features.shards import rows_digest
from ivr.features.store import open_table, write_table
from ivr.features.voice import voice_vectors
from ivr.features.voice_file import read_voice
from ivr.features.waveform_augmentation import change_of, changed_name, changed_voice, file_of
from ivr.hashing.codes import packed_signs
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import encode_voices, epoch_pairs
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.evaluation.protocol import Protocol
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.extraction.feature_dataset import STREAMS, open_features
from ivr.pipeline.extraction.feature_schema import VOICES
from ivr.pipeline.extraction.job_array import JobArrayTask
from ivr.pipeline.extraction.merge import merge
from ivr.pipeline.extraction.plan import plan
from ivr.pipeline.extraction.target import ExtractError
from ivr.pipeline.runs.choices import recorded
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError, load_model, read_config, write_json
from ivr.pipeline.runs.train import resume_run, train_run
from ivr.pipeline.runs.training_data import training_and_validation

__all__ = ["counted"]  # a fixture

CHANGES = ("noise=10", "speed=0.9")
EVERY_KIND = ("noise=10", "pitch=2", "speed=0.9", "tempo=1.2", "tract=1.1")
CHANGED = replace(CONFIG, augment=CHANGES)


def voices_made(folder: Path, count: int) -> Path:
    """A manifest of so many voices."""
    return made(folder, 0, count)


def named(voices: Sequence[str], changes: Sequence[str] = CHANGES) -> tuple[str, ...]:
    """The rows of ``voices`` in the order of a file."""
    return (*voices, *sorted(changed_name(name, change) for name in voices for change in changes))


def names_of(path: Path) -> tuple[str, ...]:
    return open_table(path, VOICES).text("names")


def test_each_change_is_a_row_more_made_of_the_changed_waveform(tmp_path: Path) -> None:
    config = replace(CONFIG, augment=("speed=0.90", *EVERY_KIND))
    (voices,) = extract(voices_made(tmp_path, 2), tmp_path / "out", config)
    assert (voices.rows, voices.new, voices.skipped) == (12, 12, ())
    table = open_table(voices.path, VOICES)
    assert table.text("names") == named(["0.wav", "1.wav"], EVERY_KIND)
    frames = dict(zip(table.text("names"), table.read("frames"), strict=True))
    for name, vector in rows_of(voices.path, VOICES).items():
        samples, rate = read_voice(tmp_path / file_of(name))
        expected, length = voice_vectors(changed_voice(samples, rate, name), rate, TINY_VOICE)
        np.testing.assert_array_equal(vector, expected.reshape(-1))
        assert frames[name] == length
    assert frames["0.wav//speed=0.9"] == 34  # 0.15 s / 0.9 every 5 ms, and the first
    assert frames["0.wav//noise=10"] == frames["0.wav"] == 31


def test_rows_as_recorded_are_those_without_changes_to_the_bit(tmp_path: Path) -> None:
    manifest = voices_made(tmp_path, 5)
    (plain,) = extract(manifest, tmp_path / "plain", CONFIG)
    (changed,) = extract(manifest, tmp_path / "changed", CHANGED)
    table = open_table(changed.path, VOICES)
    assert rows_digest(table, names_of(plain.path)) == open_table(plain.path, VOICES).sha256
    table.verify()


def test_jobs_parts_and_calls_that_were_stopped_make_the_same_bytes(tmp_path: Path) -> None:
    manifest = voices_made(tmp_path, 13)
    every = replace(CONFIG, augment=EVERY_KIND)
    (whole,) = extract(manifest, tmp_path / "every", every)
    (jobs,) = extract(manifest, tmp_path / "jobs", replace(every, jobs=2))
    assert jobs.path.read_bytes() == whole.path.read_bytes()
    (whole,) = extract(manifest, tmp_path / "whole", CHANGED)
    expected = whole.path.read_bytes()
    for number in (2, 1, 3):
        extract(manifest, tmp_path / "parts", replace(CHANGED, shard=JobArrayTask(number, 3)))
    (merged,) = merge(tmp_path / "parts")
    assert (merged.rows, merged.path.read_bytes()) == (39, expected)
    stopped = replace(CHANGED, time_limit=1e-9)
    lefts = []
    while not lefts or lefts[-1]:
        (again,) = extract(manifest, tmp_path / "stopped", stopped)
        lefts.append(again.left)
    assert lefts == [35, 31, 27, 26, 22, 18, 14, 13, 9, 5, 1, 0]
    assert again.path.read_bytes() == expected


def test_a_change_that_is_added_makes_its_rows_alone_and_the_same_bytes(
    tmp_path: Path, counted: list[str]
) -> None:
    manifest = voices_made(tmp_path, 3)
    extract(manifest, tmp_path / "out", CONFIG)
    extract(manifest, tmp_path / "out", replace(CONFIG, augment=("speed=0.9",)))
    counted.clear()
    (voices,) = extract(manifest, tmp_path / "out", CHANGED)
    assert counted == [f"{number}.wav//noise=10" for number in range(3)]
    assert (voices.rows, voices.new) == (9, 3)
    (whole,) = extract(manifest, tmp_path / "whole", CHANGED)
    assert voices.path.read_bytes() == whole.path.read_bytes()


def test_a_call_without_changes_keeps_those_that_are_there(
    tmp_path: Path, counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    manifest = voices_made(tmp_path, 3)
    (before,) = extract(manifest, tmp_path / "out", CHANGED)
    content = before.path.read_bytes()
    counted.clear()
    caplog.clear()
    (after,) = extract(manifest, tmp_path / "out", CONFIG)
    assert (after.rows, after.new, counted, caplog.messages) == (9, 0, [], [])
    assert after.path.read_bytes() == content
    soundfile.write(tmp_path / "new.wav", spoken("pond", np.random.default_rng(9)), SAMPLE_RATE)
    rows = (*read_manifest(manifest).rows, ManifestRow("", "new.wav", "pond"))
    write_manifest(manifest, Manifest(rows))
    (longer,) = extract(manifest, tmp_path / "out", CONFIG)
    assert (longer.rows, counted) == (10, ["new.wav"])
    assert (
        "not all voices have rows of noise=10, speed=0.9; make them with "
        "--augment noise=10 --augment speed=0.9" in caplog.text
    )


def test_changes_that_other_settings_take_away_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = voices_made(tmp_path, 2)
    extract(manifest, tmp_path / "out", CHANGED)
    other = replace(CHANGED, voice=replace(TINY_VOICE, frames=50), augment=("noise=10",))
    (voices,) = extract(manifest, tmp_path / "out", other, overwrite=True)
    assert voices.rows == 4
    assert "but not those of speed=0.9; make them with --augment" in caplog.text


def test_a_replaced_recording_loses_all_that_was_made_of_it(tmp_path: Path) -> None:
    manifest = voices_made(tmp_path, 2)
    extract(manifest, tmp_path / "out", CHANGED)
    rng = np.random.default_rng(9)
    soundfile.write(tmp_path / "1.wav", spoken("river", rng, 0.17), SAMPLE_RATE)
    (voices,) = extract(manifest, tmp_path / "out", replace(CONFIG, augment=("noise=10",)))
    assert names_of(voices.path) == (
        "0.wav", "1.wav", "0.wav//noise=10", "0.wav//speed=0.9", "1.wav//noise=10",
    )  # fmt: skip
    (voices,) = extract(manifest, tmp_path / "out", CHANGED)
    (whole,) = extract(manifest, tmp_path / "whole", CHANGED)
    assert voices.path.read_bytes() == whole.path.read_bytes()


def test_merging_keeps_no_change_of_a_recording_that_was_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = voices_made(tmp_path, 4)
    extract(manifest, tmp_path / "out", CHANGED)
    soundfile.write(
        tmp_path / "1.wav", spoken("river", np.random.default_rng(9), 0.17), SAMPLE_RATE
    )
    for number in (1, 2):
        config = replace(CONFIG, augment=("noise=10",), shard=JobArrayTask(number, 2))
        extract(manifest, tmp_path / "out", config)
    (merged,) = merge(tmp_path / "out")
    assert merged.rows == 4 + 4 + 3
    assert "1.wav//speed=0.9" not in names_of(merged.path)
    assert "no row of speed=0.9 for 1 voice" in caplog.text


def test_a_voice_that_cannot_be_read_is_named_once_and_one_that_cannot_be_changed_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = voices_made(tmp_path, 4)
    (tmp_path / "1.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "2.wav", np.zeros(2400), SAMPLE_RATE)
    soundfile.write(tmp_path / "3.wav", spoken("pond", np.random.default_rng(0), 0.04), SAMPLE_RATE)
    config = replace(CHANGED, augment=("noise=10", "speed=2"))
    (voices,) = extract(manifest, tmp_path / "out", config)
    assert voices.skipped == ("1.wav", "2.wav//noise=10", "3.wav//speed=2")
    said = [line for line in caplog.messages if line.startswith("skipped")]
    assert said[0].startswith("skipped 1.wav: not a WAV, FLAC, Ogg, MP3")
    assert said[1].startswith("skipped 2.wav//noise=10: is silent")
    assert said[2].startswith("skipped 3.wav//speed=2: lasts 0.02")
    assert len(said) == 3
    assert voices.rows == 3 + 2 + 2
    with pytest.raises(ExtractError, match=r"1\.wav: not a WAV"):
        extract(manifest, tmp_path / "strict", replace(config, strict=True))


def test_a_plan_counts_the_rows_of_changes(tmp_path: Path) -> None:
    manifest = voices_made(tmp_path, 4)
    extract(manifest, tmp_path / "out", CONFIG)
    (voices,) = plan(manifest, tmp_path / "out", CHANGED)
    assert (voices.items, voices.done, voices.bytes) == (12, 4, 12 * 3 * 5 * 40 * 4)


def test_batches_of_torch_make_the_same_rows_whenever_a_change_is_added(tmp_path: Path) -> None:
    manifest = voices_made(tmp_path, 7)
    voice = replace(TINY_VOICE, backend="torch")
    config = replace(CONFIG, augment=EVERY_KIND, voice=voice, batch_size=3, jobs=2)
    (at_once,) = extract(manifest, tmp_path / "at-once", config)
    extract(manifest, tmp_path / "later", replace(config, augment=("speed=0.9",)))
    (later,) = extract(manifest, tmp_path / "later", config)
    assert later.path.read_bytes() == at_once.path.read_bytes()
    (fast,) = extract(manifest, tmp_path / "fast", replace(CONFIG, augment=EVERY_KIND))
    expected = rows_of(fast.path, VOICES)
    for name, vector in rows_of(at_once.path, VOICES).items():
        np.testing.assert_allclose(vector, expected[name], atol=1e-3)


@pytest.mark.parametrize("change", ["noise", "echo=3", "speed=9"])
def test_a_change_that_is_none_is_refused_before_anything_is_read(change: str) -> None:
    with pytest.raises(ValueError, match=r"KIND=NUMBER|called|must be"):
        ExtractConfig(augment=(change,))


def test_features_hand_out_voices_as_recorded_unless_a_change_is_asked_for(
    media_set: Path, tmp_path: Path, tiny_encoder: None
) -> None:
    manifest = media_set / "manifest.csv"
    extract(manifest, tmp_path / "out", CHANGED)
    data = open_features(tmp_path / "out")
    names = [item.name for item in read_manifest(manifest).voices()]
    assert data.changes() == data.held_changes() == CHANGES
    assert [item.name for item in data.voice_items()] == names
    assert [item.name for item in data.voice_items("noise=10")] == names
    assert data.voice_items("noise=20") == []
    rows = rows_of(tmp_path / "out" / "voices.h5", VOICES)
    for change in ("", *CHANGES):
        vectors, frames = data.voice_vectors(names[:3], STREAMS, change)
        for name, vector in zip(names, vectors, strict=False):
            np.testing.assert_array_equal(vector.reshape(-1), rows[changed_name(name, change)])
        assert frames.tolist() == [34 if change == "speed=0.9" else 31] * 3


@pytest.fixture(scope="module")
def augmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 18 images and 36 voices by two speakers, with changes; tests read them only."""
    folder = tmp_path_factory.mktemp("augmented")
    rows = read_manifest(write_media(folder / "media")).rows
    spoken_by = [replace(row, speaker=f"s{row.voice[-5]}") for row in rows]
    write_manifest(folder / "media" / "manifest.csv", Manifest(tuple(spoken_by)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ivr.pipeline.extraction.modality.load_encoder", load_tiny_encoder)
        extract(folder / "media" / "manifest.csv", folder / "features", CHANGED)
    return folder / "features"


@pytest.fixture(scope="module")
def plain(augmented: Path) -> Path:
    """The same features before there were changes."""
    folder = Path(shutil.copytree(augmented, augmented.parent / "plain"))
    (folder / "voices.h5").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ivr.pipeline.extraction.modality.load_encoder", load_tiny_encoder)
        extract(augmented.parent / "media" / "manifest.csv", folder, CONFIG)
    return folder


def trained_on(features: Path, config: RunConfig) -> tuple[list[str], list[str], set[str]]:
    """Names of the rows that are trained on and chosen by, and the images of the training split."""
    data = open_features(features)
    splits = complete_splits(data.manifest, config.split)
    pairs = training_and_validation(data, splits, recorded(data, splits, config))
    names = {row: name for name, row in data.voice_rows.items()}
    found = []
    for some in pairs:
        assert some.voice_rows is not None
        found.append([names[row] for row in some.voice_rows.tolist()])
    return found[0], found[1], {name for name, split in splits.items() if split == "train"}


def test_training_hears_the_changes_of_its_own_voices_and_validation_none(augmented: Path) -> None:
    config = replace(RUN_CONFIG, voices="all", augmented=True)
    training, validation, train = trained_on(augmented, config)
    plainly, same_validation, _ = trained_on(augmented, replace(config, augmented=False))
    assert not [name for name in plainly if change_of(name)]
    assert sorted(training) == sorted(named(plainly))
    assert {file_of(name) for name in training} <= train
    assert validation == same_validation
    assert not [name for name in validation if change_of(name)]


def test_who_is_left_out_is_left_out_with_the_changes(augmented: Path) -> None:
    config = replace(RUN_CONFIG, voices="all", augmented=True, without_speakers=("s1",))
    training, _, _ = trained_on(augmented, config)
    assert {file_of(name)[-5] for name in training} == {"0"}
    assert {change_of(name) for name in training} == {"", *CHANGES}


def test_of_one_voice_an_image_any_change_is_drawn_each_epoch(augmented: Path) -> None:
    config = replace(RUN_CONFIG, voices="one", augmented=True)
    training, _, _ = trained_on(augmented, config)
    plainly, _, _ = trained_on(augmented, replace(config, augmented=False))
    assert sorted(training) == sorted(named(plainly))
    count = len(plainly)
    described = torch.arange(count).repeat_interleave(3)
    voices = torch.zeros(3 * count, 1, 1, 1), torch.ones(3 * count), described
    pairs = Pairs(torch.zeros(count, 1), torch.zeros(count, dtype=torch.int64), *voices)
    rng, heard = np.random.default_rng(0), set[int]()
    for _ in range(20):
        images, rows = epoch_pairs(pairs, "own", rng)
        assert sorted(images) == list(range(count))
        heard |= set(rows.tolist())
    assert heard == set(range(len(training)))


def test_a_run_says_that_it_is_augmented_and_goes_on_as_it_was_begun(
    augmented: Path, plain: Path, tmp_path: Path
) -> None:
    config = replace(RUN_CONFIG, augmented=True)
    run = train_run(augmented, tmp_path / "run", config)
    chosen = read_config(run)
    assert (chosen["augmented"], chosen["features"]["changes"]) == (True, list(CHANGES))
    resume_run(run, expected=config)
    with pytest.raises(RunError, match="begun with augmented true, now asked for false"):
        resume_run(run, expected=RUN_CONFIG)
    with pytest.raises(RunError, match="not the features"):
        resume_run(run, features=plain)


def test_changes_that_are_added_do_not_keep_a_run_from_going_on(
    augmented: Path, plain: Path, tmp_path: Path
) -> None:
    run = train_run(plain, tmp_path / "run", RUN_CONFIG)
    before = (run / "model.safetensors").read_bytes()
    resume_run(run, features=augmented, expected=RUN_CONFIG)
    assert (run / "model.safetensors").read_bytes() == before
    with pytest.raises(RunError, match="begun with augmented false"):
        resume_run(run, features=augmented, expected=replace(RUN_CONFIG, augmented=True))


def test_runs_begun_before_there_were_changes_were_not_augmented(
    augmented: Path, tmp_path: Path
) -> None:
    run = train_run(augmented, tmp_path / "run", RUN_CONFIG)
    chosen = dict(read_config(run))
    del chosen["augmented"]
    write_json(run / "config.json", chosen)
    resume_run(run, expected=RUN_CONFIG)
    with pytest.raises(RunError, match="begun with augmented false, now asked for true"):
        resume_run(run, expected=replace(RUN_CONFIG, augmented=True))


def test_nothing_to_augment_with_is_one_line(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no changed voices to train on; make them with ivr ext"):
        train_run(plain, tmp_path / "run", replace(RUN_CONFIG, augmented=True))
    assert not (tmp_path / "run").exists()


def test_codes_of_changed_voices_have_their_plain_names(
    augmented: Path, plain: Path, tmp_path: Path
) -> None:
    run = train_run(plain, tmp_path / "run", RUN_CONFIG)
    path = encode_run(run, features=augmented, out=tmp_path / "noisy.h5", change="noise=10.0")
    clear, noisy = read_codes(run / "codes.h5"), read_codes(path)
    assert (clear.config["change"], noisy.config["change"]) == ("", "noise=10")
    np.testing.assert_array_equal(noisy.images.codes, clear.images.codes)
    for column in ("names", "labels", "splits", "images", "speakers"):
        assert getattr(noisy.voices, column) == getattr(clear.voices, column)
    data, model = open_features(augmented), load_model(run, read_config(run), torch.device("cpu"))
    vectors, frames = data.voice_vectors(noisy.voices.names, RUN_CONFIG.streams, "noise=10")
    outputs = encode_voices(model, torch.from_numpy(vectors), torch.from_numpy(frames))
    np.testing.assert_array_equal(noisy.voices.codes, packed_signs(outputs, 24))
    assert (noisy.voices.codes != clear.voices.codes).any()


def test_figures_under_noise_say_so_and_do_not_replace_the_others(
    augmented: Path, tmp_path: Path
) -> None:
    run = train_run(augmented, tmp_path / "run", RUN_CONFIG)
    codes = encode_run(run, out=tmp_path / "noisy.h5", change="noise=10")
    found = evaluate(run, Protocol(), codes=codes)
    assert found.folder.parent == run / "evaluations"
    assert found.folder.name.startswith("divh-codes=noisy-")
    assert not (run / "results.json").exists()
    noisy = found.results
    clear = evaluate(run, Protocol()).results
    assert "voices changed by noise=10" in results_table(noisy).splitlines()[0]
    assert "changed" not in results_table(clear)
    assert (noisy["codes"]["change"], clear["codes"]["change"]) == ("noise=10", "")
    assert noisy["image_to_voice"]["queries"] == clear["image_to_voice"]["queries"]


@pytest.mark.parametrize(
    ("change", "out", "words"),
    [
        ("noise=20", "x.h5", r"no voices changed by noise=20 \(there are: noise=10, speed=0.9\)"),
        ("noise=10", "", "its codes are of voices as recorded; say where to write with --out"),
        ("noise=10", "run/codes.h5", "its codes are of voices as recorded; say where to write"),
        ("echo=1", "x.h5", "called 'echo'"),
    ],
)
def test_codes_that_cannot_be_made_are_refused(
    augmented: Path, tmp_path: Path, change: str, out: str, words: str
) -> None:
    run = train_run(augmented, tmp_path / "run", RUN_CONFIG)
    with pytest.raises(ValueError, match=words):
        encode_run(run, change=change, out=tmp_path / out if out else None)


def test_a_voice_without_the_change_is_left_out_of_its_codes(
    augmented: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train_run(augmented, tmp_path / "run", RUN_CONFIG)
    folder = Path(shutil.copytree(augmented, tmp_path / "features"))
    table = open_table(folder / "voices.h5", VOICES)
    gone = table.text("names")[0]
    rows = [n for n, name in enumerate(table.text("names")) if name != f"{gone}//noise=10"]
    columns = {name: table.read(name)[rows] for name in table.columns}
    write_table(folder / "voices.h5", VOICES, table.config, columns)
    path = encode_run(run, features=folder, out=tmp_path / "noisy.h5", change="noise=10")
    assert len(read_codes(path).voices.names) == 35
    assert gone not in read_codes(path).voices.names
    assert "left out: 1 voice without a row of noise=10" in caplog.text


def test_the_commands_from_recordings_to_figures_under_noise(
    media_set: Path, tmp_path: Path, tiny_encoder: None
) -> None:
    arguments = (
        media_set / "manifest.csv", "--out", tmp_path / "features", "--device", "cpu", "--jobs", 1,
        "--voice-option", "frames=40", "--voice-option", "coefficients=5",
        "--voice-option", "mels=20",
    )  # fmt: skip
    changes = ("--augment", "noise=10.0", "--augment", "tract=1.1")
    succeeded(ivr("extract", *arguments))
    dry = succeeded(ivr("extract", *arguments, *changes, "--dry-run"))
    assert "voices.h5: 108 items, 36 done already, 72 to do" in dry.stdout
    assert "108 rows, 72 of them new" in succeeded(ivr("extract", *arguments, *changes)).stdout
    succeeded(ivr("verify", tmp_path / "features"))
    short = (
        "--bits", 16, "--device", "cpu", "--epochs", 1, "--batch-size", 6,
        "--set", "network.voice_channels=8", "--set", "network.voice_stride=1",
        "--set", "network.voice_kernel=3",
    )  # fmt: skip
    run, codes = tmp_path / "run", tmp_path / "noisy.h5"
    dry = succeeded(ivr("train-hash", tmp_path / "features", "--out", run, "--augmented", *short,
                        "--dry-run"))  # fmt: skip
    assert '"augmented": true' in dry.stdout
    succeeded(ivr("train-hash", tmp_path / "features", "--out", run, "--augmented", *short))
    succeeded(ivr("encode", run, "--change", "noise=10", "--out", codes))
    out = tmp_path / "noisy"
    result = succeeded(ivr("evaluate", run, "--codes", codes, "--out", out, "--json"))
    assert '"change": "noise=10"' in result.stdout
    before = (run / "results.json").read_bytes() if (run / "results.json").exists() else b""
    succeeded(ivr("evaluate", run, "--codes", codes))
    assert len(list((run / "evaluations").glob("*/results.json"))) == 1
    after = (run / "results.json").read_bytes() if (run / "results.json").exists() else b""
    assert after == before
    assert_one_line(ivr("encode", run, "--change", "noise=10"), "say where to write with --out")
    assert_one_line(ivr("encode", run, "--change", "hum=1", "--out", codes), "called 'hum'")
    refused = ivr("extract", *arguments, "--augment", "speed=7")
    assert refused.exit_code == 2
    assert "speed (a factor) must be from 0.5 to 2, got 7" in refused.stderr
