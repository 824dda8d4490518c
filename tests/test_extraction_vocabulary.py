"""``ivr extract --encoder sift``: one vocabulary for all rows, all tasks and all queries."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import CLASSES, SAMPLE_RATE, assert_one_line, ivr, spoken, succeeded
from PIL import Image
from test_features_sift import blobs
from tiny_world import SHORT

from ivr.features.atomic_files import file_digest
from ivr.features.store import open_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.feature_schema import IMAGES
from ivr.pipeline.extraction.vocabulary import VOCABULARY
from ivr.pipeline.packing.code_maker import open_model
from ivr.pipeline.runs.query_vectors import QueryVectors
from ivr.pipeline.runs.run_folder import read_config

WORDS = 12
SIFT = ("--encoder", "sift", "--image-size", 64, "--visual-words", WORDS, "--device", "cpu")
VOICE = (
    "--voice-option", "frames=16", "--voice-option", "coefficients=3", "--voice-option", "mels=8",
)  # fmt: skip


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Twelve images full of keypoints in three classes, and their manifest, which is returned."""
    rows = []
    for number in range(12):
        Image.fromarray(blobs(number).transpose(1, 2, 0)).save(tmp_path / f"{number:02d}.png")
        rows.append(ManifestRow(f"{number:02d}.png", "", list(CLASSES)[number % 3]))
    return written(tmp_path / "manifest.csv", rows)


def written(path: Path, rows: list[ManifestRow]) -> Path:
    write_manifest(path, Manifest(tuple(rows)))
    return path


def images_of(media: Path) -> list[ManifestRow]:
    return [
        ManifestRow(path.name, "", list(CLASSES)[int(path.stem) % 3])
        for path in sorted(media.parent.glob("??.png"))
    ]


def vectors_of(out: Path) -> dict[str, bytes]:
    table = open_table(out / "images.h5", IMAGES)
    return dict(zip(table.text("names"), map(bytes, table.read("vectors")), strict=True))


