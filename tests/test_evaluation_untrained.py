"""No evaluation tests on files that the run was trained on, whatever they are called."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_one_line, ivr, succeeded

from ivr.features.store import open_table, text_column, write_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.evaluation.select import EvaluateError
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES
from ivr.pipeline.extraction.file_stamps import STAMPS
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.encode import encode
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError
from ivr.pipeline.runs.run_items import read_run_items
from ivr.pipeline.runs.train import train_run

KINDS = {"images.h5": IMAGES, "voices.h5": VOICES}
CONFIG = RunConfig("cca_sign", bits=16, voices="all", device="cpu")


@pytest.fixture
def trained(features: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Features and a run that was trained on them."""
    copy = Path(shutil.copytree(features, tmp_path / "features"))
    for number, (name, kind) in enumerate(KINDS.items(), 1):
        table = open_table(copy / name, kind)
        columns = {key: table.read(key) for key in table.columns}
        columns["stamps"] = np.arange(table.rows, dtype=np.uint64) + np.uint64(number * 1000)
        config = {**table.config, "made_with": {"stamps": STAMPS}}
        write_table(copy / name, kind, config, columns)
    return copy, train_run(copy, tmp_path / "run", CONFIG)


def rewritten(
    folder: Path, name: str, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
) -> None:
    table = open_table(folder / name, KINDS[name])
    columns = {key: table.read(key) for key in table.columns}
    write_table(folder / name, table.kind, table.config, change(columns))


def archive_of(features: Path, folder: Path, split: Callable[[ManifestRow], str]) -> Path:
    """The same files under other names, with splits of their own."""
    shutil.copytree(features, folder)
    for name in KINDS:
        rewritten(
            folder,
            name,
            lambda columns: (
                columns
                | {"names": text_column(f"archive/{text.decode()}" for text in columns["names"])}
            ),
        )
    rows = read_manifest(folder / "manifest.csv").rows
    named: Sequence[ManifestRow] = [
        replace(row, image=f"archive/{row.image}", voice=f"archive/{row.voice}", split=split(row))
        for row in rows
    ]
    write_manifest(folder / "manifest.csv", Manifest(tuple(named)))
    return folder


def test_a_run_knows_the_files_that_it_was_trained_on(trained: tuple[Path, Path]) -> None:
    features, run = trained
    codes, known = read_codes(run / "codes.h5"), read_run_items(run)
    assert known is not None
    for side, files in zip((codes.images, codes.voices), known, strict=True):
        assert side.stamps is not None
        trained_on = {
            stamp for stamp, split in zip(side.stamps.tolist(), side.splits, strict=True)
            if split in ("train", "val")
        }  # fmt: skip
        assert set(files.trained.tolist()) == trained_on
        assert set(files.all.tolist()) == set(side.stamps.tolist())
    del features


@pytest.mark.parametrize("split", [lambda row: "test", lambda row: ""], ids=["test", "no splits"])
def test_an_archive_that_holds_training_items_is_not_tested_on(
    trained: tuple[Path, Path], tmp_path: Path, split: Callable[[ManifestRow], str]
) -> None:
    features, run = trained
    archive = archive_of(features, tmp_path / "archive", split)
    codes = encode(run, features=archive, out=tmp_path / "codes.h5", device="cpu").codes
    own = read_codes(run / "codes.h5").images.splits
    count = sum(side in ("train", "val") for side in own)
    with pytest.raises(EvaluateError, match=rf"{count} of {len(own)} test images and .*archive/"):
        evaluate(run, codes=codes)
    assert not (run / "evaluations").exists()
    call = ("evaluate", run, "--codes", codes)
    assert_one_line(ivr(*call), "evaluate them anyway with --allow-trained")
    result = succeeded(ivr(*call, "--allow-trained"))
    assert f"note: {count} of {len(own)} test images" in result.stderr
    assert "tests on items of the training too" in result.stdout


