"""Which bytes ``ivr verify`` watches, and that it finds any that changed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ivr, succeeded

from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.evaluation.protocol import PROTOCOLS
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.train import resume_run, train_run
from ivr.pipeline.runs.verify import VerifyError, verify
from ivr.pipeline.runtime.digests import DIGESTS, read_digests, record_digests


@pytest.fixture(scope="module")
def evaluated(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained and evaluated, read only."""
    run = tmp_path_factory.mktemp("digests") / "run"
    train_run(features, run, RunConfig("cca_sign", bits=16, device="cpu"))
    evaluate(run, PROTOCOLS["divh"])
    return run


def files(folder: Path) -> list[Path]:
    """Return the files below ``folder`` that are neither hidden nor in a hidden folder."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def names_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in files(folder)}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_everything_that_a_run_reads_later_has_a_digest(evaluated: Path) -> None:
    names = names_of(evaluated) - {DIGESTS, f"pictures/{DIGESTS}"}
    pictures = {f"pictures/{name}" for name in read_digests(evaluated / "pictures")}
    assert set(read_digests(evaluated)) | pictures == names
    assert {
        "config.json", "splits.json", "model.safetensors", "history.jsonl", "codes.h5",
        "results.json", "queries.h5", "curves.csv", "pictures/precision.png",
        "pictures/precision.csv",
    } <= names  # fmt: skip
    found = verify(evaluated)
    assert found.whole
    shown = {file.path.relative_to(evaluated).as_posix() for file in found.files}
    assert shown == names
    assert {file.state for file in found.files} == {"whole"}


def test_one_flipped_byte_is_found_in_each_file_of_a_run(evaluated: Path, tmp_path: Path) -> None:
    for path in files(evaluated):
        for share in (0, 0.5, 1):
            copy = Path(shutil.copytree(evaluated, tmp_path / "copy"))
            flipped = copy / path.relative_to(evaluated)
            flip(flipped, int(share * (path.stat().st_size - 1)))
            found = verify(copy)
            changed = [file for file in found.files if file.state != "whole"]
            assert not found.whole or path.name == DIGESTS
            if path.name != DIGESTS:
                assert [file.path for file in changed] == [flipped]
                assert changed[0].problem.startswith(f"{flipped}: damaged")
            else:
                assert changed
            shutil.rmtree(copy)


def test_one_flipped_byte_is_found_in_each_table_of_features(
    features: Path, tmp_path: Path
) -> None:
    for name in ("images.h5", "voices.h5"):
        copy = Path(shutil.copytree(features, tmp_path / name))
        flip(copy / name, (copy / name).stat().st_size // 2)
        assert [f.path.name for f in verify(copy).files if f.state == "changed"] == [name]


def test_a_missing_file_is_named_and_files_without_a_digest_are_noted(
    evaluated: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(evaluated, tmp_path / "copy"))
    (copy / "splits.json").unlink()
    (copy / "notes.txt").write_text("mine")
    found = verify(copy)
    assert not found.whole
    states = {file.path.name: file.state for file in found.files}
    assert states["splits.json"] == "missing"
    assert states["notes.txt"] == "no digest"
    result = ivr("verify", copy)
    assert result.exit_code == 1
    assert f"{copy / 'splits.json'}: missing\n" in result.stdout
    assert f"{copy / 'notes.txt'}: no digest was recorded\n" in result.stdout


def test_a_run_of_an_earlier_version_has_no_digests_and_is_not_called_damaged(
    evaluated: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(evaluated, tmp_path / "copy"))
    (copy / DIGESTS).unlink()
    said = succeeded(ivr("verify", copy)).stdout
    for table in ("codes.h5", "queries.h5"):  # tables hold a digest of their own
        assert f"{copy / table}: whole\n" in said
    flip(copy / "queries.h5", (copy / "queries.h5").stat().st_size - 3)
    assert [f.path.name for f in verify(copy).files if f.state == "changed"] == ["queries.h5"]
    assert f"{copy / 'model.safetensors'}: no digest was recorded\n" in said


def test_encoding_evaluating_and_resuming_again_keep_the_digests_true(
    features: Path, evaluated: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(evaluated, tmp_path / "copy"))
    encode_run(copy, device="cpu")
    assert verify(copy).whole
    evaluate(copy, replace(PROTOCOLS["divh"], voices="all"))
    assert verify(copy).whole
    evaluate(copy)
    assert verify(copy).whole
    resume_run(copy, features=features, device="cpu")
    assert verify(copy).whole
    assert json.loads((copy / DIGESTS).read_text()).keys() == read_digests(evaluated).keys()


def test_a_folder_of_runs_is_verified_as_a_whole(evaluated: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(evaluated, tmp_path / "runs" / name)
    assert verify(tmp_path).whole
    flip(tmp_path / "runs" / "two" / "model.safetensors", 200)
    assert [f.path.parent.name for f in verify(tmp_path).files if f.state == "changed"] == ["two"]


def test_a_folder_without_any_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(VerifyError, match=r"holds neither digests.json nor images.h5"):
        verify(tmp_path)


def test_the_log_of_a_run_and_the_options_of_its_commands_are_no_fault(
    features: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeded(ivr("train-hash", features, "--out", run, "--method", "lsh", "--bits", 16,
                  "--device", "cpu"))  # fmt: skip
    succeeded(ivr("encode", run, "--device", "cpu"))
    (run / "log.txt").write_text("computed\n")
    found = {file.path.name: file.state for file in verify(run).files}
    assert set(found.values()) == {"whole"}
    assert {"train-hash.yaml", "codes.encode.yaml"} <= set(found)
    assert "log.txt" not in found
    (run / "train-hash.yaml").write_text("bits: 32\n")
    assert [f.path.name for f in verify(run).files if f.state == "changed"] == ["train-hash.yaml"]


def test_digests_of_other_files_stay(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        record_digests(tmp_path, [name])
    (tmp_path / "b").unlink()
    record_digests(tmp_path, ["b"])
    # sha256 of the letter a, as sha256sum prints it.
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert read_digests(tmp_path) == {"a": digest}


def test_an_interrupted_evaluation_leaves_the_earlier_results_whole(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(evaluated, tmp_path / "run"))

    before = {path: path.read_bytes() for path in files(run)}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ivr.pipeline.evaluation.report.write_picture", interrupt)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run)
    assert {path: path.read_bytes() for path in files(run)} == before
    assert verify(run).whole
    monkeypatch.undo()
    evaluate(run)
    assert not (run / ".evaluation").exists()