def test_the_words_are_learnt_once_and_kept_beside_the_features(
    media: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = succeeded(ivr("extract", media, "--out", out, *SIFT))
    assert f"{WORDS} visual words of" in first.stderr
    table = open_table(out / "images.h5", IMAGES)
    assert table.read("vectors").shape == (12, WORDS)
    assert table.config["settings"]["sha256"] == file_digest(out / VOCABULARY)
    assert table.config["made_with"]["weights_file"] == str(out / VOCABULARY)
    assert "opencv" in table.config["made_with"]
    before = [(out / name).stat().st_ino for name in (VOCABULARY, "images.h5")]
    again = succeeded(ivr("extract", media, "--out", out, *SIFT))
    assert "12 rows, 0 of them new" in again.stdout and "visual words" not in again.stderr
    assert [(out / name).stat().st_ino for name in (VOCABULARY, "images.h5")] == before
    assert "no digest" not in succeeded(ivr("verify", out)).stdout


def test_batches_readers_and_the_order_of_rows_do_not_matter(media: Path, tmp_path: Path) -> None:
    succeeded(ivr("extract", media, "--out", tmp_path / "one", *SIFT))
    shuffled = written(tmp_path / "shuffled.csv", images_of(media)[::-1])
    other = ("--batch-size", 5, "--jobs", 2)
    succeeded(ivr("extract", shuffled, "--out", tmp_path / "other", *SIFT, *other))
    one, two = tmp_path / "one", tmp_path / "other"
    assert (one / VOCABULARY).read_bytes() == (two / VOCABULARY).read_bytes()
    assert vectors_of(one) == vectors_of(two)


def test_a_call_that_was_stopped_is_continued_with_its_words(media: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    limit = ("--time-limit", 1e-9, "--batch-size", 2)
    stopped = ivr("extract", media, "--out", out, *SIFT, *limit)
    assert stopped.exit_code == 75 and not (out / "images.h5").exists()
    words = (out / VOCABULARY).stat().st_ino
    succeeded(ivr("extract", media, "--out", out, *SIFT))
    assert (out / VOCABULARY).stat().st_ino == words
    succeeded(ivr("extract", media, "--out", tmp_path / "whole", *SIFT))
    assert vectors_of(out) == vectors_of(tmp_path / "whole")


def test_later_images_are_counted_with_the_same_words(media: Path, tmp_path: Path) -> None:
    out, rows = tmp_path / "out", images_of(media)
    succeeded(ivr("extract", written(tmp_path / "some.csv", rows[:8]), "--out", out, *SIFT))
    words, held = (out / VOCABULARY).read_bytes(), vectors_of(out)
    succeeded(ivr("extract", media, "--out", out, *SIFT))
    assert (out / VOCABULARY).read_bytes() == words
    assert held.items() <= vectors_of(out).items() and len(vectors_of(out)) == 12


def test_images_of_the_test_split_teach_no_words(media: Path, tmp_path: Path) -> None:
    rows = [
        ManifestRow(row.image, "", row.label, "test" if number % 4 == 0 else "train")
        for number, row in enumerate(images_of(media))
    ]
    split = written(tmp_path / "split.csv", rows)
    succeeded(ivr("extract", split, "--out", tmp_path / "one", *SIFT))
    for number in (0, 4, 8):
        Image.fromarray(blobs(50 + number).transpose(1, 2, 0)).save(tmp_path / f"{number:02d}.png")
    succeeded(ivr("extract", split, "--out", tmp_path / "two", *SIFT))
    one, two = ((tmp_path / name / VOCABULARY).read_bytes() for name in ("one", "two"))
    assert one == two
    succeeded(ivr("extract", media, "--out", tmp_path / "all", *SIFT))
    assert (tmp_path / "all" / VOCABULARY).read_bytes() != one


def test_images_without_a_keypoint_are_counted_in_a_warning(media: Path, tmp_path: Path) -> None:
    for name in ("98.png", "99.png"):
        Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / name)
    rows = [*images_of(media)]
    assert len(rows) == 14
    out = tmp_path / "out"
    done = succeeded(ivr("extract", written(media, rows), "--out", out, *SIFT))
    assert "note: 2 images with a vector of zeros, e.g. 98.png: sift finds nothing" in done.stderr
    found = {name for name, vector in vectors_of(out).items() if not any(vector)}
    assert found == {"98.png", "99.png"}


def test_images_that_are_all_even_have_too_few_descriptors(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "00.png")
    manifest = written(tmp_path / "manifest.csv", [ManifestRow("00.png", "", "pond")])
    refused = ivr("extract", manifest, "--out", tmp_path / "out", *SIFT)
    assert_one_line_last(refused, f"{WORDS} visual words need as many different SIFT descriptors")
    assert not (tmp_path / "out" / VOCABULARY).exists()


def assert_one_line_last(result: object, words: str) -> None:
    """The command failed with one line, which may follow lines of progress."""
    lines = result.stderr.splitlines()
    assert result.exit_code == 1, result.output
    assert lines[-1].startswith("Error: ") and words in lines[-1]
    assert sum(line.startswith("Error: ") for line in lines) == 1


# --- job arrays ---------------------------------------------------------------------------------


def test_tasks_with_one_vocabulary_merge_to_what_one_call_makes(
    media: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    succeeded(ivr("extract", media, "--out", whole, *SIFT))
    shared = ("--weights", whole / VOCABULARY)
    for number in (2, 1):
        task = ("--shard", f"{number}/2")
        succeeded(ivr("extract", media, "--out", out, *SIFT, *shared, *task))
    succeeded(ivr("merge", out))
    assert vectors_of(out) == vectors_of(whole)
    # The merged features are continued with the vocabulary that they were made with.
    again = succeeded(ivr("extract", media, "--out", out, *SIFT))
    assert "12 rows, 0 of them new" in again.stdout and not (out / VOCABULARY).exists()


def test_a_task_takes_the_words_of_the_folder_and_learns_none(media: Path, tmp_path: Path) -> None:
    out, task = tmp_path / "out", ("--shard", "1/2")
    refused = ivr("extract", media, "--out", out, *SIFT, *task)
    assert_one_line(refused, "the tasks of a job array need one vocabulary: learn it")
    some = written(tmp_path / "some.csv", images_of(media)[:6])
    succeeded(ivr("extract", some, "--out", tmp_path / "some", *SIFT))
    out.mkdir()
    shutil.copyfile(tmp_path / "some" / VOCABULARY, out / VOCABULARY)
    succeeded(ivr("extract", media, "--out", out, *SIFT, *task))
    made = open_table(out / "parts" / "1-of-2" / "images.h5", IMAGES)
    assert made.config["settings"]["sha256"] == file_digest(out / VOCABULARY)


# --- other settings -----------------------------------------------------------------------------


def test_other_words_are_refused_or_learnt_again(media: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    succeeded(ivr("extract", media, "--out", out, *SIFT))
    more = ("extract", media, "--out", out, *SIFT[:-4], "--visual-words", 20, "--device", "cpu")
    assert_one_line(
        ivr(*more), "was learnt with other settings (visual_words: 12, now 20); give it"
    )
    assert_one_line(ivr(*more, "--dry-run"), "(visual_words: 12, now 20)")
    succeeded(ivr(*more, "--overwrite"))
    assert open_table(out / "images.h5", IMAGES).columns["vectors"].shape == (12, 20)
    words = (out / VOCABULARY).stat().st_ino
    succeeded(ivr(*more, "--overwrite"))
    assert (out / VOCABULARY).stat().st_ino == words


def test_a_damaged_vocabulary_is_refused_in_one_line(media: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    succeeded(ivr("extract", media, "--out", out, *SIFT))
    (out / VOCABULARY).write_bytes((out / VOCABULARY).read_bytes()[:50])
    assert_one_line(ivr("extract", media, "--out", out, *SIFT), "cannot be read as a vocabulary")


def test_features_whose_vocabulary_is_gone_are_not_mixed_with_another(
    media: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    succeeded(ivr("extract", media, "--out", out, *SIFT))
    kept = (out / VOCABULARY).rename(tmp_path / "kept.safetensors")
    call = ("extract", media, "--out", out, *SIFT)
    assert_one_line(ivr(*call), f"was made with the vocabulary {VOCABULARY}, which is not here")
    succeeded(ivr(*call, "--weights", kept))
    before = vectors_of(out)
    succeeded(ivr(*call, "--overwrite"))
    assert vectors_of(out) == before  # learnt again from the same images


def test_features_of_another_encoder_are_refused_before_words_are_learnt(
    media: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    random = ("--encoder", "squeezenet1_0", "--weights", "random", "--device", "cpu")
    succeeded(ivr("extract", media, "--out", out, *random))
    assert_one_line(ivr("extract", media, "--out", out, *SIFT), "was made with other settings")
    assert not (out / VOCABULARY).exists()


def test_a_dry_run_learns_nothing_and_knows_the_words_that_are_there(
    media: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    call = ("extract", media, "--out", out, *SIFT)
    planned = succeeded(ivr(*call, "--dry-run")).stdout
    assert "12 items, 0 done already, 12 to do" in planned and not out.exists()
    succeeded(ivr(*call))
    assert "12 done already, 0 to do" in succeeded(ivr(*call, "--dry-run")).stdout


# --- queries and packing ------------------------------------------------------------------------


@pytest.fixture
def run(media: Path, tmp_path: Path) -> Path:
    """A run on SIFT features of the images, with one voice each."""
    rng, rows = np.random.default_rng(0), []
    for row in images_of(media):
        voice = f"{Path(row.image).stem}.wav"
        soundfile.write(tmp_path / voice, spoken(row.label, rng, 0.05), SAMPLE_RATE)
        rows.append(ManifestRow(row.image, voice, row.label))
    with_voices = written(tmp_path / "pairs.csv", rows)
    succeeded(ivr("extract", with_voices, "--out", tmp_path / "features", *SIFT, *VOICE))
    succeeded(ivr("train-hash", tmp_path / "features", "--out", tmp_path / "run", *SHORT))
    return tmp_path / "run"


def test_a_query_image_gets_the_vector_of_the_features(run: Path, tmp_path: Path) -> None:
    queries = QueryVectors(read_config(run), "the run")
    paths = [tmp_path / f"{number:02d}.png" for number in (3, 7)]
    found = queries.of_images(paths, torch.device("cpu")).numpy()
    held = vectors_of(tmp_path / "features")
    assert [bytes(vector) for vector in found] == [held["03.png"], held["07.png"]]


def test_a_query_with_other_words_is_refused(run: Path, tmp_path: Path) -> None:
    image = tmp_path / "03.png"
    search = ("search", run, "--image", image)
    succeeded(ivr(*search))
    some = written(tmp_path / "some.csv", images_of(tmp_path / "manifest.csv")[:6])
    succeeded(ivr("extract", some, "--out", tmp_path / "some", *SIFT))
    other = ivr(*search, "--weights", tmp_path / "some" / VOCABULARY)
    assert_one_line(other, "not the weights that the features of")
    kept = (tmp_path / "features" / VOCABULARY).rename(tmp_path / "kept.safetensors")
    assert_one_line(ivr(*search), f"were made with {VOCABULARY}: give it with --weights")
    succeeded(ivr(*search, "--weights", kept))


def test_a_run_on_words_is_packed_for_voices_alone(run: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    for more in ((), ("--dry-run",)):
        refused = ivr("pack", run, "--out", model, *more)
        assert_one_line(refused, "its image vectors come from SIFT, which ONNX does not have; pack")
    succeeded(ivr("pack", run, "--out", model, "--no-encoder"))
    assert json.loads((model / "model.json").read_text())["encoder"] is False
    voice = (tmp_path / "03.wav").read_bytes()
    packed, plain = open_model(model), open_model(run, device="cpu")
    streams = [one.voices.streams(voice)[:2] for one in (packed, plain)]
    np.testing.assert_array_equal(streams[0][0], streams[1][0])


def test_python_has_the_options_of_learning(media: Path, tmp_path: Path) -> None:
    usual = {"encoder": "sift", "size": 64, "visual_words": WORDS, "device": "cpu"}
    extract(media, tmp_path / "one", **usual)
    extract(media, tmp_path / "two", **usual, vocabulary_seed=1)
    extract(media, tmp_path / "three", **usual, vocabulary_images=6)
    found = {(tmp_path / name / VOCABULARY).read_bytes() for name in ("one", "two", "three")}
    assert len(found) == 3
