"""Files that change together: what lies in their way is told before anything changes."""

import shutil
from pathlib import Path

import pytest

from ivr.features.atomic_files import InTheWayError
from ivr.pipeline.runs.begun_runs import begun
from ivr.pipeline.runs.run_folder import EVENTS, OWN_FILES, locked_run, remove_own
from ivr.pipeline.runtime.placed_together import finish, place

NAME = ".replacement"


def written_aside(folder: Path) -> None:
    """A folder with an old file, and beside it a new one and new events."""
    (folder / NAME / EVENTS).mkdir(parents=True)
    (folder / "config.json").write_text("old")
    (folder / NAME / "config.json").write_text("new")
    (folder / NAME / "model.safetensors").write_text("new")
    (folder / NAME / EVENTS / "events.out.tfevents.1").write_text("new")


def test_a_link_in_the_place_of_a_folder_is_replaced_and_not_followed(tmp_path: Path) -> None:
    written_aside(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / EVENTS).symlink_to(tmp_path / "elsewhere")
    place(tmp_path / "run", NAME, remove_own)
    assert (tmp_path / "run" / EVENTS / "events.out.tfevents.1").read_text() == "new"
    assert not (tmp_path / "run" / EVENTS).is_symlink()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", EVENTS, f"{EVENTS}/events.out.tfevents.1"])
@pytest.mark.parametrize("state", ["", ".complete"])
def test_what_is_in_the_way_is_told_before_anything_changes_and_can_be_moved(
    tmp_path: Path, name: str, state: str
) -> None:
    written_aside(tmp_path)
    (tmp_path / NAME).rename(tmp_path / f"{NAME}{state}")
    if name == EVENTS:
        (tmp_path / name).write_text("mine")
    else:
        (tmp_path / name).mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(InTheWayError, match=r"lies where a .* move it and call again"):
            place_or_finish(tmp_path, state)
        assert (tmp_path / "config.json").read_text() == "old"
        assert (tmp_path / f"{NAME}{state}").is_dir()
    shutil.move(tmp_path / name, tmp_path / "mine")
    place_or_finish(tmp_path, state)
    assert (tmp_path / "config.json").read_text() == "new"
    assert (tmp_path / EVENTS / "events.out.tfevents.1").read_text() == "new"


def place_or_finish(folder: Path, state: str) -> None:
    if state:
        finish(folder, NAME, remove_own)
    else:
        place(folder, NAME, remove_own)


@pytest.mark.parametrize("state", ["", ".complete", ".moving"])
def test_a_link_in_the_place_of_a_replacement_is_not_followed(tmp_path: Path, state: str) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        folder.mkdir()
        (folder / "config.json").write_text(folder.name)
    (run / f"{NAME}{state}").symlink_to(other)
    assert begun(run) == run
    with locked_run(run):
        assert not (run / f"{NAME}{state}").is_symlink()
    assert (run / "config.json").read_text() == "run"
    assert [path.name for path in other.iterdir()] == ["config.json"]


def test_the_options_beside_the_codes_belong_to_the_run(tmp_path: Path) -> None:
    assert "codes.encode.yaml" in OWN_FILES
    (tmp_path / "codes.encode.yaml").write_text("device: cpu\n")
    remove_own(tmp_path)
    assert not (tmp_path / "codes.encode.yaml").exists()
