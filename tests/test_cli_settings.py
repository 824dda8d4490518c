"""Where a value may come from several places: the command line goes before a file."""

import json
from pathlib import Path

from conftest import ivr, succeeded


def trained_with(*arguments: object) -> dict[str, object]:
    shown = succeeded(ivr("train-hash", *arguments, "--dry-run")).stdout
    return dict(json.loads(shown)["training"])


def test_set_on_the_command_line_goes_before_an_option_in_a_file(
    features: Path, tmp_path: Path
) -> None:
    file = tmp_path / "choices.yaml"
    file.write_text("epochs: 5\nbatch-size: 64\n")
    call = (features, "--out", tmp_path / "run", "--config", file)
    assert trained_with(*call)["epochs"] == 5
    found = trained_with(*call, "--set", "training.epochs=2")
    assert (found["epochs"], found["batch_size"]) == (2, 64)
    both = trained_with(*call, "--set", "training.epochs=2", "--epochs", 3)
    assert both["epochs"] == 3


def test_an_option_on_the_command_line_goes_before_set_in_a_file(
    features: Path, tmp_path: Path
) -> None:
    file = tmp_path / "choices.yaml"
    file.write_text("set: [training.epochs=5]\n")
    call = (features, "--out", tmp_path / "run", "--config", file)
    assert trained_with(*call)["epochs"] == 5
    assert trained_with(*call, "--epochs", 3)["epochs"] == 3


def planned(features: Path, tmp_path: Path, *arguments: object) -> str:
    call = ("compare", features, "--out", tmp_path / "c", "--methods", "csq", "--seeds", 1)
    return str(succeeded(ivr(*call, *arguments, "--plan")).stdout)


def test_a_comparison_follows_the_same_rule(features: Path, tmp_path: Path) -> None:
    file = tmp_path / "choices.yaml"
    file.write_text("set: [training.epochs=3]\n")
    assert "training.epochs=3-" in planned(features, tmp_path, "--config", file)
    assert "training.epochs=2-" in planned(features, tmp_path, "--config", file, "--epochs", 2)
    file.write_text("epochs: 3\nbits: 32\n")
    shown = planned(features, tmp_path, "--config", file, "--set", "training.epochs=2")
    assert "training.epochs=2-" in shown
    assert "csq-32-" in shown
