"""A method outside this package: one file, from training to a comparison."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import assert_one_line, ivr, succeeded

from ivr.extensions import ExtensionError
from ivr.hashing.methods import MethodError, method_entry, method_names, own_method_names
from ivr.pipeline.runs.run_folder import read_config

NAME = "softmax_hash:SoftmaxHash"
SHORT = ("--bits", 16, "--seed", 1, "--batch-size", 6, "--learning-rate", 0.02, "--device", "cpu",
         "--set", "network.voice_channels=8", "--set", "network.voice_stride=1",
         "--set", "network.image_hidden=16")  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder on the path of Python with the method that the docs show, in one file."""
    docs = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "add-a-method.md"
    folder = tmp_path / "outside"
    folder.mkdir()
    code = docs.read_text().split("```python\n")[1].split("```")[0]
    (folder / "softmax_hash.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "softmax_hash", raising=False)
    return folder


@pytest.fixture
def run(outside: Path, features: Path, tmp_path: Path) -> Path:
    """A run of two epochs of that method."""
    folder = tmp_path / "run"
    train = ("train-hash", features, "--out", folder, "--method", NAME, "--epochs", 2)
    succeeded(ivr(*train, *SHORT))
    return folder


def forget(monkeypatch: pytest.MonkeyPatch, outside: Path) -> None:
    monkeypatch.delitem(sys.modules, "softmax_hash")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(outside)])


def test_a_method_in_a_file_is_trained_resumed_evaluated_and_searched(
    run: Path, features: Path
) -> None:
    config = read_config(run)
    assert config["method"] == NAME
    assert config["source"] == "docs/how-to/add-a-method.md"
    assert config["options"]["quantisation"] == 0.01
    assert succeeded(ivr("evaluate", run)).stdout.startswith(f"{NAME}, 16 bits")
    said = succeeded(ivr("train-hash", features, "--out", run, "--resume")).stderr
    assert "continuing after epoch 2 of 2" in said
    assert succeeded(ivr("encode", run)).stdout == f"{run / 'codes.h5'}: written\n"


def test_a_method_in_a_file_is_compared_with_one_of_this_package(
    outside: Path, features: Path, tmp_path: Path
) -> None:
    found = ivr(
        "compare", features, "--out", tmp_path / "comparison", "--methods", f"{NAME},cca_sign",
        "--bits", 16, "--seeds", 1, "--set", "training.epochs=1", "--device", "cpu", "--jobs", 1,
        "--set", f"{NAME}.quantisation=0.1",
    )  # fmt: skip
    table = succeeded(found).stdout
    assert NAME in table
    assert "cca_sign" in table
    chosen = [read_config(path.parent) for path in tmp_path.glob("comparison/**/config.json")]
    options = {config["method"]: config["options"] for config in chosen}
    assert options[NAME]["quantisation"] == 0.1


def test_a_run_whose_method_is_not_installed_says_what_to_install(
    run: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch, outside)
    words = (
        f"config.json of the run: {NAME}: cannot be loaded (No module named 'softmax_hash'); "
        "install the module softmax_hash (put its folder on PYTHONPATH), which has this method"
    )
    assert_one_line(ivr("evaluate", run), words)
    assert_one_line(ivr("encode", run), words)


def test_the_options_of_a_method_in_a_file_are_described(outside: Path) -> None:
    lines = succeeded(ivr("train-hash", "--describe", NAME)).stdout.splitlines()
    assert lines[0] == f"# {NAME}: docs/how-to/add-a-method.md"
    assert "quantisation=0.01" in lines


def test_a_method_entry_and_a_class_name_the_same_method(outside: Path) -> None:
    assert method_entry("softmax_hash:METHOD") == method_entry(NAME)
    assert method_entry(NAME).config.__name__ == "SoftmaxHashConfig"


def test_an_installed_package_offers_a_method_by_name(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = outside / "softmax_hash-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: softmax-hash\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[ivr.methods]\nsoft = softmax_hash:METHOD\n")
    assert method_names() == (*own_method_names(), "soft")
    assert method_entry("soft") == method_entry(NAME)


def test_an_object_that_is_no_method_is_refused(outside: Path) -> None:
    (outside / "other.py").write_text("class Other: ...\n")
    with pytest.raises(MethodError, match="other:Other: neither a MethodEntry nor a Method class"):
        method_entry("other:Other")
    with pytest.raises(ExtensionError, match="other:Another: cannot be loaded"):
        method_entry("other:Another")


def test_a_file_added_to_the_package_is_a_method(tmp_path: Path) -> None:
    """One new file in a copy of the package, and nothing else, makes the command know it."""
    project = Path(__file__).resolve().parents[1]
    text = (project / "docs" / "how-to" / "add-a-method.md").read_text()
    for name in ("ivr", "cli", "features", "hashing", "pipeline"):
        shutil.copytree(project / name, tmp_path / "ivr" / name.removeprefix("ivr"),
                        dirs_exist_ok=True)  # fmt: skip
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "ivr" / "hashing" / "methods" / "softmax_hash.py").write_text(code)
    script = (
        "import sys, json; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in "
        "str(f).lower()]; sys.path.insert(0, sys.argv[1])\n"
        "from ivr.hashing.methods import method_entry, method_names\n"
        "import ivr; print(json.dumps([ivr.__file__, method_names(), 'torch' in sys.modules, "
        "method_entry('softmax_hash').build.__name__]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    where, names, torch_there, build = json.loads(found.stdout)
    assert where.startswith(str(tmp_path))
    assert names == sorted([*own_method_names(), "softmax_hash"])
    assert not torch_there
    assert build == "SoftmaxHash"
