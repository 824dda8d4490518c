"""A cache is never stale: features and codes are those of the files and the manifest of today."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, TINY_VOICE
from test_runs_train import CONFIG as TRAINING

from ivr.features import media
from ivr.features.regular_files import ChangedFileError, opened_regular, read_regular
from ivr.features.store import Table, open_table, text_column, write_table
from ivr.features.voice import voice_vectors
from ivr.features.voice_file import read_voice
from ivr.features.waveform_augmentation import changed_name
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.extraction import worker_tasks
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.extraction.feature_schema import VOICES
from ivr.pipeline.extraction.file_stamps import FileStamps, file_state, stamp_of
from ivr.pipeline.extraction.merge import MergeError, merge
from ivr.pipeline.packing.search import search
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.encode import encode
from ivr.pipeline.runs.run_folder import RunError
from ivr.pipeline.runs.train import train_run

CONFIG = ExtractConfig(voice=TINY_VOICE, jobs=1, batch_size=2)
TRUSTING = replace(CONFIG, trust_mtime=True)
LENGTH = 24_000  # samples, of which an earlier version looked at a fourth
LONG_AGO = 1_000_000_000  # seconds since 1970


def speak(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(seed).normal(0, 0.1, LENGTH)
    soundfile.write(path, sound, SAMPLE_RATE, "PCM_16")


def spoken_set(folder: Path, names: Sequence[str] = ("1.wav", "2.wav"), seed: int = 0) -> Path:
    for number, name in enumerate(names):
        speak(folder / name, seed + number)
    rows = tuple(ManifestRow("", name, "pond") for name in names)
    write_manifest(folder / "all.csv", Manifest(rows))
    return folder / "all.csv"


def vectors(folder: Path) -> dict[str, np.ndarray]:
    table = open_table(folder / "voices.h5", VOICES)
    return dict(zip(table.text("names"), table.read("vectors"), strict=True))


def assert_fresh(folder: Path, root: Path, names: Sequence[str]) -> None:
    found = vectors(folder)
    for name in names:
        expected, _ = voice_vectors(*read_voice(root / name), TINY_VOICE)
        np.testing.assert_array_equal(found[name], expected.reshape(-1), err_msg=name)


def test_a_file_replaced_while_its_row_is_made_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = spoken_set(tmp_path)
    decode = worker_tasks.decode_recording

    def replaced_after_reading(*arguments: object) -> object:
        samples = decode(*arguments)  # type: ignore[arg-type]
        speak(tmp_path / "1.wav", 7)
        return samples

    monkeypatch.setattr(worker_tasks, "decode_recording", replaced_after_reading)
    extract(manifest, tmp_path / "out", CONFIG)
    monkeypatch.undo()
    assert extract(manifest, tmp_path / "out", CONFIG).voices.new == 1
    assert_fresh(tmp_path / "out", tmp_path, ["1.wav", "2.wav"])


@pytest.mark.parametrize("place", [44, LENGTH // 2, LENGTH, LENGTH + 6000, 2 * LENGTH + 42])
def test_one_changed_byte_anywhere_makes_the_row_anew(tmp_path: Path, place: int) -> None:
    manifest = spoken_set(tmp_path)
    extract(manifest, tmp_path / "out", CONFIG)
    content = bytearray((tmp_path / "1.wav").read_bytes())
    content[place] ^= 1
    state = (tmp_path / "1.wav").stat()
    with (tmp_path / "1.wav").open("r+b") as file:  # in place: the inode stays
        file.write(content)
    os.utime(tmp_path / "1.wav", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert extract(manifest, tmp_path / "out", CONFIG).voices.new == 1
    assert_fresh(tmp_path / "out", tmp_path, ["1.wav", "2.wav"])


def test_a_file_that_is_written_to_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345678")
    with (
        pytest.raises(ChangedFileError, match="changed while it was read; call again"),
        opened_regular(tmp_path / "a") as file,
    ):
        file.read(4)
        (tmp_path / "a").write_bytes(b"123456789")


def test_a_voice_that_is_written_to_while_it_is_read_is_skipped_and_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = spoken_set(tmp_path)

    def changing(path: Path, most: int) -> bytes:
        if path.name == "1.wav":
            raise ChangedFileError("changed while it was read; call again")
        return read_regular(path, most)

    monkeypatch.setattr(media, "read_regular", changing)
    assert extract(manifest, tmp_path / "out", CONFIG).voices.skipped == ("1.wav",)
    monkeypatch.undo()
    assert extract(manifest, tmp_path / "out", CONFIG).voices.skipped == ()
    assert_fresh(tmp_path / "out", tmp_path, ["1.wav", "2.wav"])


def test_no_file_has_rows_of_two_contents_of_one_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The recording is replaced after its own row was made and before that of its change."""
    manifest = spoken_set(tmp_path)
    change = worker_tasks.changed_voice

    def replaced_before(*arguments: object) -> object:
        if str(arguments[2]) == "2.wav":
            speak(tmp_path / "1.wav", 7)
        return change(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(worker_tasks, "changed_voice", replaced_before)
    config = replace(CONFIG, augment=("speed=0.9",))
    done = extract(manifest, tmp_path / "out", config).voices
    monkeypatch.undo()
    assert done.skipped == ("1.wav",)
    assert "skipped 1.wav: the file changed during this call; call again" in caplog.text
    assert sorted(vectors(tmp_path / "out")) == ["1.wav//speed=0.9", "2.wav", "2.wav//speed=0.9"]
    extract(manifest, tmp_path / "out", config)
    extract(manifest, tmp_path / "fresh", config)
    for name, vector in vectors(tmp_path / "fresh").items():
        np.testing.assert_array_equal(vectors(tmp_path / "out")[name], vector)


def rewritten_in_place(path: Path, seed: int) -> None:
    """Another sound of the same size, time of change and inode."""
    before = path.stat()
    speak(path.with_name("other.wav"), seed)
    with path.open("r+b") as file:
        file.write(path.with_name("other.wav").read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_size == before.st_size


def settled(folder: Path) -> None:
    for path in folder.glob("*.wav"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_with_trust_mtime_a_file_is_read_again_only_if_size_time_or_inode_changed(
    tmp_path: Path,
) -> None:
    manifest = spoken_set(tmp_path)
    settled(tmp_path)
    extract(manifest, tmp_path / "out", TRUSTING)
    rewritten_in_place(tmp_path / "1.wav", 7)
    assert extract(manifest, tmp_path / "out", TRUSTING).voices.new == 0
    os.utime(tmp_path / "1.wav", (LONG_AGO + 1, LONG_AGO + 1))
    assert extract(manifest, tmp_path / "out", TRUSTING).voices.new == 1
    assert_fresh(tmp_path / "out", tmp_path, ["1.wav", "2.wav"])


def test_without_trust_mtime_the_content_decides(tmp_path: Path) -> None:
    manifest = spoken_set(tmp_path)
    settled(tmp_path)
    extract(manifest, tmp_path / "out", TRUSTING)
    rewritten_in_place(tmp_path / "1.wav", 7)
    assert extract(manifest, tmp_path / "out", CONFIG).voices.new == 1


def test_with_trust_mtime_a_file_that_changed_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    manifest = spoken_set(tmp_path)
    in_future = 2 * LONG_AGO + 10**9
    for path in tmp_path.glob("*.wav"):
        os.utime(path, (in_future, in_future))
    extract(manifest, tmp_path / "out", TRUSTING)
    rewritten_in_place(tmp_path / "1.wav", 7)
    assert extract(manifest, tmp_path / "out", TRUSTING).voices.new == 1


@pytest.mark.parametrize("read_again", [False, True])
def test_with_trust_mtime_the_time_of_reading_tells_whether_a_file_changed_a_moment_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_again: bool
) -> None:
    changed = LONG_AGO * 10**9
    clock = SimpleNamespace(time_ns=lambda: now)
    monkeypatch.setattr("ivr.pipeline.extraction.file_stamps.time", clock)
    path, kept = tmp_path / "a", tmp_path / "kept"
    path.write_bytes(b"old")
    os.utime(path, ns=(changed, changed))
    files, now = FileStamps(tmp_path, kept), changed
    assert files.now(["a"])["a"] == stamp_of(b"old")
    if read_again:
        files.note("a", stamp_of(b"old"), file_state(path))
    path.write_bytes(b"new")
    os.utime(path, ns=(changed, changed))
    now += 10**10  # the end of a long call
    files.remember()
    assert FileStamps(tmp_path, kept).now(["a"])["a"] == stamp_of(b"new")


def test_with_trust_mtime_another_root_is_read(tmp_path: Path) -> None:
    manifest = spoken_set(tmp_path / "one")
    settled(tmp_path / "one")
    extract(manifest, tmp_path / "out", TRUSTING)
    (tmp_path / "two").mkdir()
    for name in ("1.wav", "2.wav"):  # links: the same inodes, sizes and times
        os.link(tmp_path / "one" / name, tmp_path / "two" / name)
    rewritten_in_place(tmp_path / "two" / "1.wav", 7)
    done = extract(manifest, tmp_path / "out", TRUSTING, root=tmp_path / "two")
    assert done.voices.new == 1


def with_earlier_stamps(path: Path, stamps: Sequence[int]) -> Table:
    """The feature file ``path`` as an earlier version wrote it."""
    table = open_table(path, VOICES)
    columns = {name: table.read(name) for name in table.columns}
    columns["stamps"] = np.array(stamps, np.uint64)
    made_with = {**table.config["made_with"]}
    del made_with["stamps"]
    write_table(path, VOICES, {**table.config, "made_with": made_with}, columns)
    return open_table(path, VOICES)


EARLIER = {0: 9723218238800739142, 1: 3906292710925680719}
"""What an earlier version gave the files of :func:`spoken_set` as stamps, by their seed."""


def test_rows_of_an_earlier_version_are_stamped_anew_where_their_files_fit(tmp_path: Path) -> None:
    manifest = spoken_set(tmp_path)
    extract(manifest, tmp_path / "out", CONFIG)
    whole = (tmp_path / "out" / "voices.h5").read_bytes()
    with_earlier_stamps(tmp_path / "out" / "voices.h5", [EARLIER[0], EARLIER[1]])
    assert extract(manifest, tmp_path / "out", CONFIG).voices.new == 0
    assert (tmp_path / "out" / "voices.h5").read_bytes() == whole
    stamps = open_table(tmp_path / "out" / "voices.h5", VOICES).read("stamps").tolist()
    assert stamps == [stamp_of((tmp_path / name).read_bytes()) for name in ("1.wav", "2.wav")]


def test_rows_of_an_earlier_version_are_made_anew_where_their_files_are_others(
    tmp_path: Path,
) -> None:
    manifest = spoken_set(tmp_path)
    extract(manifest, tmp_path / "out", CONFIG)
    with_earlier_stamps(tmp_path / "out" / "voices.h5", [EARLIER[0], EARLIER[1]])
    speak(tmp_path / "2.wav", 7)
    assert extract(manifest, tmp_path / "out", CONFIG).voices.new == 1
    assert_fresh(tmp_path / "out", tmp_path, ["1.wav", "2.wav"])


def test_a_row_of_an_earlier_version_without_its_file_is_kept_until_the_file_comes_back(
    tmp_path: Path,
) -> None:
    manifest = spoken_set(tmp_path)
    extract(manifest, tmp_path / "out", CONFIG)
    with_earlier_stamps(tmp_path / "out" / "voices.h5", [EARLIER[0], EARLIER[1]])
    (tmp_path / "2.wav").unlink()
    assert extract(manifest, tmp_path / "out", CONFIG).voices.rows == 2
    speak(tmp_path / "2.wav", 7)
    assert extract(manifest, tmp_path / "out", CONFIG).voices.new == 1
    assert_fresh(tmp_path / "out", tmp_path, ["1.wav", "2.wav"])


def test_tasks_of_an_earlier_version_and_of_this_one_are_not_merged(tmp_path: Path) -> None:
    manifest = spoken_set(tmp_path)
    for task in ("1/2", "2/2"):
        extract(manifest, tmp_path / "out", CONFIG, shard=task)
    first, _ = sorted((tmp_path / "out").glob("*/*/voices.h5"))
    with_earlier_stamps(first, [EARLIER[0]])
    with pytest.raises(MergeError, match="made by an earlier version of ivr; call ivr extract"):
        merge(tmp_path / "out")


def test_a_second_manifest_in_the_same_folder_has_the_vectors_of_its_own_files(
    tmp_path: Path,
) -> None:
    one = spoken_set(tmp_path / "one", ("1.wav", "2.wav", "only.wav"))
    two = spoken_set(tmp_path / "two", ("2.wav", "1.wav", "new.wav"), seed=20)
    extract(one, tmp_path / "out", CONFIG)
    extract(two, tmp_path / "out", CONFIG)
    assert_fresh(tmp_path / "out", tmp_path / "two", ["1.wav", "2.wav", "new.wav"])
    assert_fresh(tmp_path / "out", tmp_path / "one", ["only.wav"])
    assert read_manifest(tmp_path / "out" / "manifest.csv") == read_manifest(two)


def test_reordered_rows_keep_each_name_with_its_own_vector(tmp_path: Path) -> None:
    names = ("1.wav", "2.wav", "3.wav")
    manifest = spoken_set(tmp_path, names)
    extract(manifest, tmp_path / "out", CONFIG)
    rows = read_manifest(manifest).rows
    write_manifest(manifest, Manifest(rows[::-1]))
    assert extract(manifest, tmp_path / "out", CONFIG).voices.new == 0
    assert_fresh(tmp_path / "out", tmp_path, names)


@pytest.fixture
def trained(features: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Features that may be changed, and a run on them."""
    folder = Path(shutil.copytree(features, tmp_path / "features"))
    return folder, train_run(folder, tmp_path / "run", TRAINING)


def edited(features: Path, **columns: str) -> None:
    rows = read_manifest(features / "manifest.csv").rows
    image = rows[0].image
    changed = [replace(row, **columns) if row.image == image else row for row in rows]
    write_manifest(features / "manifest.csv", Manifest(tuple(changed)))


def test_changed_labels_are_not_evaluated_by_codes_of_the_old_ones(
    trained: tuple[Path, Path],
) -> None:
    features, run = trained
    edited(features, label="another class")
    speak(features / "query.wav", 0)
    for use in (lambda: evaluate(run), lambda: search(run, voice=features / "query.wav")):
        with pytest.raises(RunError, match=r"codes\.h5: the labels, .* make it again with ivr enc"):
            use()
    encode(run)
    assert "another class" in read_codes(run / "codes.h5").images.labels
    evaluate(run)


def test_changed_splits_leave_those_of_the_run_and_are_said(
    trained: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    features, run = trained
    before = read_codes(run / "codes.h5").images
    splits = dict(zip(before.names, before.splits, strict=True))
    image = read_manifest(features / "manifest.csv").rows[0].image
    edited(features, split="train" if splits[image] == "test" else "test")
    with pytest.raises(RunError, match="make it again with ivr encode"):
        evaluate(run)
    encode(run)
    assert "the codes keep the splits of the run" in caplog.text
    after = read_codes(run / "codes.h5").images
    assert dict(zip(after.names, after.splits, strict=True)) == splits


def test_vectors_that_were_made_anew_are_not_evaluated_by_codes_of_the_old_ones(
    trained: tuple[Path, Path],
) -> None:
    features, run = trained
    table = open_table(features / "voices.h5", VOICES)
    columns = {name: table.read(name) for name in table.columns}
    columns["vectors"] = columns["vectors"][::-1]
    write_table(table.path, VOICES, table.config, columns)
    with pytest.raises(RunError, match=r"codes\.h5: the vectors in .* are others now"):
        evaluate(run)


def with_changed_voices(features: Path) -> None:
    """Add rows of one more change of the voices, as ``ivr extract --augment`` does."""
    table = open_table(features / "voices.h5", VOICES)
    columns = {name: np.concatenate([table.read(name)] * 2) for name in table.columns}
    names = table.text("names")
    columns["names"] = text_column([*names, *(changed_name(name, "noise=10") for name in names)])
    columns["vectors"][len(names) :] += 1
    write_table(table.path, VOICES, table.config, columns)


def recorded_without_changes(codes: Path) -> None:
    """The codes as an earlier version wrote them."""
    table = open_table(codes, "codes")
    config = {name: value for name, value in table.config.items() if name != "changes"}
    write_table(codes, "codes", config, {name: table.read(name) for name in table.columns})


@pytest.mark.parametrize("earlier", [False, True], ids=["codes of today", "earlier codes"])
def test_changes_of_voices_can_be_added_at_any_time(
    trained: tuple[Path, Path], earlier: bool
) -> None:
    features, run = trained
    before = evaluate(run).results["image_to_voice"]
    if earlier:
        recorded_without_changes(run / "codes.h5")
    with_changed_voices(features)
    assert evaluate(run).results["image_to_voice"] == before
    encode(run)
    if earlier:
        recorded_without_changes(run / "codes.h5")
    assert evaluate(run).results["image_to_voice"] == before
    table = open_table(features / "voices.h5", VOICES)
    columns = {name: table.read(name) for name in table.columns}
    columns["vectors"][0] += 1
    write_table(table.path, VOICES, table.config, columns)
    with pytest.raises(RunError, match=r"codes\.h5: the vectors in .* are others now"):
        evaluate(run)


def test_a_run_does_not_call_items_damaged_that_it_was_not_trained_on(
    trained: tuple[Path, Path],
) -> None:
    features, run = trained
    table = open_table(features / "voices.h5", VOICES)
    rows = read_manifest(features / "manifest.csv").rows
    columns = {name: table.read(name) for name in table.columns}
    columns["names"][0] = b"new.wav"
    write_table(table.path, VOICES, table.config, columns)
    new = replace(rows[0], voice="new.wav")
    write_manifest(features / "manifest.csv", Manifest((new, *rows[1:])))
    with pytest.raises(RunError, match=r"has no split of new\.wav; keep items"):
        encode(run)
