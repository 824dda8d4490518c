"""``ivr pack`` as a call."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import assert_one_line, ivr, succeeded
from tiny_world import World, tiny_blueprint

from ivr.features import encoders


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    world: World, packed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"

    result = succeeded(ivr("pack", world.run, "--out", out, "--dry-run"))

    assert result.stdout == (
        f"{out}: model.json, voice.onnx, image.onnx, README.md, requirements.txt, encoder.onnx, "
        "encoder.onnx.data, digests.json\n"
        "codes would be compared with those of the run on: features of the run\n"
    )
    assert not out.exists()
    planned = json.loads(ivr("pack", world.run, "--out", out, "--dry-run", "--json").stdout)
    assert set(planned["files"]) == set(contents(packed))
    assert_one_line(ivr("pack", world.run, "--out", packed, "--dry-run"), "holds a packed model")


def test_a_packed_model_is_replaced_on_request_only(
    world: World, packed: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(packed, tmp_path / "model"))
    (out / "notes.txt").write_text("mine")

    refused = ivr("pack", world.run, "--out", out)
    assert_one_line(refused, f"{out}: holds a packed model already; replace it with --overwrite")

    result = succeeded(
        ivr("pack", world.run, "--out", out, "--overwrite", "--no-encoder", "--json", "--quiet")
    )

    found = json.loads(result.stdout)
    assert set(contents(out)) == {
        *("README.md", "digests.json", "image.onnx", "model.json", "notes.txt"),
        *("requirements.txt", "voice.onnx"),
    }
    assert (out / "notes.txt").read_text() == "mine"
    assert found["identity"] == json.loads((packed / "model.json").read_text())["identity"]
    assert {check["network"]: check["differ"] for check in found["checks"]} == {
        "voice.onnx": 0,
        "image.onnx": 0,
    }


def test_a_folder_of_something_else_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for options in ((), ("--overwrite",)):
        result = ivr("pack", world.run, "--out", tmp_path, *options)
        assert_one_line(result, "holds something else than a packed model; give another folder")
    assert_one_line(ivr("pack", world.run, "--out", world.run, "--overwrite"), "is the run itself")
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_folder_that_is_no_run_is_refused(world: World, tmp_path: Path) -> None:
    result = ivr("pack", world.features, "--out", tmp_path / "model")
    assert_one_line(result, "a folder of features, not a run")
    assert not (tmp_path / "model").exists()
