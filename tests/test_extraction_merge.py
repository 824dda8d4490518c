"""Merging: the parts of a job array become what one call would have made."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_extraction_extract import CONFIG, made

from ivr.cli import main
from ivr.features.store import StoreError, open_table
from ivr.pipeline.datasets.manifest import Manifest, read_manifest, write_manifest
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES
from ivr.pipeline.extraction.job_array import JobArrayTask
from ivr.pipeline.extraction.merge import MergeError, merge
from ivr.pipeline.runtime.lock import BusyError, only_writer

pytestmark = pytest.mark.usefixtures("tiny_encoder")


def part(manifest: Path, out: Path, number: int, count: int = 3) -> Path:
    """Extract one part and return its folder."""
    extract(manifest, out, replace(CONFIG, shard=JobArrayTask(number, count)))
    return JobArrayTask(number, count).folder(out)


def test_merged_parts_are_the_bytes_of_one_call(tmp_path: Path) -> None:
    manifest = made(tmp_path, 24, 13)
    extract(manifest, tmp_path / "whole", CONFIG)
    for number in (3, 1, 2):
        part(manifest, tmp_path / "out", number)
    images, voices = merge(tmp_path / "out")
    assert (images.rows, voices.rows, images.lacking, voices.lacking) == (24, 13, (), ())
    assert images.summary() == f"{tmp_path}/out/images.h5: 24 rows"
    for name in ("images.h5", "voices.h5", "manifest.csv"):
        one, other = (tmp_path / folder / name for folder in ("out", "whole"))
        assert one.read_bytes() == other.read_bytes()


def test_more_parts_than_rows_are_as_good(tmp_path: Path) -> None:
    manifest = made(tmp_path, 2, 1)
    for number in range(1, 5):
        part(manifest, tmp_path / "out", number, 4)
    assert [merged.rows for merged in merge(tmp_path / "out")] == [2, 1]


def test_parts_of_elsewhere_can_be_named(tmp_path: Path) -> None:
    manifest = made(tmp_path, 4, 0)
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders, 1):
        part(manifest, tmp_path / "out", number, 2).rename(folder)
    (images,) = merge(tmp_path / "out", folders)
    assert images.rows == 4
    assert open_table(images.path, IMAGES).text("names") == tuple(f"{n}.png" for n in range(4))


def test_rows_that_are_there_already_stay(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    rows = read_manifest(manifest).rows
    write_manifest(tmp_path / "first.csv", Manifest(rows[:2]))
    write_manifest(tmp_path / "rest.csv", Manifest(rows[2:]))
    extract(tmp_path / "first.csv", tmp_path / "out", CONFIG)
    for number in (1, 2):
        part(tmp_path / "rest.csv", tmp_path / "out", number, 2)
    (voices,) = merge(tmp_path / "out")
    assert voices.rows == 6
    assert open_table(voices.path, VOICES).text("names")[-2:] == ("0.wav", "1.wav")


def test_a_missing_part_is_named_with_the_call_that_makes_it(tmp_path: Path) -> None:
    manifest = made(tmp_path, 6, 0)
    part(manifest, tmp_path / "out", 2)
    with pytest.raises(MergeError, match=r"of 3 tasks 1, 3 are missing; .* --shard 1/3$"):
        merge(tmp_path / "out")
    with pytest.raises(StoreError, match=r"no features here; make them with ivr merge"):
        open_features(tmp_path / "out")


def test_an_unfinished_part_is_named(tmp_path: Path) -> None:
    manifest = made(tmp_path, 24, 0)
    part(manifest, tmp_path / "out", 1, 2)
    config = replace(CONFIG, shard=JobArrayTask(2, 2), time_limit=1e-9)
    (images,) = extract(manifest, tmp_path / "out", config)
    assert images.left
    with pytest.raises(MergeError, match=r"2-of-2: not finished \(1 of 2 are not\)"):
        merge(tmp_path / "out")


def test_parts_of_other_settings_or_manifests_or_numbers_are_refused(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    part(manifest, tmp_path / "out", 1, 2)
    other = replace(CONFIG, shard=JobArrayTask(2, 2), stored="float16")
    extract(manifest, tmp_path / "out", other)
    with pytest.raises(MergeError, match=r"made with other settings .*\(stored: float32, now flo"):
        merge(tmp_path / "out")
    rows = read_manifest(manifest).rows
    write_manifest(tmp_path / "fewer.csv", Manifest(rows[:5]))
    shutil.rmtree(JobArrayTask(2, 2).folder(tmp_path / "out"))
    part(tmp_path / "fewer.csv", tmp_path / "out", 2, 2)
    with pytest.raises(MergeError, match="the tasks had different manifests"):
        merge(tmp_path / "out")
    part(manifest, tmp_path / "out", 1, 3)
    with pytest.raises(MergeError, match="tasks of 2 and of 3 lie side by side"):
        merge(tmp_path / "out")
    with pytest.raises(MergeError, match="no tasks here; make them with ivr extract --shard"):
        merge(tmp_path / "nowhere")


def test_features_of_other_settings_are_merged_over_only_if_that_is_asked_for(
    tmp_path: Path,
) -> None:
    manifest = made(tmp_path, 0, 4)
    task = part(manifest, tmp_path / "tasks", 1, 1)
    extract(manifest, tmp_path / "out", replace(CONFIG, stored="float16"))
    refused = r"voices\.h5: was made with other settings than the tasks \(stored: float16, now flo"
    with pytest.raises(MergeError, match=refused):
        merge(tmp_path / "out", [task])
    (voices,) = merge(tmp_path / "out", [task], overwrite=True)
    assert open_table(voices.path, VOICES).columns["vectors"].dtype == "float32"


def test_a_flipped_byte_in_a_part_is_found_before_anything_is_written(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    folders = [part(manifest, tmp_path / "out", number, 2) for number in (1, 2)]
    file = folders[1] / "voices.h5"
    content = bytearray(file.read_bytes())
    content[open_table(file, VOICES).columns["vectors"].offset + 5] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"2-of-2/voices\.h5: damaged"):
        merge(tmp_path / "out")
    assert not (tmp_path / "out" / "voices.h5").exists()


def test_two_jobs_of_one_part_are_told_and_other_parts_go_on(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 4)
    with only_writer(JobArrayTask(1, 2).folder(tmp_path / "out")):
        with pytest.raises(BusyError, match=r"1-of-2: process .* is writing here"):
            part(manifest, tmp_path / "out", 1, 2)
        part(manifest, tmp_path / "out", 2, 2)


def test_the_command_merges_and_counts_what_could_not_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = made(tmp_path, 6, 0)
    (tmp_path / "4.png").write_bytes(b"")
    arguments = [str(manifest), "--out", str(tmp_path / "out"), "--batch-size", "4", "--jobs", "1"]
    arguments += ["--encoder", "squeezenet1_0", "--weights", "random", "--device", "cpu"]
    for task in (0, 1):
        for name, value in {"ID": task, "MIN": 0, "MAX": 1, "COUNT": 2}.items():
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
        result = CliRunner().invoke(main, ["extract", *arguments, "--shard", "slurm"])
        assert result.exit_code == (0 if task == 0 else 3)
    first = CliRunner().invoke(main, ["extract", *arguments, "--shard", "1/2"])
    assert first.stdout.endswith(
        f"next: when all tasks of the job array are done, ivr merge {tmp_path}/out\n"
    )
    result = CliRunner().invoke(main, ["merge", str(tmp_path / "out")])
    assert result.exit_code == 3
    assert result.stdout == f"{tmp_path}/out/images.h5: 5 rows, 1 file skipped\n"
    nothing = CliRunner().invoke(main, ["merge", str(tmp_path / "nothing")])
    assert nothing.exit_code == 1
    assert "no tasks here" in nothing.stderr


def test_a_part_of_damaged_files_alone_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    manifest = made(tmp_path, 8, 2)
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"")
    for number in (1, 2):
        part(manifest, tmp_path / "out", number, 2)
    images, voices = merge(tmp_path / "out")
    assert (images.rows, images.lacking) == (4, tuple(f"{n}.png" for n in range(4)))
    assert voices.rows == 2
    for number in range(4, 8):
        (tmp_path / f"{number}.png").write_bytes(b"")
    for number in (1, 2):
        extract(manifest, tmp_path / "none", replace(CONFIG, shard=JobArrayTask(number, 2)))
    with pytest.raises(MergeError, match=r"images\.h5: in none of the tasks' folders"):
        merge(tmp_path / "none")


def test_what_was_begun_without_parts_is_taken_over(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 8)
    (voices,) = extract(manifest, tmp_path / "out", replace(CONFIG, time_limit=1e-9))
    assert voices.left == 4
    for number in (1, 2):
        part(manifest, tmp_path / "out", number, 2)
    (merged,) = merge(tmp_path / "out")
    assert merged.rows == 8
    assert open_features(tmp_path / "out").voices is not None
    assert not (tmp_path / "out" / "voices.shards").exists()


def test_a_part_in_use_elsewhere_is_to_be_called_again(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 4)
    arguments = ["extract", str(manifest), "--out", str(tmp_path / "out"), "--device", "cpu"]
    with only_writer(JobArrayTask(1, 2).folder(tmp_path / "out")):
        result = CliRunner().invoke(main, [*arguments, "--shard", "1/2"])
    assert result.exit_code == 75
    assert "is writing here" in result.stderr