def test_an_archive_whose_training_items_are_only_searched_is_evaluated(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    features, run = trained
    own = read_codes(run / "codes.h5").images
    splits = dict(zip(own.names, own.splits, strict=True))
    archive = archive_of(features, tmp_path / "archive", lambda row: splits[row.image])
    codes = encode(run, features=archive, out=tmp_path / "codes.h5", device="cpu").codes
    whole = evaluate(run, codes=codes, database="all").results
    assert whole["image_to_voice"] == evaluate(run, database="all").results["image_to_voice"]


def test_training_items_are_tested_on_where_the_training_database_is_asked_for(
    trained: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features, run = trained
    own = read_codes(run / "codes.h5").images
    first = {name for name, split in zip(own.names, own.splits, strict=True) if split == "train"}
    archive = archive_of(
        features, tmp_path / "archive", lambda row: "test" if row.image in first else "train"
    )
    codes = encode(run, features=archive, out=tmp_path / "codes.h5", device="cpu").codes
    with pytest.raises(EvaluateError, match=r"are files that .* was trained on"):
        evaluate(run, codes=codes)
    evaluate(run, codes=codes, database="train")
    assert f"note: {len(first)} of {len(first)} test images" in caplog.text


def test_a_second_data_set_with_the_same_names_is_not_encoded_under_the_splits_of_the_run(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    features, run = trained
    before = (run / "codes.h5").read_bytes()
    for name in KINDS:
        rewritten(
            features, name, lambda columns: columns | {"stamps": columns["stamps"] + np.uint64(500)}
        )
    with pytest.raises(RunError, match=r"not the features of .* items are other files now, e\.g\."):
        encode(run, device="cpu")
    assert (run / "codes.h5").read_bytes() == before
    encode(run, out=tmp_path / "codes.h5", device="cpu")
    assert set(read_codes(tmp_path / "codes.h5").images.splits) == {""}


def test_files_that_were_swapped_between_training_and_test_are_not_evaluated(
    trained: tuple[Path, Path],
) -> None:
    features, run = trained
    own = read_codes(run / "codes.h5").images
    place = [own.names[own.splits.index(split)] for split in ("train", "test")]

    def swapped(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [name.decode() for name in columns["names"]]
        one, other = (names.index(name) for name in place)
        rows = np.arange(len(names))
        rows[[one, other]] = other, one
        return columns | {key: columns[key][rows] for key in columns if key != "names"}

    rewritten(features, "images.h5", swapped)
    for _ in range(2):
        with pytest.raises(RunError, match="make it again with ivr encode"):
            evaluate(run)
        with pytest.raises(RunError, match=r"2 items are other files now, e\.g\."):
            encode(run, device="cpu")


def test_a_run_of_an_earlier_version_encodes_vectors_that_were_made_anew(
    trained: tuple[Path, Path],
) -> None:
    features, run = trained
    table = open_table(run / "items.h5", "items of a run")
    columns = {key: table.read(key) for key in table.columns if key != "names"}
    write_table(table.path, table.kind, table.config, columns)
    rewritten(features, "images.h5", lambda found: found | {"vectors": found["vectors"] * 2})
    encode(run, device="cpu")
    evaluate(run)


def test_equal_files_on_both_sides_of_the_runs_own_split_are_a_note(
    trained: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features, _ = trained
    rewritten(
        features,
        "images.h5",
        lambda columns: columns | {"stamps": np.full_like(columns["stamps"], 7)},
    )
    run = train_run(features, tmp_path / "other", CONFIG)
    evaluate(run)
    tests = read_codes(run / "codes.h5").images.splits.count("test")
    assert f"note: {tests} of {tests} test images are files that" in caplog.text


def test_a_run_of_an_earlier_version_says_what_is_not_checked(
    trained: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features, run = trained
    archive = archive_of(features, tmp_path / "archive", lambda row: "test")
    codes = encode(run, features=archive, out=tmp_path / "codes.h5", device="cpu").codes
    (run / "items.h5").unlink()
    evaluate(run)
    assert "not checked" not in caplog.text
    evaluate(run, codes=codes)
    assert "not checked whether test items were trained on" in caplog.text
