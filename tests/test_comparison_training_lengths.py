"""Notes on the epochs of the runs of a comparison, from histories written by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

from ivr.pipeline.comparison.training_lengths import training_length, training_notes


def run_of(folder: Path, validation: Sequence[float | None]) -> Path:
    """A run folder with a history of one epoch per value."""
    folder.mkdir()
    lines = [
        {"number": n, "image_to_voice": v, "voice_to_image": v, "seconds": 1.0}
        for n, v in enumerate(validation, 1)
    ]  # fmt: skip
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_runs_that_still_rise_and_other_numbers_of_epochs_are_told(tmp_path: Path) -> None:
    rising = run_of(tmp_path / "a", [0.1, None, 0.2])
    level = run_of(tmp_path / "b", [0.1, None, 0.1])
    found = training_length("divh", "divh", [rising, level])
    assert found is not None
    assert (found.epochs, found.usual, found.best, found.rising) == (3, 120, (3, 1), 1)
    assert training_notes([found]) == [
        "Not the default number of epochs: divh 3 (default 120).",
        "Still rising: the last epoch has the best validation mAP in divh (1 of 2 runs). "
        "More epochs may help: --epochs.",
    ]


def test_a_finished_training_of_the_default_length_has_no_note(tmp_path: Path) -> None:
    found = training_length("csq", "csq", [run_of(tmp_path / "a", [0.5, *[0.4] * 59])])
    assert found is not None
    assert training_notes([found]) == []


def test_a_method_in_closed_form_has_no_epochs(tmp_path: Path) -> None:
    assert training_length("lsh", "lsh", [run_of(tmp_path / "a", [0.5])]) is None
    assert training_length("divh", "divh", [tmp_path / "missing"]) is None
